package relay

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/penguinmails/rookery/job"
)

// What relays do for workers whose leases are in Postgres, because Redis is away:
//
//	0 s    Redis answers nobody
//	7 s    workers hold what they run in Postgres, and claim for themselves
//	20 s   a relay begins the next epoch, in Postgres alone
//	35 s   what was in Redis, and no worker holds, is ready again
//
// When Redis answers again it holds another epoch than Postgres; relays meet STALE,
// begin the next and open it, and workers take from Redis as before.

// awayAfter returns for how long nobody must have reached Redis before its window is
// given up: longer than a worker trusts a lease that it cannot renew. 20 s.
func (r *Relay) awayAfter() time.Duration { return r.o.Lease * 4 / 3 }

// away reports whether nobody has reached Redis for that long: neither this relay
// nor, as far as Postgres was told, any other process. One relay that alone has lost
// Redis must not end the epoch for everybody.
func (r *Relay) away(ctx context.Context) (bool, error) {
	last := r.began
	for _, q := range r.all() {
		q.mu.Lock()
		if heard := q.window.contact.last; heard.After(last) {
			last = heard
		}
		q.mu.Unlock()
	}
	if time.Since(last) < r.awayAfter() {
		return false, nil
	}
	silent, err := r.store.RedisSilence(ctx)
	return err == nil && silent >= r.awayAfter(), err
}

// giveUp ends the epochs whose window cannot be reached, and one lease later takes back
// what no worker holds in Postgres. unheard are the queues whose Redis did not answer
// this very moment: what others told Postgres is up to a beat old, and a worker may
// have taken from a Redis that has just come back.
func (r *Relay) giveUp(ctx context.Context, unheard []*queue) error {
	away, err := r.away(ctx)
	if away {
		r.metrics.away.Set(1)
	} else {
		r.metrics.away.Set(0)
	}
	if err != nil || !away {
		return err
	}
	var errs []error
	for _, q := range unheard {
		errs = append(errs, r.giveUpQueue(ctx, q))
	}
	return errors.Join(errs...)
}

// giveUpQueue begins an epoch only when there is something to settle in it, or when
// nobody can claim in the present one, which is another Postgres'. So it does that
// once: into an epoch that no Redis has opened nothing comes but what workers hold.
func (r *Relay) giveUpQueue(ctx context.Context, q *queue) error {
	r.mu.Lock()
	life := r.life
	r.mu.Unlock()
	q.mu.Lock()
	b, age, settled, otherLife := q.believeLocked(), q.EpochAge, q.settling.away, q.Life != life
	q.mu.Unlock()
	begin, err := otherLife, error(nil)
	if !begin {
		begin, err = r.store.WindowHolds(ctx, b.name, b.epoch)
	}
	switch {
	case err != nil:
		return err
	case begin:
		return r.beginAway(ctx, q, b.epoch)
	case age >= r.o.Lease && b.epoch != settled && r.counted(time.Now()):
		return r.settleAway(ctx, q, b)
	}
	return nil
}

// beginAway begins the next epoch in Postgres alone. Nothing is pushed or taken in it:
// Redis does not know it.
func (r *Relay) beginAway(ctx context.Context, q *queue, seen int64) error {
	epoch, _, begun, err := r.store.BeginEpoch(ctx, q.name, seen, 0)
	if err != nil || !begun {
		return err
	}
	r.metrics.epochs.Inc()
	r.log.WarnContext(ctx, "redis is away: its window is given up, workers take from postgres", "queue_name", q.name, "epoch", epoch)
	return r.refresh(ctx)
}

// settleAway takes back what ended epochs left in a Redis that cannot be asked. Every
// worker has moved its attempts to Postgres by now, or has ended them: one that
// renewed no lease for 13 s does. Guarded by the epoch: once another is begun, it
// is for settle to ask Redis first.
func (r *Relay) settleAway(ctx context.Context, q *queue, b belief) error {
	var from job.Cursor
	var locked error // a job that somebody has locked keeps no other one
	for {
		page, err := r.store.Unsettled(ctx, b.name, b.epoch, from)
		if err != nil {
			return err
		}
		if !page.More {
			break
		}
		lost := make([]job.LostAttempt, len(page.Refs))
		for i, ref := range page.Refs {
			lost[i].Ref = ref
		}
		switch err := r.requeueAll(ctx, b, lost); {
		case errors.Is(err, job.ErrConflict):
			locked = errors.Join(locked, err)
		case err != nil:
			return err
		}
		from = page.Next
	}
	if locked != nil {
		return locked
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.Epoch == b.epoch {
		q.settling.away = b.epoch
	}
	return nil
}

func (r *Relay) requeueAll(ctx context.Context, b belief, lost []job.LostAttempt) error {
	for len(lost) > 0 {
		part := lost[:min(len(lost), job.MaxBatch)]
		taken, err := r.store.Requeue(ctx, job.Requeue{QueueName: b.name, Epoch: b.epoch, Attempts: part})
		var busy *job.BusyError
		if errors.As(err, &busy) {
			// Somebody has locked a job's row: it has its turn with the next look at the
			// ledger, the others come back without it.
			if free := without(part, busy.IDs); len(free) > 0 && len(free) < len(part) {
				err = errors.Join(err, r.requeueAll(ctx, b, append(free, lost[len(part):]...)))
			}
		}
		if err != nil {
			return err
		}
		r.metrics.returned.WithLabelValues("missing").Add(float64(len(taken)))
		lost = lost[len(part):]
	}
	return nil
}

// without returns lost but for the jobs with these ids.
func without(lost []job.LostAttempt, ids []int64) []job.LostAttempt {
	return slices.DeleteFunc(slices.Clone(lost), func(a job.LostAttempt) bool { return slices.Contains(ids, a.Ref.ID) })
}

// takeBackHeld takes back what workers held in Postgres beyond their leases. As with
// leases in Redis, only after one lease of steady contact, and not when its clock was
// set since: a Postgres that stood still, or whose clock was set, would else cost every
// holder its attempts.
func (r *Relay) takeBackHeld(ctx context.Context) error {
	for r.counted(time.Now()) {
		r.mu.Lock()
		deadline := r.clock.Add(time.Since(r.heard) + contactReply)
		r.mu.Unlock()
		back, err := r.store.TakeBackHeld(ctx, deadline)
		if err != nil || len(back) == 0 {
			return err
		}
		for queue, verdicts := range back {
			for _, v := range verdicts {
				r.tookBack(ctx, queue, v, "lease_ended")
			}
		}
	}
	return nil
}
