package relay

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/penguinmails/rookery/job"
)

// reapLimit is how many ended leases are taken back in one step.
const reapLimit = 100

// settleAgain is how often a queue is looked at for leftovers of ended epochs when
// none are expected: a claim that was under way when its epoch ended comes late.
const settleAgain = 15 * time.Second

// reap takes back attempts whose lease has ended. expired moves them to lost in one
// step, so a heartbeat either renews or learns that it is gone; then Postgres
// decides, guarded by the epoch; then they leave Redis. Whoever finds entries in
// lost goes on with them, so a crash between any two steps is finished by another.
func (r *Relay) reap(ctx context.Context, q *queue) error {
	for {
		q.mu.Lock()
		b, due := q.believeLocked(), q.contact.unbroken(time.Now(), r.o.Lease)
		deadline := q.clock + contactReply.Milliseconds()
		q.mu.Unlock()
		if !b.open || !due {
			return nil
		}
		lost, err := r.redis.Expired(ctx, b.name, b.epoch, deadline, reapLimit)
		if errors.Is(err, job.ErrLate) {
			// Redis stood still since it last answered: the heartbeats that queued up
			// meanwhile come first.
			q.mu.Lock()
			q.contact.broken()
			q.mu.Unlock()
			return nil
		}
		if err != nil || len(lost) == 0 {
			return err
		}
		if err := r.takeBack(ctx, b, lost); err != nil {
			return err
		}
		if len(lost) < reapLimit {
			return nil
		}
	}
}

// takeBack requeues attempts that Redis lists as lost, and drops them there.
func (r *Relay) takeBack(ctx context.Context, b belief, lost []job.LostAttempt) error {
	taken, err := r.store.Requeue(ctx, job.Requeue{QueueName: b.name, Epoch: b.epoch, Attempts: lost})
	if err != nil {
		return err
	}
	counts := map[job.Ref]bool{}
	refs := make([]job.Ref, len(lost))
	for i, a := range lost {
		refs[i], counts[a.Ref] = a.Ref, a.Counts
	}
	for _, v := range taken {
		switch {
		case v.Status == job.Dead:
			r.metrics.returned.WithLabelValues("poison").Inc()
			r.log.ErrorContext(ctx, "poison pill: job lost its worker once too often and is dead", "job_id", v.Ref.ID, "queue_name", b.name)
		case counts[v.Ref]:
			r.metrics.returned.WithLabelValues("lease_ended").Inc()
		default:
			r.metrics.returned.WithLabelValues("missing").Inc()
		}
	}
	// A crash here leaves entries in lost whose attempts are over: the next reap
	// finds that Postgres refuses them, and drops them.
	return r.redis.Drop(ctx, b.name, b.epoch, refs)
}

// settle takes back what ended epochs left behind: every attempt of their batches
// that is still current and that nobody has announced in this epoch.
func (r *Relay) settle(ctx context.Context, q *queue) error {
	now := time.Now()
	q.mu.Lock()
	b := q.believeLocked()
	due := b.open && (q.settle || now.After(q.settleAt))
	waited := q.contact.unbroken(now, r.o.Lease) && now.Sub(q.adopted) >= r.o.Lease
	q.mu.Unlock()
	if !due {
		return nil
	}
	if !waited && !r.counted(now) {
		return nil // a living worker may be missing in the list, cut off from Postgres as we were
	}
	if !waited {
		behind, err := r.store.WorkersBehind(ctx, b.name, b.epoch, r.o.Lease)
		if err != nil || behind > 0 {
			return err
		}
	}
	held, err := r.settlePages(ctx, b)
	if err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.Epoch == b.epoch {
		q.settle, q.settleAt = false, now.Add(settleAgain)
		if held > 0 {
			q.settleAt = now.Add(job.Beat) // running in this epoch; back when they are done or lost
		}
	}
	return nil
}

// settlePages walks the ledger rows of ended epochs, and returns how many attempts
// of theirs are still held by workers.
func (r *Relay) settlePages(ctx context.Context, b belief) (held int, err error) {
	var from job.Cursor
	for {
		page, err := r.store.Unsettled(ctx, b.name, b.epoch, from)
		if err != nil || !page.More {
			return held, err
		}
		for refs := range slices.Chunk(page.Refs, job.MaxBatch) {
			lost, err := r.redis.Missing(ctx, b.name, b.epoch, refs)
			if err != nil {
				return held, err
			}
			held += len(refs) - len(lost)
			if len(lost) == 0 {
				continue
			}
			if err := r.takeBack(ctx, b, lost); err != nil {
				return held, err
			}
		}
		from = page.Next
	}
}
