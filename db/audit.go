package db

import (
	"context"
	"slices"
	"time"

	"github.com/penguinmails/rookery/db/internal/query"
	"github.com/penguinmails/rookery/job"
)

// Entrusted lists attempts that the queue's window must have, a page of ledger rows
// at a time: current ones, of batches of this epoch that Redis accepted as number
// seq or before, and that no relay has claimed or taken over within age. The page is
// empty when the epoch is not the queue's any more.
func (s *Store) Entrusted(ctx context.Context, queue string, epoch, seq int64, age time.Duration, from job.Cursor) (job.Unsettled, error) {
	out := job.Unsettled{Next: from}
	err := s.do(ctx, "list entrusted", func(q *query.Queries) error {
		rows, err := q.ListEntrusted(ctx, query.ListEntrustedParams{
			AfterCreatedAt: from.CreatedAt, AfterID: from.ID, AgeMs: age.Milliseconds(), QueueName: queue, Epoch: epoch, KnownSeq: seq,
		})
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

// Recorded returns those of these batches that nobody will push again: their seq is
// in the ledger, or their row has gone because none of their jobs was current.
func (s *Store) Recorded(ctx context.Context, dispatchIDs []int64) ([]int64, error) {
	var out []int64
	err := s.do(ctx, "ask what is recorded", func(q *query.Queries) error {
		unrecorded, err := q.ListUnrecorded(ctx, dispatchIDs)
		if err != nil {
			return err
		}
		for _, id := range dispatchIDs {
			if !slices.Contains(unrecorded, id) {
				out = append(out, id)
			}
		}
		return nil
	})
	return out, err
}
