package systems

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hibiken/asynq"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/penguinmails/rookery/bench/actor"
)

// asynqSystem is Asynq, a queue in Redis. It knows no transaction: the business row
// is committed in Postgres first, and a crash between the two loses jobs.
type asynqSystem struct{}

// asynqSlots is used when nobody says how many, so that Asynq has as many as the
// others. Its own default is one handler per CPU, and its README has 10.
const asynqSlots = 100

func asynqRedis(s actor.Servers) (asynq.RedisConnOpt, error) {
	o, err := asynq.ParseRedisURI(s.RedisURL)
	if err != nil {
		return nil, fmt.Errorf("redis url: %w", err)
	}
	return o, nil
}

// Setup implements [actor.System]. Asynq needs no schema.
func (asynqSystem) Setup(ctx context.Context, s actor.Servers) error { return makeTables(ctx, s) }

type asynqProducer struct {
	client *asynq.Client
	pool   *pgxpool.Pool // nil without business rows
}

// Producer implements [actor.System].
func (asynqSystem) Producer(ctx context.Context, s actor.Servers, o actor.ProduceOptions) (actor.Producer, error) {
	at, err := asynqRedis(s)
	if err != nil {
		return nil, err
	}
	p := &asynqProducer{client: asynq.NewClient(at)}
	if err := p.client.Ping(); err != nil {
		return nil, errors.Join(fmt.Errorf("ping redis: %w", err), p.client.Close())
	}
	if o.Business {
		if p.pool, err = openPool(ctx, s.DatabaseURL, o.Producers, nil); err != nil {
			return nil, errors.Join(err, p.client.Close())
		}
	}
	return p, nil
}

// Insert implements [actor.Producer].
func (p *asynqProducer) Insert(ctx context.Context, jobs []actor.Job) error {
	if p.pool != nil {
		if err := order(ctx, p.pool); err != nil {
			return err
		}
	}
	for _, j := range jobs {
		options := []asynq.Option{asynq.Queue(j.Queue)}
		if !j.RunAt.IsZero() {
			options = append(options, asynq.ProcessAt(j.RunAt))
		}
		if _, err := p.client.EnqueueContext(ctx, asynq.NewTask(kind, j.Payload), options...); err != nil {
			return fmt.Errorf("enqueue: %w", err)
		}
	}
	return nil
}

// Close implements [actor.Producer].
func (p *asynqProducer) Close() {
	_ = p.client.Close()
	if p.pool != nil {
		p.pool.Close()
	}
}

// Work implements [actor.System].
func (asynqSystem) Work(ctx context.Context, s actor.Servers, o actor.WorkOptions, ready func(), handle actor.Handler) error {
	at, err := asynqRedis(s)
	if err != nil {
		return err
	}
	config := asynq.Config{
		Concurrency:    asynqSlots,
		Queues:         map[string]int{},
		RetryDelayFunc: func(int, error, *asynq.Task) time.Duration { return actor.RetryAfter },
		LogLevel:       asynq.ErrorLevel,
	}
	if o.Concurrency > 0 {
		config.Concurrency = o.Concurrency
	}
	for _, name := range o.Queue {
		config.Queues[name] = 1
	}
	mux := asynq.NewServeMux()
	mux.HandleFunc(kind, func(ctx context.Context, t *asynq.Task) error { return handle(ctx, t.Payload()) })
	server := asynq.NewServer(at, config)
	if err := server.Start(mux); err != nil {
		return fmt.Errorf("start server: %w", err)
	}
	ready()
	<-ctx.Done()
	server.Shutdown()
	return nil
}

// Left implements [actor.System]. What is completed is gone: retention is 0.
func (asynqSystem) Left(_ context.Context, s actor.Servers) (int64, error) {
	at, err := asynqRedis(s)
	if err != nil {
		return 0, err
	}
	i := asynq.NewInspector(at)
	defer func() { _ = i.Close() }()
	names, err := i.Queues()
	if err != nil {
		return 0, fmt.Errorf("list queues: %w", err)
	}
	left := 0
	for _, name := range names {
		q, err := i.GetQueueInfo(name)
		if err != nil {
			return 0, fmt.Errorf("look at queue %s: %w", name, err)
		}
		left += q.Pending + q.Active + q.Scheduled + q.Retry + q.Archived
	}
	return int64(left), nil
}

// Settings implements [actor.System].
func (asynqSystem) Settings() string {
	return fmt.Sprintf("Asynq %s with its defaults (retention 0, idle check 1 s, forwarding of delayed jobs every 5 s), logs from error, retry after %s; "+
		"%d handlers at once, as many as the others have, instead of its default, one per CPU (its README has 10). This version has no batch enqueue, so jobs are enqueued one by one, "+
		"and no transaction: a business row is committed in Postgres first.", version("github.com/hibiken/asynq"), actor.RetryAfter, asynqSlots)
}
