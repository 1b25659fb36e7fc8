package db

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/penguinmails/rookery/db/internal/query"
	"github.com/penguinmails/rookery/job"
)

// seeing runs a statement of the windows for people, on the pool whose plans are
// free.
func (s *Store) seeing(ctx context.Context, verb string, run func(*query.Queries) error) error {
	pool := limited{s.look, s.limit}
	err := run(query.New(pool))
	if err != nil && s.refusedPins(ctx, err) {
		err = run(query.New(pool))
	}
	return translate(verb, err)
}

// Job returns one job with its payload, or [job.ErrNotFound]. A user who may not see
// payloads, such as one of rookery_readonly, gets it without payload and headers.
func (s *Store) Job(ctx context.Context, id int64) (job.Job, error) { return s.JobOf(ctx, id, nil) }

// JobOf is [Store.Job] for somebody who may see some queues: names, or beginnings that end
// in *; none: all. A job of another is [job.ErrNotFound], which takes as long whatever its
// payload: nothing but its queue is read.
func (s *Store) JobOf(ctx context.Context, id int64, queues []string) (job.Job, error) {
	var out job.Job
	err := s.seeing(ctx, "get job", func(q *query.Queries) error {
		if len(queues) > 0 {
			queue, err := q.QueueOfJob(ctx, id)
			if err == nil && !job.MatchQueue(queues, queue) {
				err = pgx.ErrNoRows
			}
			if err != nil {
				return err
			}
		}
		row, err := q.GetJob(ctx, id)
		if hidden(err) {
			out, err = jobFacts(ctx, q, id)
			return err
		}
		out = job.Job{
			ID: row.ID, QueueName: row.QueueName, Kind: row.Kind, Payload: row.Payload, Headers: raw(row.Headers),
			Priority: row.Priority, Status: job.Status(row.Status), DispatchID: number(row.DispatchID), AttemptCount: row.AttemptCount,
			FailureCount: row.FailureCount, LostCount: row.LostCount, MaxAttempts: row.MaxAttempts,
			RunAt: row.RunAt, CreatedAt: row.CreatedAt, DispatchedAt: row.DispatchedAt, StartedAt: row.StartedAt,
			FinishedAt: row.FinishedAt, WorkerID: text(row.WorkerID), LastError: text(row.LastError),
		}
		return err
	})
	return out, err
}

func jobFacts(ctx context.Context, q *query.Queries, id int64) (job.Job, error) {
	row, err := q.GetJobFacts(ctx, id)
	return jobOf(row), err
}

func jobOf(row query.GetJobFactsRow) job.Job {
	return job.Job{
		ID: row.ID, QueueName: row.QueueName, Kind: row.Kind,
		Priority: row.Priority, Status: job.Status(row.Status), DispatchID: number(row.DispatchID), AttemptCount: row.AttemptCount,
		FailureCount: row.FailureCount, LostCount: row.LostCount, MaxAttempts: row.MaxAttempts,
		RunAt: row.RunAt, CreatedAt: row.CreatedAt, DispatchedAt: row.DispatchedAt, StartedAt: row.StartedAt,
		FinishedAt: row.FinishedAt, WorkerID: text(row.WorkerID), LastError: text(row.LastError),
	}
}

// Attempts returns the attempts of a job that did not simply succeed, the first
// thousand, in their order.
func (s *Store) Attempts(ctx context.Context, id int64) ([]job.Attempt, error) {
	out := []job.Attempt{}
	err := s.seeing(ctx, "list attempts", func(q *query.Queries) error {
		rows, err := q.ListAttempts(ctx, id)
		for _, row := range rows {
			out = append(out, job.Attempt{
				JobID: row.JobID, AttemptCount: row.AttemptCount, WorkerID: text(row.WorkerID),
				StartedAt: row.StartedAt, FinishedAt: row.FinishedAt, Outcome: row.Outcome, Error: raw(row.Error),
			})
		}
		return err
	})
	return out, err
}

// Over returns those of some jobs that are over, or not there any more.
func (s *Store) Over(ctx context.Context, ids []int64) (over []int64, err error) {
	err = s.seeing(ctx, "list what is over", func(q *query.Queries) error {
		over, err = q.ListOver(ctx, ids)
		return err
	})
	return over, err
}

// QueueStats describes every queue, without what Redis has of it. Counting stops at
// most jobs: [job.StatsCap] or [job.QueueCap].
func (s *Store) QueueStats(ctx context.Context, most int) ([]job.QueueStats, error) {
	return s.queueFigures(ctx, "", most)
}

// QueueStatsOf describes one queue as [Store.QueueStats] does, counting up to
// [job.StatsCap], or returns [job.ErrNotFound]: no relay and no operator has registered
// it.
func (s *Store) QueueStatsOf(ctx context.Context, name string) (job.QueueStats, error) {
	if err := job.CheckQueueName(name); err != nil {
		return job.QueueStats{}, err
	}
	stats, err := s.queueFigures(ctx, name, job.StatsCap)
	if err == nil && len(stats) == 0 {
		err = fmt.Errorf("queue stats: %w", job.ErrNotFound)
	}
	if err != nil {
		return job.QueueStats{}, err
	}
	return stats[0], nil
}

// queueFigures describes one queue, or all when name is empty.
func (s *Store) queueFigures(ctx context.Context, name string, most int) ([]job.QueueStats, error) {
	var out []job.QueueStats
	err := s.seeing(ctx, "queue stats", func(q *query.Queries) error {
		rows, err := q.QueueFigures(ctx, query.QueueFiguresParams{QueueName: name, Cap: int32(most)})
		out = make([]job.QueueStats, len(rows))
		for i, r := range rows {
			out[i] = job.QueueStats{
				Queue: job.Queue{Name: r.Name, Paused: r.Paused, WindowSize: int(r.WindowSize), KeepFor: job.KeepFor{Retention: r.RetentionSeconds, RetentionDead: r.RetentionDeadSeconds},
					Epoch: r.Epoch, Life: r.Life, EpochAge: milliseconds(r.EpochAgeMs)},
				Ready: r.Ready, Scheduled: r.Scheduled, Out: r.Out,
			}
			if r.OldestAt.Unix() > 0 {
				out[i].OldestAt, out[i].OldestAge = &rows[i].OldestAt, milliseconds(r.OldestAgeMs)
			}
		}
		return err
	})
	return out, err
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func number(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}
