package relay

import (
	"context"
	"errors"
	"time"

	"github.com/penguinmails/rookery/job"
)

// A claim may meet a job that it cannot take: one with a value that no longer fits
// (it never can), or one whose row somebody holds locked (not just now). Neither
// may hold up the others: claims pass by what is locked, and because of a value they
// are made smaller, until a claim of one names its job before it tries.

// head is the place of a job in outbox.ready.
type head struct {
	priority int16
	id       int64
}

// bypass is for how long claims pass by jobs that somebody has locked. It costs a row
// lock for each job, so it ends by trying without.
type bypass struct {
	until time.Time
	last  time.Duration
}

// Each new try costs its queue's claims a lock_timeout (1 s).
const (
	bypassFirst = 10 * time.Second
	bypassMost  = time.Minute
)

func (b *bypass) on(now time.Time) bool { return now.Before(b.until) }

func (b *bypass) begin(now time.Time) {
	b.last = min(max(2*b.last, bypassFirst), bypassMost)
	b.until = now.Add(b.last)
}

// suspect returns the job that a claim of one would take, when claims have failed
// down to that; nil otherwise. While claims pass by what is locked nobody is named: the
// first job of the queue need not be the one that a claim fails on.
func (r *Relay) suspect(ctx context.Context, q *queue, hi int16) (*head, error) {
	q.mu.Lock()
	ask := q.limit == 1 && !q.bypass.on(time.Now())
	q.mu.Unlock()
	if !ask {
		return nil, nil
	}
	priority, id, err := r.store.Head(ctx, q.name, hi)
	if errors.Is(err, job.ErrNotFound) {
		return nil, nil
	}
	return &head{priority, id}, err
}

// claimFailed makes the next claims pass by what is locked, or makes them smaller; again
// says that the next may be made at once. When it was a claim of one, its job is refused
// for good. Whatever else is wrong with one queue makes that queue rest.
func (r *Relay) claimFailed(ctx context.Context, q *queue, limit int, hi int16, alone *head, err error) (again bool, _ error) {
	var odd *job.DataError
	now := time.Now()
	q.mu.Lock()
	switch {
	case errors.As(err, &odd) && odd.SQLState == "23505": // this dispatch id, or one like it, exists
		again, err = true, nil
	case odd != nil && alone == nil:
		q.limit = max(limit/2, 1)
		if again, err = limit > 1, nil; !again {
			q.bypass = bypass{} // the next claim names its job
			q.restLocked(now)
		}
	case errors.Is(err, job.ErrConflict) && !q.bypass.on(now):
		q.bypass.begin(now)
		again, err = true, nil
	case errors.Is(err, job.ErrConflict): // over something else than a job
		q.limit = max(limit/8, 1) // a second was lost, for every queue: not by halves
		q.restLocked(now)
		err = nil
	case odd == nil && ctx.Err() == nil && !errors.Is(err, job.ErrUnavailable):
		q.restLocked(now)
	}
	q.mu.Unlock()
	if odd == nil || alone == nil || again {
		return again, err
	}
	return true, r.refuseHead(ctx, q, hi, *alone, odd)
}

// refuseHead makes a job dead that cannot be claimed. It must still be the head:
// else another relay was about to take it, and our claim failed on another.
func (r *Relay) refuseHead(ctx context.Context, q *queue, hi int16, odd head, reason *job.DataError) error {
	priority, id, err := r.store.Head(ctx, q.name, hi)
	if errors.Is(err, job.ErrNotFound) || err == nil && (head{priority, id}) != odd {
		return nil
	}
	if err != nil {
		return err
	}
	if err := r.store.Refuse(ctx, job.Ref{ID: odd.id}, reason.Error()); err != nil {
		return err
	}
	r.metrics.refused.Inc()
	r.log.ErrorContext(ctx, "job cannot be claimed and is dead", "job_id", odd.id, "queue_name", q.name, "error", reason)
	return nil
}
