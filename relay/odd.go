package relay

import (
	"context"
	"errors"
	"time"

	"github.com/penguinmails/rookery/job"
)

// A claim may meet a job that it cannot take: one with a value that no longer fits
// (it never can), or one whose row somebody holds locked (not just now). Neither
// may hold up the others. A claim that has failed is made again, passing by what is
// locked; one that fails on a value all the same is made smaller, until a claim of one
// names its job before it tries, and takes that or none.

// head is the place of a job in outbox.ready.
type head struct {
	priority int16
	id       int64
}

// alone is the part of outbox.ready that is this job.
func (h head) alone() []job.Span {
	return []job.Span{{LoPriority: h.priority, LoID: h.id - 1, HiPriority: h.priority, HiID: h.id}}
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
// down to that; nil otherwise.
func (r *Relay) suspect(ctx context.Context, q *queue, hi int16) (*head, error) {
	q.mu.Lock()
	ask := q.claims.limit == 1
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
// says that the next may be made at once. When it was a claim of one job by name, that is
// refused for good. Whatever else is wrong with one queue makes that queue rest.
func (r *Relay) claimFailed(ctx context.Context, q *queue, limit int, alone *head, err error) (again bool, _ error) {
	var odd *job.DataError
	conflict := errors.Is(err, job.ErrConflict)
	if errors.As(err, &odd) && odd.SQLState == "23505" { // this dispatch id, or one like it, exists
		return true, nil
	}
	if odd != nil && alone != nil {
		return true, r.refuseHead(ctx, q, *alone, odd)
	}
	now := time.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case (conflict || odd != nil) && !q.claims.bypass.on(now):
		q.claims.bypass.begin(now)
		return true, nil
	case odd != nil:
		q.claims.limit = max(limit/2, 1)
		if again = limit > 1; !again {
			q.rest.begin(now)
		}
		return again, nil
	case conflict: // over something else than a job
		q.claims.limit = max(limit/8, 1) // a second was lost, for every queue: not by halves
		q.rest.begin(now)
		return false, nil
	case ctx.Err() == nil && !errors.Is(err, job.ErrUnavailable):
		q.rest.begin(now)
	}
	return false, err
}

// refuseHead makes a job dead that a claim of nothing else has failed on.
func (r *Relay) refuseHead(ctx context.Context, q *queue, odd head, reason *job.DataError) error {
	if err := r.store.Refuse(ctx, job.Ref{ID: odd.id}, reason.Error()); err != nil {
		return err
	}
	r.metrics.refused.Inc()
	r.log.ErrorContext(ctx, "job cannot be claimed and is dead", "job_id", odd.id, "queue_name", q.name, "error", reason)
	return nil
}
