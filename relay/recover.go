package relay

import (
	"context"
	"errors"
	"time"

	"github.com/penguinmails/rookery/job"
)

// recoverBatches pushes what some relay has claimed and, as far as the ledger
// knows, not pushed. Redis' clock is read before the batch is rebuilt: a job that
// changes afterwards changes its dispatch, and a push that comes too late is
// refused. Every queue for itself: one whose Redis hangs holds up its own batches
// only, and is left out from then on.
func (r *Relay) recoverBatches(ctx context.Context) error {
	beliefs, names := map[string]belief{}, []string{}
	for _, q := range r.all() {
		q.mu.Lock()
		if q.window.reachable() {
			beliefs[q.name] = q.believeLocked()
			names = append(names, q.name)
		}
		q.mu.Unlock()
	}
	if len(names) == 0 {
		return nil
	}
	batches, err := r.store.TakeOver(ctx, r.o.ID, names)
	if err != nil {
		return err
	}
	if len(batches) > 0 {
		r.o.Failpoint("relay.after_takeover")
	}
	byQueue := map[string][]job.Batch{}
	for _, batch := range batches {
		byQueue[batch.QueueName] = append(byQueue[batch.QueueName], batch)
	}
	return eachQueue(byQueue, func(name string, batches []job.Batch) error {
		q, b := r.known(name), beliefs[name]
		if q == nil {
			return nil // taken over again when we know better
		}
		return r.recoverQueue(ctx, q, b, batches)
	})
}

// recoverQueue pushes what was taken over of one queue, until its Redis is silent.
func (r *Relay) recoverQueue(ctx context.Context, q *queue, b belief, batches []job.Batch) error {
	var errs []error
	for _, batch := range batches {
		if !b.open || b.epoch != batch.Epoch {
			continue
		}
		if len(batch.Jobs) == 0 {
			// Whatever was in it is over, or running, and so was pushed.
			errs = append(errs, r.recordEmpty(ctx, q, batch.DispatchID))
			continue
		}
		r.log.InfoContext(ctx, "batch recovered", "queue_name", batch.QueueName, "dispatch_id", batch.DispatchID, "jobs", len(batch.Jobs))
		r.metrics.recovered.Inc()
		err := r.push(ctx, q, b, batch)
		errs = append(errs, err)
		if errors.Is(err, job.ErrUnavailable) {
			break
		}
	}
	return errors.Join(errs...)
}

func (r *Relay) recordEmpty(ctx context.Context, q *queue, dispatchID int64) error {
	batch := []job.Recorded{{DispatchID: dispatchID}}
	if err := r.store.Record(ctx, batch); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.batches.unpushed, dispatchID)
	q.batches.recorded(batch, time.Now())
	return nil
}
