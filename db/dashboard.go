package db

import (
	"context"

	"github.com/penguinmails/rookery/db/internal/query"
	"github.com/penguinmails/rookery/job"
)

// DeadGroups returns the newest [job.GroupCap] dead jobs by how they died, the largest
// groups first. With queues, names or beginnings that end in *, it is of those alone, as
// far as they are among the newest [job.GlanceCap] of all.
func (s *Store) DeadGroups(ctx context.Context, queues []string) ([]job.DeadGroup, error) {
	var groups []job.DeadGroup
	err := s.seeing(ctx, "group dead jobs", func(q *query.Queries) error {
		if len(queues) > 0 {
			rows, err := q.GroupDeadOf(ctx, query.GroupDeadOfParams{Queues: queues, Look: job.GlanceCap, Cap: job.GroupCap})
			for _, r := range rows {
				groups = append(groups, job.DeadGroup(r))
			}
			return err
		}
		rows, err := q.GroupDead(ctx, job.GroupCap)
		for _, r := range rows {
			groups = append(groups, job.DeadGroup(r))
		}
		return err
	})
	return groups, err
}

// CountDead counts dead jobs, up to [job.GlanceCap]; with queues those of theirs among the
// newest so many.
func (s *Store) CountDead(ctx context.Context, queues []string) (dead int64, err error) {
	err = s.seeing(ctx, "count dead jobs", func(q *query.Queries) error {
		if len(queues) > 0 {
			dead, err = q.CountDeadOf(ctx, query.CountDeadOfParams{Queues: queues, Look: job.GlanceCap})
		} else {
			dead, err = q.CountDead(ctx, job.GlanceCap)
		}
		return err
	})
	return dead, err
}

// Ahead returns how many due jobs of its queue are claimed before j, counted up to
// [job.GlanceCap].
func (s *Store) Ahead(ctx context.Context, j job.Job) (n int64, err error) {
	err = s.seeing(ctx, "count jobs ahead", func(q *query.Queries) error {
		n, err = q.CountAhead(ctx, query.CountAheadParams{QueueName: j.QueueName, Priority: j.Priority, ID: j.ID, Cap: job.GlanceCap})
		return err
	})
	return n, err
}
