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

// TakeOver hands relayID the batches of these queues' present epochs that nobody has
// recorded as pushed for two seconds, rebuilt from the jobs that still wait under
// them; at most twenty. A batch without jobs has none left to push.
func (s *Store) TakeOver(ctx context.Context, relayID string, queues []string) ([]job.Batch, error) {
	var out []job.Batch
	err := s.on(ctx, "take over", func(q *query.Queries, life string) error {
		rows, err := q.TakeOverUnpushed(ctx, query.TakeOverUnpushedParams{RelayID: relayID, QueueNames: queues, Life: life})
		if err != nil {
			return err
		}
		for _, row := range rows {
			b := job.Batch{QueueName: row.QueueName, DispatchID: row.ID, Epoch: row.Epoch}
			jobs, err := q.RebuildBatch(ctx, query.RebuildBatchParams{JobIDs: row.JobIDs, DispatchID: &row.ID})
			if err != nil {
				return err
			}
			for _, j := range jobs {
				b.Jobs = append(b.Jobs, envelope(b, query.ClaimReadyRow(j)))
			}
			inOrder(b)
			out = append(out, b)
		}
		return nil
	})
	return out, err
}

// Unrecorded counts, by queue, the jobs that other relays have claimed and perhaps
// not pushed yet.
func (s *Store) Unrecorded(ctx context.Context, relayID string) (map[string]int64, error) {
	out := map[string]int64{}
	err := s.do(ctx, "count unrecorded", func(q *query.Queries) error {
		rows, err := q.UnrecordedByOthers(ctx, relayID)
		for _, row := range rows {
			out[row.QueueName] = row.Jobs
		}
		return err
	})
	return out, err
}

// Sweep deletes finished rows among the next fifty of the ledger.
func (s *Store) Sweep(ctx context.Context, from job.Cursor) (job.Sweep, error) {
	var out job.Sweep
	err := s.do(ctx, "sweep", func(q *query.Queries) error {
		row, err := q.SweepDispatches(ctx, query.SweepDispatchesParams{AfterCreatedAt: from.CreatedAt, AfterID: from.ID})
		out = job.Sweep{Seen: row.Seen, Swept: row.Swept, Shortened: row.Shortened, Next: job.Cursor{CreatedAt: row.LastCreatedAt, ID: row.LastID}}
		return err
	})
	return out, err
}

// Requeue takes attempts back and returns those it took; the others are over, or
// the epoch is. The error is a [*job.BusyError] when some of the jobs, and not all, are
// locked by others.
func (s *Store) Requeue(ctx context.Context, r job.Requeue) ([]job.Verdict, error) {
	var out []job.Verdict
	p := query.RequeueAttemptsParams{QueueName: r.QueueName, Epoch: r.Epoch}
	sorted := slices.SortedFunc(slices.Values(r.Attempts), func(a, b job.LostAttempt) int { return cmp.Compare(a.Ref.ID, b.Ref.ID) })
	for _, a := range sorted { // the rows are locked in this order
		p.JobIDs = append(p.JobIDs, a.Ref.ID)
		p.DispatchIDs = append(p.DispatchIDs, a.Ref.DispatchID)
		p.Counts = append(p.Counts, a.Counts)
	}
	err := s.do(ctx, "requeue", func(q *query.Queries) error {
		rows, err := q.RequeueAttempts(ctx, p)
		for _, row := range rows {
			out = append(out, verdict(row.ID, row.DispatchID, row.Status))
		}
		return err
	})
	if errors.Is(err, job.ErrConflict) && len(p.JobIDs) > 1 {
		if busy := s.busy(ctx, p.JobIDs); busy != nil {
			return nil, fmt.Errorf("requeue: %w", busy)
		}
	}
	return out, err
}

// Unsettled lists attempts that epochs before this one left behind, a page of
// ledger rows at a time.
func (s *Store) Unsettled(ctx context.Context, queue string, epoch int64, from job.Cursor) (job.Unsettled, error) {
	out := job.Unsettled{Next: from}
	err := s.do(ctx, "list unsettled", func(q *query.Queries) error {
		rows, err := q.ListUnsettled(ctx, query.ListUnsettledParams{QueueName: queue, Epoch: epoch, AfterCreatedAt: from.CreatedAt, AfterID: from.ID})
		for _, row := range rows {
			out.Next, out.More = job.Cursor{CreatedAt: row.CreatedAt, ID: row.DispatchID}, true
			if row.JobID != 0 {
				out.Refs = append(out.Refs, job.Ref{ID: row.JobID, DispatchID: row.DispatchID})
			}
		}
		return err
	})
	return out, err
}

// Promote moves up to a thousand jobs that have fallen due from scheduled to ready.
// It returns how many, and the earliest run_at among them: with an old snapshot
// open, only dead entries lie below it.
func (s *Store) Promote(ctx context.Context, scheduledFrom time.Time) (int64, time.Time, error) {
	var (
		n     int64
		first time.Time
	)
	err := s.do(ctx, "promote", func(q *query.Queries) error {
		row, err := q.PromoteScheduled(ctx, scheduledFrom)
		n, first = row.Promoted, row.FirstRunAt
		return err
	})
	return n, first, err
}

// Walk takes one step of the slow walk over all jobs.
func (s *Store) Walk(ctx context.Context, afterID int64) (job.Walk, error) {
	var out job.Walk
	err := s.do(ctx, "walk", func(q *query.Queries) error {
		row, err := q.WalkJobs(ctx, afterID)
		out = job.Walk{Seen: row.Seen, LastID: row.LastID, Strays: row.Strays, Orphans: row.Orphans}
		return err
	})
	return out, err
}

// Cancels lists up to 500 cancel orders of each queue that has any.
func (s *Store) Cancels(ctx context.Context) ([]job.CancelOrder, error) {
	var out []job.CancelOrder
	err := s.do(ctx, "list cancels", func(q *query.Queries) error {
		queues, err := q.CancelQueues(ctx)
		for _, name := range queues {
			var rows []query.ListCancelsRow
			if rows, err = q.ListCancels(ctx, name); err != nil {
				return err
			}
			for _, row := range rows {
				out = append(out, job.CancelOrder{QueueName: name, Ref: job.Ref{ID: row.JobID, DispatchID: row.DispatchID}})
			}
		}
		return err
	})
	return out, err
}

// DropCancels forgets cancel orders that Redis knows.
func (s *Store) DropCancels(ctx context.Context, refs []job.Ref) error {
	ids, dispatches := refArrays(refs)
	return s.do(ctx, "drop cancels", func(q *query.Queries) error {
		return q.DropCancels(ctx, query.DropCancelsParams{JobIDs: ids, DispatchIDs: dispatches})
	})
}
