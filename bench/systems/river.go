package systems

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"

	"github.com/penguinmails/rookery/bench/actor"
)

// riverSystem is River, a queue in Postgres. Everything that riverTuning does not say
// is River's default: maintenance by the elected leader, LISTEN/NOTIFY, job timeout
// of a minute, completed rows kept for 24 hours.
type riverSystem struct{ riverTuning }

// riverTuning holds what River's two ways of being set up differ in; zero is its
// default. The figures of the bench command are those of River's repository at v0.43
// and of the last version of that file that could be read: the module proxy does not
// have cmd/river v0.51.1, whose changelog tells of no change to them.
type riverTuning struct {
	workers  int
	cooldown time.Duration
	poll     time.Duration
	says     string
}

var (
	riverDefaults = riverTuning{workers: 100,
		says: "MaxWorkers 100 as in its README and package doc, FetchCooldown and FetchPollInterval at their defaults of 100 ms and 1 s"}
	riverBench = riverTuning{workers: 2000, cooldown: 2 * time.Millisecond, poll: 20 * time.Millisecond,
		says: "MaxWorkers 2,000, FetchCooldown 2 ms and FetchPollInterval 20 ms as in its own bench command (cmd/river/riverbench)"}
)

// riverPool is how many connections a worker process gets. River's own advice, given
// for its JavaScript client, is what the handlers use plus five; ours use none.
const riverPool = 20

func riverLogger() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
}

// Setup implements [actor.System]; it does what river migrate-up does.
func (*riverSystem) Setup(ctx context.Context, s actor.Servers) error {
	pool, err := openPool(ctx, s.DatabaseURL, 2, nil)
	if err != nil {
		return err
	}
	defer pool.Close()
	m, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Logger: riverLogger()})
	if err != nil {
		return fmt.Errorf("set up: %w", err)
	}
	if _, err := m.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return fmt.Errorf("set up: %w", err)
	}
	return makeTables(ctx, s)
}

// riverProducer inserts by an insert-only client, as River's docs have it.
type riverProducer struct {
	pool     *pgxpool.Pool
	client   *river.Client[pgx.Tx]
	business bool
}

// Producer implements [actor.System].
func (r *riverSystem) Producer(ctx context.Context, s actor.Servers, o actor.ProduceOptions) (actor.Producer, error) {
	pool, err := openPool(ctx, s.DatabaseURL, o.Producers, nil)
	if err != nil {
		return nil, err
	}
	// The cooldown is also how often an inserting process notifies of a queue.
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{FetchCooldown: r.cooldown, FetchPollInterval: r.poll, Logger: riverLogger()})
	if err != nil {
		pool.Close()
		return nil, fmt.Errorf("new client: %w", err)
	}
	return &riverProducer{pool: pool, client: client, business: o.Business}, nil
}

// Insert implements [actor.Producer].
func (p *riverProducer) Insert(ctx context.Context, jobs []actor.Job) error {
	if p.business {
		return pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
			if err := order(ctx, tx); err != nil {
				return err
			}
			return p.insertTx(ctx, tx, jobs)
		})
	}
	// These make a transaction of their own.
	if len(jobs) == 1 {
		_, err := p.client.Insert(ctx, args{jobs[0].Payload}, riverOptions(jobs[0]))
		return err
	}
	_, err := p.client.InsertManyFast(ctx, riverParams(jobs))
	return err
}

func (p *riverProducer) insertTx(ctx context.Context, tx pgx.Tx, jobs []actor.Job) error {
	if len(jobs) == 1 {
		_, err := p.client.InsertTx(ctx, tx, args{jobs[0].Payload}, riverOptions(jobs[0]))
		return err
	}
	_, err := p.client.InsertManyFastTx(ctx, tx, riverParams(jobs))
	return err
}

func riverOptions(j actor.Job) *river.InsertOpts {
	return &river.InsertOpts{Queue: j.Queue, ScheduledAt: j.RunAt}
}

func riverParams(jobs []actor.Job) []river.InsertManyParams {
	params := make([]river.InsertManyParams, len(jobs))
	for i, j := range jobs {
		params[i] = river.InsertManyParams{Args: args{j.Payload}, InsertOpts: riverOptions(j)}
	}
	return params
}

// Close implements [actor.Producer].
func (p *riverProducer) Close() { p.pool.Close() }

// riverWorker hands the raw payload on. River reads it as JSON before, in any case.
type riverWorker struct {
	river.WorkerDefaults[args]
	handle actor.Handler
}

// Work implements [river.Worker].
func (w *riverWorker) Work(ctx context.Context, j *river.Job[args]) error {
	return w.handle(ctx, j.EncodedArgs)
}

// constantRetry tries again after actor.RetryAfter.
type constantRetry struct{}

// NextRetry implements [river.ClientRetryPolicy].
func (constantRetry) NextRetry(*rivertype.JobRow) time.Time {
	return time.Now().Add(actor.RetryAfter)
}

// Work implements [actor.System]. River counts workers for each queue, and has no
// limit over all of them.
func (r *riverSystem) Work(ctx context.Context, s actor.Servers, o actor.WorkOptions, ready func(), handle actor.Handler) error {
	pool, err := openPool(ctx, s.DatabaseURL, riverPool, nil)
	if err != nil {
		return err
	}
	defer pool.Close()
	workers := river.NewWorkers()
	if err := river.AddWorkerSafely(workers, &riverWorker{handle: handle}); err != nil {
		return fmt.Errorf("add worker: %w", err)
	}
	queues := map[string]river.QueueConfig{}
	for _, name := range o.Queue {
		queues[name] = river.QueueConfig{MaxWorkers: r.workers}
		if o.Concurrency > 0 {
			queues[name] = river.QueueConfig{MaxWorkers: o.Concurrency}
		}
	}
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
		FetchCooldown: r.cooldown, FetchPollInterval: r.poll, Logger: riverLogger(),
		Queues: queues, RetryPolicy: constantRetry{}, Workers: workers,
	})
	if err != nil {
		return fmt.Errorf("new client: %w", err)
	}
	// The end of Start's context ends running jobs too, so it is Stop that stops.
	if err := client.Start(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("start client: %w", err)
	}
	ready()
	<-ctx.Done()
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	if err := client.Stop(stopping); err != nil {
		return fmt.Errorf("stop client: %w", err)
	}
	return nil
}

// Left implements [actor.System].
func (*riverSystem) Left(ctx context.Context, s actor.Servers) (int64, error) {
	return count(ctx, s, `SELECT count(*) FROM river_job WHERE state <> 'completed'`)
}

// Settings implements [actor.System].
func (r *riverSystem) Settings() string {
	return fmt.Sprintf("River %s with riverpgxv5: %s; producers call InsertManyFast (COPY) for many jobs and Insert for one, their Tx forms beside a business row; "+
		"a pool of %d connections per worker process (its advice, given for its JavaScript client, is what handlers use plus 5; ours use none), logs from error, retry after %s, all else default. "+
		"MaxWorkers holds for each queue.", version("github.com/riverqueue/river"), r.says, riverPool, actor.RetryAfter)
}
