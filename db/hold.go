package db

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/penguinmails/rookery/db/internal/query"
	"github.com/penguinmails/rookery/job"
)

// Hold moves attempts to a ledger row of the worker's own, with a lease, and returns
// the ids of those it holds now, under h.DispatchID; the others are over. The same
// again, after a lost answer, holds the same. An error with [job.ErrUndone] says that
// nothing was moved; it is a [*job.BusyError] too when some of the jobs, and not all,
// are locked by others.
func (s *Store) Hold(ctx context.Context, h job.Hold) ([]int64, error) {
	refs := slices.SortedFunc(slices.Values(h.Refs), func(a, b job.Ref) int { return cmp.Compare(a.ID, b.ID) })
	p := query.HoldAttemptsParams{QueueName: h.QueueName, WorkerID: h.WorkerID, DispatchID: h.DispatchID, LeaseMs: h.Lease.Milliseconds()}
	p.JobIDs, p.DispatchIDs = refArrays(refs)
	var held []int64
	err := s.do(ctx, "hold", func(q *query.Queries) error {
		var err error
		held, err = q.HoldAttempts(ctx, p)
		return err
	})
	if err == nil || !NotInserted(err) { // its ledger row, and so the rest
		return held, err
	}
	if errors.Is(err, job.ErrConflict) && len(refs) > 1 {
		if busy := s.busy(ctx, p.JobIDs); busy != nil {
			return nil, fmt.Errorf("%w: hold: %w", job.ErrUndone, busy)
		}
	}
	return nil, fmt.Errorf("%w: %w", job.ErrUndone, err)
}

// Renew keeps ledger rows of the worker's own for another lease, and returns the
// attempts that are current under them, and those that were cancelled. All others
// are over.
func (s *Store) Renew(ctx context.Context, workerID string, lease time.Duration, dispatches []int64) (current, cancelled []job.Ref, err error) {
	err = s.do(ctx, "renew", func(q *query.Queries) error {
		rows, err := q.RenewHeld(ctx, query.RenewHeldParams{LeaseMs: lease.Milliseconds(), DispatchIDs: dispatches, WorkerID: workerID})
		for _, row := range rows {
			v := verdict(row.ID, row.DispatchID, row.Status)
			if v.Status == job.Cancelled {
				cancelled = append(cancelled, v.Ref)
			} else {
				current = append(current, v.Ref)
			}
		}
		return err
	})
	return current, cancelled, err
}

// LeaseStanding returns what became of the attempt that clients know as ref, also when
// a worker has moved it to a dispatch of its own meanwhile, or the job has gone on to
// another. The error is [job.ErrNotFound] when there is no such job.
func (s *Store) LeaseStanding(ctx context.Context, ref job.Ref) (job.LeaseStanding, error) {
	var out job.LeaseStanding
	err := s.seeing(ctx, "look at lease", func(q *query.Queries) error {
		row, err := q.LeaseStanding(ctx, query.LeaseStandingParams{ID: ref.ID, DispatchID: ref.DispatchID})
		if err != nil {
			return err
		}
		out.Job = job.Job{
			ID: row.ID, QueueName: row.QueueName, Kind: row.Kind, Priority: row.Priority, Status: job.Status(row.Status),
			DispatchID: row.DispatchID, AttemptCount: row.AttemptCount, FailureCount: row.FailureCount, LostCount: row.LostCount,
			MaxAttempts: row.MaxAttempts, RunAt: row.RunAt, CreatedAt: row.CreatedAt, DispatchedAt: row.DispatchedAt, StartedAt: row.StartedAt,
		}
		out.Ours, out.Moved, out.Outcome = row.Last, row.Moved, job.OutcomeKind(row.Outcome)
		return nil
	})
	return out, err
}

// reclaim answers a claim that a worker repeats: with the batch it got the first
// time, or with none.
func (s *Store) reclaim(ctx context.Context, q *query.Queries, c job.Claim, out *job.Batch) error {
	rows, err := q.ReclaimHeld(ctx, query.ReclaimHeldParams{LeaseMs: c.Lease.Milliseconds(), DispatchID: c.DispatchID, WorkerID: c.WorkerID})
	for _, row := range rows {
		out.Jobs = append(out.Jobs, envelope(*out, query.ClaimReadyRow(row)))
	}
	return err
}

// TakeBackHeld takes back the jobs of up to twenty leases in Postgres that have
// ended, and returns them by queue. What somebody has locked is left for a later call.
// When Postgres' clock shows more than deadline it takes back nothing.
func (s *Store) TakeBackHeld(ctx context.Context, deadline time.Time) (map[string][]job.Verdict, error) {
	out := map[string][]job.Verdict{}
	err := s.do(ctx, "take back held", func(q *query.Queries) error {
		rows, err := q.TakeBackHeld(ctx, deadline)
		for _, row := range rows {
			out[row.QueueName] = append(out[row.QueueName], verdict(row.ID, row.DispatchID, row.Status))
		}
		return err
	})
	return out, err
}

// WindowHolds reports whether batches of a queue's epoch are entrusted to Redis, and
// not swept away yet.
func (s *Store) WindowHolds(ctx context.Context, queue string, epoch int64) (bool, error) {
	var holds bool
	err := s.do(ctx, "look for batches in redis", func(q *query.Queries) error {
		var err error
		holds, err = q.WindowHolds(ctx, query.WindowHoldsParams{QueueName: queue, Epoch: epoch})
		return err
	})
	return holds, err
}

// RedisSilence returns for how long no process has said that it reached Redis.
func (s *Store) RedisSilence(ctx context.Context) (time.Duration, error) {
	var silent time.Duration
	err := s.do(ctx, "ask who reaches redis", func(q *query.Queries) error {
		ms, err := q.RedisSilence(ctx)
		silent = milliseconds(max(ms, 0))
		return err
	})
	return silent, err
}
