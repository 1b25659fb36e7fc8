package db

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/penguinmails/rookery/db/internal/query"
	"github.com/penguinmails/rookery/job"
)

// pruneEvery is how often a process looks for old rows of outbox.callbacks, if it extends.
const pruneEvery = time.Minute

// pruning says when that was.
type pruning struct {
	mu sync.Mutex
	at time.Time
}

// due reports whether to prune now: to one of those who ask, once in pruneEvery.
func (p *pruning) due(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.at.IsZero() && now.Sub(p.at) < pruneEvery {
		return false
	}
	p.at = now
	return true
}

// ExtendCallback keeps the attempt whose token has the fence of issued open for d from
// now, and returns until when. [job.ErrLeaseLost]: it is over.
func (s *Store) ExtendCallback(ctx context.Context, issued job.Ref, d time.Duration) (until time.Time, err error) {
	err = s.seeing(ctx, "extend callback", func(q *query.Queries) error {
		if s.pruned.due(time.Now()) {
			if err := q.PruneCallbacks(ctx); err != nil {
				return err // the receiver asks again, and the next minute prunes
			}
		}
		at, err := q.ExtendCallback(ctx, query.ExtendCallbackParams{
			JobID: issued.ID, DispatchID: issued.DispatchID, LeaseMs: d.Milliseconds(),
		})
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		until = at
		return err
	})
	if err == nil && until.IsZero() {
		err = job.ErrLeaseLost
	}
	return until, err
}

// OpenAttempts says what became of attempts whose receivers will call back, at most
// [job.MaxBatch] of them.
func (s *Store) OpenAttempts(ctx context.Context, open []job.OpenAttempt) ([]job.OpenState, error) {
	var p query.OpenAttemptsParams
	for _, a := range open {
		p.JobIDs, p.DispatchIDs = append(p.JobIDs, a.Ref.ID), append(p.DispatchIDs, a.Ref.DispatchID)
		p.HeldAs, p.AttemptCounts = append(p.HeldAs, a.HeldAs), append(p.AttemptCounts, a.AttemptCount)
	}
	var out []job.OpenState
	err := s.seeing(ctx, "look at open attempts", func(q *query.Queries) error {
		rows, err := q.OpenAttempts(ctx, p)
		out = make([]job.OpenState, len(rows))
		for i, r := range rows {
			out[i] = job.OpenState{
				Ref: job.Ref{ID: r.JobID, DispatchID: r.DispatchID}, Open: r.IsOpen, Ended: job.Status(r.Ended),
				Extended: r.Extended, Left: time.Duration(r.LeftMs) * time.Millisecond,
			}
		}
		return err
	})
	return out, err
}
