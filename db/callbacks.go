package db

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/penguinmails/rookery/db/internal/query"
	"github.com/penguinmails/rookery/job"
)

// CallbackFence returns the fence under which the attempt of c is current.
// [job.ErrLeaseLost]: it is over. [job.ErrUnavailable]: its worker has moved it to
// another fence, because Redis is away, and has not told which; it does within a second
// or so.
func (s *Store) CallbackFence(ctx context.Context, c job.Callback) (job.Ref, error) {
	var row query.CallbackFenceRow
	err := s.seeing(ctx, "find fence", func(q *query.Queries) (err error) {
		row, err = q.CallbackFence(ctx, query.CallbackFenceParams{JobID: c.Ref.ID, DispatchID: c.Ref.DispatchID})
		return err
	})
	now, status := number(row.DispatchID), job.Status(row.Status)
	switch {
	case errors.Is(err, job.ErrNotFound): // deleted meanwhile
		return job.Ref{}, job.ErrLeaseLost
	case err != nil:
		return job.Ref{}, err
	case now == c.Ref.DispatchID:
		return c.Ref, nil
	case row.HeldAs != 0 && now == row.HeldAs:
		return job.Ref{ID: c.Ref.ID, DispatchID: now}, nil
	case row.AttemptCount == c.AttemptCount && (status == job.Dispatched || status == job.Running):
		return job.Ref{}, fmt.Errorf("find fence: the attempt is held in postgres, nobody knows yet under which: %w", job.ErrUnavailable)
	}
	return job.Ref{}, job.ErrLeaseLost
}

// ExtendCallback keeps the attempt that held names open for d from now, and returns
// until when; issued is the fence of its token. [job.ErrLeaseLost]: it is over.
func (s *Store) ExtendCallback(ctx context.Context, issued, held job.Ref, d time.Duration) (until time.Time, err error) {
	err = s.seeing(ctx, "extend callback", func(q *query.Queries) error {
		if err := q.PruneCallbacks(ctx); err != nil {
			return err
		}
		at, err := q.ExtendCallback(ctx, query.ExtendCallbackParams{
			JobID: issued.ID, DispatchID: issued.DispatchID, HeldAs: held.DispatchID, LeaseMs: d.Milliseconds(),
		})
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if at != nil {
			until = *at
		}
		return err
	})
	if err == nil && until.IsZero() {
		err = job.ErrLeaseLost
	}
	return until, err
}

// OpenAttempts says what became of attempts whose receivers will call back, at most
// [job.MaxBatch] of them, and notes under which fences they are held in Postgres.
func (s *Store) OpenAttempts(ctx context.Context, open []job.OpenAttempt) ([]job.OpenState, error) {
	var p query.OpenAttemptsParams
	var held query.NoteHeldParams
	for _, a := range open {
		p.JobIDs, p.DispatchIDs = append(p.JobIDs, a.Ref.ID), append(p.DispatchIDs, a.Ref.DispatchID)
		p.HeldAs, p.AttemptCounts = append(p.HeldAs, a.HeldAs), append(p.AttemptCounts, a.AttemptCount)
		if a.HeldAs != a.Ref.DispatchID {
			held.JobIDs, held.DispatchIDs, held.HeldAs = append(held.JobIDs, a.Ref.ID), append(held.DispatchIDs, a.Ref.DispatchID), append(held.HeldAs, a.HeldAs)
		}
	}
	var out []job.OpenState
	err := s.seeing(ctx, "look at open attempts", func(q *query.Queries) error {
		if len(held.JobIDs) > 0 {
			if err := q.NoteHeld(ctx, held); err != nil {
				return err
			}
		}
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
