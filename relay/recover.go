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
// refused.
func (r *Relay) recoverBatches(ctx context.Context) error {
	beliefs := map[string]belief{}
	for _, q := range r.all() {
		beliefs[q.name] = q.believe()
	}
	batches, err := r.store.TakeOver(ctx, r.o.ID)
	if err != nil {
		return err
	}
	var errs []error
	for _, batch := range batches {
		q, b := r.known(batch.QueueName), beliefs[batch.QueueName]
		if q == nil || !b.open || b.epoch != batch.Epoch {
			continue // taken over again when we know better
		}
		if len(batch.Jobs) == 0 {
			// Whatever was in it is over, or running, and so was pushed.
			errs = append(errs, r.recordEmpty(ctx, q, batch.DispatchID))
			continue
		}
		inOrder(batch.Jobs)
		r.log.InfoContext(ctx, "batch recovered", "queue_name", batch.QueueName, "dispatch_id", batch.DispatchID, "jobs", len(batch.Jobs))
		r.metrics.recovered.Inc()
		errs = append(errs, r.push(ctx, q, b, batch))
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
	delete(q.unpushed, dispatchID)
	q.recordedLocked(time.Now(), batch)
	return nil
}
