package relay

import (
	"context"
	"errors"
	"time"

	"github.com/penguinmails/rookery/job"
)

// A claim may meet a job that it cannot take: one with a value that no longer fits
// (it never can), or one whose row somebody holds locked (not just now). Neither
// may hold up the others: the next claims are made smaller, and a claim of one
// names its job before it tries.

// head is the place of a job in outbox.ready.
type head struct {
	priority int16
	id       int64
}

// detour leads claims around a job whose row is locked.
type detour struct {
	around head
	until  time.Time
	last   time.Duration
}

// How long a locked job is left aside; each new try costs its queue's claims a
// lock_timeout (1 s).
const (
	detourFirst = 10 * time.Second
	detourMost  = time.Minute
)

// spans returns what to read besides the job that is left aside; none, when there
// is no such job.
func (d *detour) spans(now time.Time, hi int16) []job.Span {
	if d.until.IsZero() || !now.Before(d.until) || d.around.priority > hi {
		return nil
	}
	return []job.Span{
		{LoPriority: job.LostPriority - 1, HiPriority: d.around.priority - 1},
		{LoPriority: d.around.priority, LoID: d.around.id, HiPriority: hi},
	}
}

// over reports whether it is time to try the job again.
func (d *detour) over(now time.Time) bool { return !d.until.IsZero() && !now.Before(d.until) }

func (d *detour) take(now time.Time, around head) {
	d.last = min(max(2*d.last, detourFirst), detourMost)
	d.around, d.until = around, now.Add(d.last)
}

// suspect returns the job that a claim of one would take, when claims have failed
// down to that; nil otherwise.
func (r *Relay) suspect(ctx context.Context, q *queue, hi int16) (*head, error) {
	now := time.Now()
	q.mu.Lock()
	if q.detour.over(now) {
		q.limit = 1
	}
	ask := q.limit == 1 && q.detour.spans(now, hi) == nil
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

// claimFailed makes the next claim smaller; again says that it may be made at once.
// When it was a claim of one, its job is left aside for a while, or refused for
// good. Whatever else is wrong with one queue makes that queue rest.
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
			q.restLocked(now) // on a detour nobody is named: it is dealt with after that
		}
	case errors.Is(err, job.ErrConflict):
		// A second was lost, for every queue: not by halves.
		q.limit = max(limit/8, 1)
		if alone != nil {
			q.detour.take(now, *alone)
		}
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
