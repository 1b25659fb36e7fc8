package systems

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/bench/actor"
	"github.com/penguinmails/rookery/outbox"
	"github.com/penguinmails/rookery/workers"
)

// rookerySystem is Rookery with its defaults. Its relay is a process of its own,
// which whoever measures starts beside producers and workers.
type rookerySystem struct {
	insert func(ctx context.Context, db querier, jobs []actor.Job) error
	how    string
}

const (
	byLibrary = "producers call outbox.InsertMany (COPY) for many jobs and outbox.Insert for one, as package outbox says"
	bySQL     = "producers send one plain INSERT INTO outbox.jobs per transaction, of many rows by unnest, as docs/sql.md says"
)

// Setup implements [actor.System]; it does what rookery migrate up does.
func (*rookerySystem) Setup(ctx context.Context, s actor.Servers) error {
	if _, err := rookery.Migrate(ctx, s.DatabaseURL); err != nil {
		return fmt.Errorf("set up: %w", err)
	}
	return makeTables(ctx, s)
}

// Producer implements [actor.System].
func (r *rookerySystem) Producer(ctx context.Context, s actor.Servers, o actor.ProduceOptions) (actor.Producer, error) {
	return newTableProducer(ctx, s, o, r.insert)
}

func insertByLibrary(ctx context.Context, db querier, jobs []actor.Job) error {
	if len(jobs) == 1 {
		_, err := outbox.Insert(ctx, db, args{jobs[0].Payload}, outbox.Options{QueueName: jobs[0].Queue, RunAt: jobs[0].RunAt})
		return err
	}
	items := make([]outbox.Item, len(jobs))
	for i, j := range jobs {
		items[i] = outbox.Item{Args: args{j.Payload}, Options: outbox.Options{QueueName: j.Queue, RunAt: j.RunAt}}
	}
	_, err := outbox.InsertMany(ctx, db, items)
	return err
}

// A job without a moment leaves run_at to its default, as an application would.
const (
	sqlOne      = `INSERT INTO outbox.jobs (queue_name, kind, payload) VALUES ($1, $2, $3)`
	sqlOneLater = `INSERT INTO outbox.jobs (queue_name, kind, payload, run_at) VALUES ($1, $2, $3, $4)`
	sqlMany     = `
INSERT INTO outbox.jobs (queue_name, kind, payload)
SELECT j.queue_name, $1, j.payload
FROM unnest($2::text[], $3::jsonb[]) AS j (queue_name, payload)`
	sqlManyLater = `
INSERT INTO outbox.jobs (queue_name, kind, payload, run_at)
SELECT j.queue_name, $1, j.payload, coalesce(j.run_at, now())
FROM unnest($2::text[], $3::jsonb[], $4::timestamptz[]) AS j (queue_name, payload, run_at)`
)

func insertBySQL(ctx context.Context, db querier, jobs []actor.Job) error {
	if j := jobs[0]; len(jobs) == 1 {
		statement, values := sqlOne, []any{j.Queue, kind, j.Payload}
		if !j.RunAt.IsZero() {
			statement, values = sqlOneLater, append(values, j.RunAt)
		}
		_, err := db.Exec(ctx, statement, values...)
		return err
	}
	queues, payloads, later := make([]string, len(jobs)), make([][]byte, len(jobs)), false
	for i, j := range jobs {
		queues[i], payloads[i] = j.Queue, j.Payload
		later = later || !j.RunAt.IsZero()
	}
	statement, values := sqlMany, []any{kind, queues, payloads}
	if later {
		moments := make([]*time.Time, len(jobs))
		for i := range jobs {
			if !jobs[i].RunAt.IsZero() {
				moments[i] = &jobs[i].RunAt
			}
		}
		statement, values = sqlManyLater, append(values, moments)
	}
	_, err := db.Exec(ctx, statement, values...)
	return err
}

// Work implements [actor.System].
func (*rookerySystem) Work(ctx context.Context, s actor.Servers, o actor.WorkOptions, ready func(), handle actor.Handler) error {
	svc, err := rookery.Open(ctx, rookery.Config{DatabaseURL: s.DatabaseURL, RedisURL: s.RedisURL, LogLevel: slog.LevelWarn})
	if err != nil {
		return err
	}
	registry := workers.NewRegistry()
	registry.Handle(kind, workers.HandlerFunc(func(ctx context.Context, j *workers.Job) error { return handle(ctx, j.Payload) }),
		workers.HandlerOptions{Backoff: func(int) time.Duration { return actor.RetryAfter }})
	options := workers.Options{Concurrency: o.Concurrency}
	weight := 0 // in their order, which is nothing for one
	if len(o.Queue) > 1 {
		weight = 1
	}
	for _, name := range o.Queue {
		options.Queues = append(options.Queues, workers.QueueWeight{Name: name, Weight: weight})
	}
	w, err := svc.Worker(registry, options)
	if err != nil {
		return errors.Join(err, svc.Close())
	}
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	if awaitWorker(ctx, w) {
		ready()
	}
	return errors.Join(<-done, svc.Close())
}

// awaitWorker waits until both servers have answered w, which then takes jobs.
func awaitWorker(ctx context.Context, w *workers.Worker) bool {
	t := time.NewTicker(5 * time.Millisecond)
	defer t.Stop()
	for {
		if s := w.Status(); !s.RedisAt.IsZero() && !s.PostgresAt.IsZero() {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-t.C:
		}
	}
}

// Left implements [actor.System].
func (*rookerySystem) Left(ctx context.Context, s actor.Servers) (int64, error) {
	return count(ctx, s, `SELECT count(*) FROM outbox.jobs WHERE status <> 'completed'`)
}

// Settings implements [actor.System].
func (r *rookerySystem) Settings() string {
	return fmt.Sprintf("Rookery %s of this tree, all defaults (100 slots per worker process, one relay in a process of its own), logs from warn; %s; "+
		"backoff %s. Rookery's own authors wrote this.", rookery.Version, r.how, actor.RetryAfter)
}
