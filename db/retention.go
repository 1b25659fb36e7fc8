package db

import (
	"context"
	"time"

	"github.com/penguinmails/rookery/db/internal/query"
	"github.com/penguinmails/rookery/job"
)

// Prune deletes the finished jobs of one slice of ids that have been kept for long
// enough, with their attempts and dead letters. It waits for nobody: a job that is
// locked, or being redriven, stays.
func (s *Store) Prune(ctx context.Context, p job.Prune) (job.Pruned, error) {
	var out job.Pruned
	young := kept(p.Young)
	if p.Young == 0 {
		young = nil
	}
	err := s.do(ctx, "prune", func(q *query.Queries) error {
		row, err := q.PruneJobs(ctx, query.PruneJobsParams{
			AfterID: p.AfterID, UpToID: p.UpToID, KeepMs: kept(p.Keep), KeepDeadMs: kept(p.KeepDead), YoungMs: young,
		})
		if err != nil || !row.Got {
			return err
		}
		out = job.Pruned{Got: true, Seen: row.Seen, Deleted: row.Deleted, NextID: row.NextID, Ended: row.Ended}
		return nil
	})
	return out, err
}

// PruneOperations deletes operations that have been over for as long as they are kept, as
// far as one step goes, and returns how many; negative: none. The audit still says who
// began them.
func (s *Store) PruneOperations(ctx context.Context, keep time.Duration) (n int64, err error) {
	ms := kept(keep)
	if ms == nil {
		return 0, nil
	}
	err = s.do(ctx, "prune operations", func(q *query.Queries) error {
		n, err = q.PruneOperations(ctx, *ms)
		return err
	})
	return n, err
}

// kept is a retention in milliseconds, rounded up; nil: for ever.
func kept(d time.Duration) *int64 {
	if d < 0 {
		return nil
	}
	ms := (d + time.Millisecond - 1).Milliseconds()
	return &ms
}
