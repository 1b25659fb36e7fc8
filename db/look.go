package db

import (
	"context"
	"errors"
	"time"

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
	return job.Job{
		ID: row.ID, QueueName: row.QueueName, Kind: row.Kind,
		Priority: row.Priority, Status: job.Status(row.Status), DispatchID: number(row.DispatchID), AttemptCount: row.AttemptCount,
		FailureCount: row.FailureCount, LostCount: row.LostCount, MaxAttempts: row.MaxAttempts,
		RunAt: row.RunAt, CreatedAt: row.CreatedAt, DispatchedAt: row.DispatchedAt, StartedAt: row.StartedAt,
		FinishedAt: row.FinishedAt, WorkerID: text(row.WorkerID), LastError: text(row.LastError),
	}, err
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
		for _, row := range queues {
			st := job.QueueStats{
				Queue:     job.Queue{Name: row.Name, Paused: row.Paused, WindowSize: int(row.WindowSize), Epoch: row.Epoch, Life: row.Life, EpochAge: milliseconds(row.EpochAgeMs)},
				Scheduled: scheduled[row.Name], Out: out1[row.Name],
			}
			if st.Ready, err = q.CountReady(ctx, query.CountReadyParams{QueueName: row.Name, Cap: job.StatsCap}); err != nil {
				return err
			}
			if st.Ready > 0 {
				at, err := q.OldestReady(ctx, row.Name)
				switch t := translate("", err); {
				case err == nil:
					st.OldestAt = &at
				case !errors.Is(t, job.ErrNotFound): // dispatched between the two statements
					return err
				}
			}
			out = append(out, st)
		}
		return nil
	})
	return out, err
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

// Listing says which jobs [Store.List] shows.
type Listing struct {
	Queue  string // "" shows all queues; with Filter "" it is looked for among [job.StatsCap] jobs
	Filter string // "", ready, scheduled, out (dispatched and running) or dead
	Limit  int    // 1 to 1000
	Before int64  // with Filter "": ids below this one; 0: from the newest
}

// List shows jobs without their payloads, in the order that fits the filter: the
// newest, the next to be claimed, the next to fall due, the last to die first.
func (s *Store) List(ctx context.Context, l Listing) ([]job.Job, error) {
	limit := int32(min(max(l.Limit, 1), 1000))
	var rows []query.ListNewestRow
	err := s.seeing(ctx, "list jobs", func(q *query.Queries) error {
		switch l.Filter {
		case "":
			before := l.Before
			if before <= 0 {
				before = 1<<63 - 1
			}
			var err error
			rows, err = q.ListNewest(ctx, query.ListNewestParams{QueueName: l.Queue, BeforeID: before, MaxJobs: limit, Cap: job.StatsCap})
			return err
		case "ready":
			return listReady(ctx, q, l.Queue, limit, &rows)
		case "scheduled":
			found, err := q.ListScheduled(ctx, query.ListScheduledParams{QueueName: l.Queue, MaxJobs: limit})
			for _, r := range found {
				rows = append(rows, query.ListNewestRow(r))
			}
			return err
		case "out":
			found, err := q.ListOut(ctx, query.ListOutParams{QueueName: l.Queue, MaxJobs: limit})
			for _, r := range found {
				rows = append(rows, query.ListNewestRow(r))
			}
			return err
		case "dead":
			found, err := q.ListDead(ctx, query.ListDeadParams{QueueName: l.Queue, MaxJobs: limit})
			for _, r := range found {
				rows = append(rows, query.ListNewestRow(r))
			}
			return err
		}
		return &job.FieldError{Field: "filter", Problem: "is " + l.Filter + ", must be empty, ready, scheduled, out or dead"}
	})
	out := make([]job.Job, len(rows))
	for i, r := range rows {
		out[i] = job.Job{
			ID: r.ID, QueueName: r.QueueName, Kind: r.Kind, Priority: r.Priority, Status: job.Status(r.Status),
			AttemptCount: r.AttemptCount, FailureCount: r.FailureCount, LostCount: r.LostCount, MaxAttempts: r.MaxAttempts,
			RunAt: r.RunAt, CreatedAt: r.CreatedAt, FinishedAt: r.FinishedAt, WorkerID: text(r.WorkerID), LastError: text(r.LastError),
		}
	}
	return out, err
}

func listReady(ctx context.Context, q *query.Queries, queue string, limit int32, rows *[]query.ListNewestRow) error {
	names := []string{queue}
	if queue == "" {
		var err error
		if names, err = q.ReadyQueueNames(ctx); err != nil {
			return err
		}
	}
	for _, name := range names {
		found, err := q.ListReady(ctx, query.ListReadyParams{QueueName: name, MaxJobs: limit - int32(len(*rows))})
		if err != nil {
			return err
		}
		for _, r := range found {
			*rows = append(*rows, query.ListNewestRow(r))
		}
		if int32(len(*rows)) >= limit {
			break
		}
	}
	return nil
}

// Cancel calls a job off; false: it was over already. See outbox.cancel.
func (s *Store) Cancel(ctx context.Context, id int64) (done bool, err error) {
	err = s.seeing(ctx, "cancel", func(q *query.Queries) error {
		done, err = q.CancelJob(ctx, id)
		return err
	})
	return done, err
}

// Redrive sends a job that is over again; false: it is on its way. See
// outbox.redrive.
func (s *Store) Redrive(ctx context.Context, id int64) (done bool, err error) {
	err = s.seeing(ctx, "redrive", func(q *query.Queries) error {
		done, err = q.RedriveJob(ctx, id)
		return err
	})
	return done, err
}

// ProcessRow is one line of outbox.processes.
type ProcessRow struct {
	ID        string     `json:"id"`
	Role      string     `json:"role"`
	Host      string     `json:"host"`
	PID       int32      `json:"pid"`
	StartedAt time.Time  `json:"started_at"`
	BeatAt    time.Time  `json:"beat_at"`
	RedisAt   *time.Time `json:"redis_at"`
}

// Processes lists relays and workers.
func (s *Store) Processes(ctx context.Context) ([]ProcessRow, error) {
	var out []ProcessRow
	err := s.seeing(ctx, "list processes", func(q *query.Queries) error {
		rows, err := q.ListProcesses(ctx)
		for _, r := range rows {
			out = append(out, ProcessRow{ID: r.ID, Role: r.Role, Host: r.Host, PID: r.Pid, StartedAt: r.StartedAt, BeatAt: r.BeatAt, RedisAt: r.RedisAt})
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
