package db

import (
	"context"
	"errors"

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
func (s *Store) Job(ctx context.Context, id int64) (job.Job, error) {
	var out job.Job
	err := s.seeing(ctx, "get job", func(q *query.Queries) error {
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

// QueueStats describes every queue, without what Redis has of it. Counting stops
// at [job.StatsCap].
func (s *Store) QueueStats(ctx context.Context) ([]job.QueueStats, error) {
	var out []job.QueueStats
	err := s.seeing(ctx, "queue stats", func(q *query.Queries) error {
		queues, err := q.ListQueues(ctx)
		if err != nil {
			return err
		}
		scheduled, out1, err := countsByQueue(ctx, q)
		if err != nil {
			return err
		}
		out = make([]job.QueueStats, len(queues))
		for i, row := range queues {
			out[i] = job.QueueStats{
				Queue:     job.Queue{Name: row.Name, Paused: row.Paused, WindowSize: int(row.WindowSize), Epoch: row.Epoch, Life: row.Life, EpochAge: milliseconds(row.EpochAgeMs)},
				Scheduled: scheduled[row.Name], Out: out1[row.Name],
			}
			if err := countReady(ctx, q, &out[i]); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

// QueueStatsOf describes one queue as [Store.QueueStats] does, or returns
// [job.ErrNotFound]: no relay and no operator has registered it.
func (s *Store) QueueStatsOf(ctx context.Context, name string) (st job.QueueStats, err error) {
	if err := job.CheckQueueName(name); err != nil {
		return st, err
	}
	err = s.seeing(ctx, "queue stats", func(q *query.Queries) error {
		row, err := q.GetQueue(ctx, name)
		if err != nil {
			return err
		}
		scheduled, out, err := countsByQueue(ctx, q)
		if err != nil {
			return err
		}
		st = job.QueueStats{
			Queue:     job.Queue{Name: row.Name, Paused: row.Paused, WindowSize: int(row.WindowSize), Epoch: row.Epoch, Life: row.Life, EpochAge: milliseconds(row.EpochAgeMs)},
			Scheduled: scheduled[name], Out: out[name],
		}
		return countReady(ctx, q, &st)
	})
	return st, err
}

// countReady adds what waits in Postgres to st.
func countReady(ctx context.Context, q *query.Queries, st *job.QueueStats) (err error) {
	if st.Ready, err = q.CountReady(ctx, query.CountReadyParams{QueueName: st.Name, Cap: job.StatsCap}); err != nil || st.Ready == 0 {
		return err
	}
	oldest, err := q.OldestReady(ctx, st.Name)
	if errors.Is(translate("", err), job.ErrNotFound) {
		return nil // dispatched between the two statements
	}
	if err == nil {
		st.OldestAt, st.OldestAge = &oldest.OldestAt, milliseconds(oldest.AgeMs)
	}
	return err
}

func countsByQueue(ctx context.Context, q *query.Queries) (scheduled, out map[string]int64, err error) {
	scheduled, out = map[string]int64{}, map[string]int64{}
	later, err := q.CountScheduled(ctx, job.StatsCap)
	if err != nil {
		return nil, nil, err
	}
	for _, row := range later {
		scheduled[row.QueueName] = row.Jobs
	}
	away, err := q.CountOut(ctx)
	for _, row := range away {
		out[row.QueueName] = row.Jobs
	}
	return scheduled, out, err
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
