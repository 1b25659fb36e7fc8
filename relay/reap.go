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

// settling says when to look for what ended epochs have left behind.
type settling struct {
	expected bool      // they may have
	again    time.Time // when to look all the same
	away     int64     // the epoch that was settled without Redis
}

// settleAgain is how often a queue is looked at for leftovers of ended epochs when
// none are expected: a claim that was under way when its epoch ended comes late.
const settleAgain = 15 * time.Second

func (s *settling) due(now time.Time) bool { return s.expected || now.After(s.again) }

// looked notes a look, and how many attempts it has left to the workers that hold them:
// they are back when they are done or lost.
func (s *settling) looked(held int, now time.Time) {
	s.expected, s.again = false, now.Add(settleAgain)
	if held > 0 {
		s.again = now.Add(job.Beat)
	}
}

// reap takes back attempts whose lease has ended. expired moves them to lost in one
// step, so a heartbeat either renews or learns that it is gone; then Postgres
// decides, guarded by the epoch; then they leave Redis. Whoever finds entries in
// lost goes on with them, so a crash between any two steps is finished by another.
func (r *Relay) reap(ctx context.Context, q *queue) error {
	for {
		q.mu.Lock()
		b, due := q.believeLocked(), q.window.contact.unbroken(time.Now(), r.o.Lease) && r.counted(time.Now())
		deadline := q.window.clock + contactReply.Milliseconds()
		q.mu.Unlock()
		if !b.open || !due {
			return nil
		}
		lost, err := r.redis.Expired(ctx, b.name, b.epoch, deadline, reapLimit)
		if errors.Is(err, job.ErrLate) {
			// Redis stood still since it last answered: the heartbeats that queued up
			// meanwhile come first.
			q.mu.Lock()
			q.window.contact.broken()
			q.mu.Unlock()
			return nil
		}
		if err != nil || len(lost) == 0 {
			return err
		}
		r.o.Failpoint("relay.after_expired")
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
	var busy *job.BusyError
	if errors.As(err, &busy) {
		// Somebody has locked a job's row: the others come back without it, which stays
		// in lost for a later turn.
		if free := without(lost, busy.IDs); len(free) > 0 && len(free) < len(lost) {
			return errors.Join(err, r.takeBack(ctx, b, free))
		}
	}
	if err != nil {
		return err
	}
	counts := map[job.Ref]bool{}
	refs := make([]job.Ref, len(lost))
	for i, a := range lost {
		refs[i], counts[a.Ref] = a.Ref, a.Counts
	}
	for _, v := range taken {
		cause := "missing"
		if counts[v.Ref] {
			cause = "lease_ended"
		}
		r.tookBack(ctx, b.name, v, cause)
	}
	// A crash here leaves entries in lost whose attempts are over: the next reap
	// finds that Postgres refuses them, and drops them.
	r.o.Failpoint("relay.after_requeue")
	return r.redis.Drop(ctx, b.name, b.epoch, refs)
}

// tookBack counts an attempt that was taken back, and tells of one too many.
func (r *Relay) tookBack(ctx context.Context, queue string, v job.Verdict, cause string) {
	if cause == "lease_ended" {
		r.countLost(queue, v.Status)
	}
	if v.Status == job.Dead {
		cause = "poison"
		r.log.ErrorContext(ctx, "poison pill: job lost its worker once too often and is dead", "job_id", v.Ref.ID, "queue_name", queue)
	}
	r.metrics.returned.WithLabelValues(cause).Inc()
}

// settle takes back what ended epochs left behind: every attempt of their batches
// that is still current and that nobody has announced in this epoch.
func (r *Relay) settle(ctx context.Context, q *queue) error {
	now := time.Now()
	q.mu.Lock()
	b := q.believeLocked()
	due := b.open && q.settling.due(now)
	waited := q.window.contact.unbroken(now, r.o.Lease) && now.Sub(q.adopted) >= r.o.Lease
	q.mu.Unlock()
	if !due {
		return nil
	}
	if !r.counted(now) {
		return nil // a worker may be cut off from Postgres as we were, and not know of this epoch
	}
	if !waited {
		behind, err := r.store.WorkersBehind(ctx, b.name, b.epoch)
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
		q.settling.looked(held, now)
	}
	return nil
}

// settlePages walks the ledger rows of ended epochs, and returns how many attempts
// of theirs are still held by workers.
func (r *Relay) settlePages(ctx context.Context, b belief) (held int, err error) {
	var from job.Cursor
	var locked error // a job that somebody has locked keeps no other one
	for {
		page, err := r.store.Unsettled(ctx, b.name, b.epoch, from)
		if err != nil || !page.More {
			return held, errors.Join(locked, err)
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
			r.o.Failpoint("relay.after_missing")
			switch err := r.takeBack(ctx, b, lost); {
			case errors.Is(err, job.ErrConflict):
				locked = errors.Join(locked, err)
			case err != nil:
				return held, err
			}
		}
		from = page.Next
	}
}
