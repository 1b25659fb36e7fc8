package rookery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/penguinmails/rookery/db"
	"github.com/penguinmails/rookery/httpapi"
	"github.com/penguinmails/rookery/internal/redisq"
	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/outbox"
	"github.com/penguinmails/rookery/relay"
	"github.com/penguinmails/rookery/workers"
)

// API returns the HTTP API on the configured address, to be run. With a relay of
// the same process urgent jobs take the express lane; without one, nil, they are
// inserted like all others. It is ready while Postgres is: enqueueing goes on
// without Redis. With [Config].Spool it is ready as well while Redis can keep jobs
// for a Postgres that is away.
func (s *Service) API(ctx context.Context, r *relay.Relay) (*httpapi.Server, error) {
	o := s.apiOptions(withoutRelays)
	s.addKeys(&o)
	err := s.addSpool(&o)
	if err != nil {
		return nil, err
	}
	client, err := s.config.pushClient()
	if err != nil {
		return nil, err
	}
	o.Endpoints = endpoints{s.store, s.config.Push.policy(), client}
	if err := s.addTokens(&o); err != nil {
		return nil, fmt.Errorf("oidc: %w", err)
	}
	if r != nil {
		o.Express = express{r}
	}
	hub, err := s.puller()
	if err != nil {
		return nil, err
	}
	o.Pull, o.Callbacks = hub, s.callbacks(hub)
	if !s.config.UI.Off {
		jobs, err := s.Jobs(ctx)
		if err != nil {
			return nil, err
		}
		o.UI = s.dashboard(jobs)
	}
	return s.api(ctx, o)
}

// Window returns the API for a process whose work is another: w, or a relay when w is
// nil. It inserts nothing, and is ready while Postgres is: without Redis its work goes
// on through Postgres, and /readyz says so.
func (s *Service) Window(ctx context.Context, addr string, w *workers.Worker) (*httpapi.Server, error) {
	going := withoutRelays
	if w != nil {
		going = func() string { return withoutWorker(w) }
	}
	o := s.apiOptions(going)
	o.Addr, o.ReadOnly = addr, true
	return s.api(ctx, o)
}

func (s *Service) apiOptions(withoutRedis func() string) httpapi.Options {
	return httpapi.Options{
		Failpoint: s.failpoint, Addr: s.config.HTTPAddr, Keys: s.config.APIKeys, Live: live{s.redis}, Registry: s.registry, Logger: s.log,
		Checks: []httpapi.Check{
			{Name: "postgres", Needed: true, Probe: s.store.Ping},
			{Name: "redis", Probe: unlessHeld(s.redis.Ping, withoutRedis)},
		},
	}
}

func (s *Service) api(ctx context.Context, o httpapi.Options) (*httpapi.Server, error) {
	jobs, err := s.Jobs(ctx)
	if err != nil {
		return nil, err
	}
	if !o.ReadOnly {
		o.Watch, o.Workers = s.store, s.store
		o.Bulk = &httpapi.Bulk{Changes: s.store, Operations: s.store, Work: s.store}
	}
	o.Admin = &httpapi.Admin{Look: jobs, As: jobs.handsOf}
	o.Events = jobs
	return httpapi.New(jobs, o) //nolint:contextcheck // requests bring their own contexts
}

// handsOf are somebody's, for the API.
func (j *Jobs) handsOf(by job.Actor) httpapi.Hands {
	a := j.As(by)
	return httpapi.Hands{Jobs: a, Queues: a}
}

// Jobs is the door for programs and the command line: insert jobs, look at them,
// call them off, send them again.
type Jobs struct {
	pool  *pgxpool.Pool
	store *db.Store
	redis *redisq.Client
}

// Jobs returns the door. Its connections end with ctx.
func (s *Service) Jobs(ctx context.Context) (*Jobs, error) {
	c, err := pgxpool.ParseConfig(s.config.DatabaseURL)
	if err != nil {
		return nil, errors.New("DATABASE_URL is not a Postgres URL")
	}
	c.ConnConfig.ConnectTimeout, c.PingTimeout = acquireLimit, acquireLimit/2
	c.BeforeConnect = func(ctx context.Context, c *pgx.ConnConfig) error {
		if s.store.Pooled(ctx) {
			c.DefaultQueryExecMode = db.PooledMode
		}
		return nil
	}
	pool, err := pgxpool.NewWithConfig(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("open pool: %w", err)
	}
	context.AfterFunc(ctx, pool.Close)
	s.pools.watch(ctx, pool)
	return &Jobs{pool: pool, store: s.store, redis: s.redis}, nil
}

// acquireLimit bounds the wait for a connection to insert on: what is left of an
// insert's time is for the insert.
const acquireLimit = 4 * time.Second

// Insert inserts all of specs or none, and returns their ids in order. The error
// wraps [job.ErrUnavailable] when Postgres did not answer, which leaves open whether
// they were inserted unless it also wraps [job.ErrNotInserted], and
// [job.ErrConflict] when another transaction was in the way.
func (j *Jobs) Insert(ctx context.Context, specs []job.Spec) ([]int64, error) {
	waiting, cancel := context.WithTimeout(ctx, acquireLimit)
	defer cancel()
	c, err := j.pool.Acquire(waiting)
	if err != nil {
		return nil, notInserted(db.Translate("insert", err))
	}
	defer c.Release()
	ids, err := outbox.InsertSpecs(ctx, c, specs)
	var field *job.FieldError
	if err == nil || errors.As(err, &field) {
		return ids, err
	}
	certain := db.NotInserted(err)
	err = db.Translate("insert", err) // outbox leaves its callers the driver's own errors
	if certain {
		return nil, notInserted(err)
	}
	return nil, err
}

func notInserted(err error) error { return fmt.Errorf("%w: %w", job.ErrNotInserted, err) }

// Job returns one job, or [job.ErrNotFound].
func (j *Jobs) Job(ctx context.Context, id int64) (job.Job, error) { return j.store.Job(ctx, id) }

// JobOf is [Jobs.Job] for somebody who may see some queues: names, or beginnings that end in
// *; none: all.
func (j *Jobs) JobOf(ctx context.Context, id int64, queues []string) (job.Job, error) {
	return j.store.JobOf(ctx, id, queues)
}

// Attempts returns a job's attempts that did not simply succeed.
func (j *Jobs) Attempts(ctx context.Context, id int64) ([]job.Attempt, error) {
	return j.store.Attempts(ctx, id)
}

// Live says where a job is at this moment.
func (j *Jobs) Live(ctx context.Context, row job.Job) (job.Live, error) {
	return live{j.redis}.Live(ctx, row)
}

// List shows a page of jobs without payloads and headers.
func (j *Jobs) List(ctx context.Context, l job.Listing) (job.Page, error) {
	return j.store.List(ctx, l)
}

// Cancel calls a job off; false: it was over.
func (j *Jobs) Cancel(ctx context.Context, id int64) (bool, error) { return j.store.Cancel(ctx, id) }

// Redrive sends a job that is over again; false: it is on its way.
func (j *Jobs) Redrive(ctx context.Context, id int64) (bool, error) { return j.store.Redrive(ctx, id) }

// Clone inserts a job like another, due now, and returns its id. The error is as that
// of [Jobs.Insert], or [job.ErrNotFound].
func (j *Jobs) Clone(ctx context.Context, id int64) (int64, error) {
	clone, err := j.store.Clone(ctx, id)
	if db.NotInserted(err) {
		err = notInserted(err)
	}
	return clone, err
}

// Delete forgets a job that is over, with its history; false: it is on its way.
func (j *Jobs) Delete(ctx context.Context, id int64) (bool, error) { return j.store.Delete(ctx, id) }

// express gives the API a relay's express lane.
type express struct{ relay *relay.Relay }

// Insert is [relay.Relay.Express].
func (e express) Insert(ctx context.Context, s job.Spec) (int64, bool, error) {
	id, handled, err := e.relay.Express(ctx, s)
	if db.NotInserted(err) {
		err = notInserted(err)
	}
	return id, handled, err
}

// live answers from the row and from Redis' leases.
type live struct{ redis *redisq.Client }

// Live says where j is: a status that is over, scheduled, retrying or ready while
// it waits in Postgres, waiting while it does in Redis, leased while somebody has it.
func (l live) Live(ctx context.Context, j job.Job) (job.Live, error) {
	out := job.Live{State: string(j.Status), WorkerID: j.WorkerID}
	switch j.Status {
	case job.Completed, job.Dead, job.Cancelled:
		return out, nil
	case job.Queued:
		out = job.Live{State: "ready"}
		if j.RunAt.After(time.Now()) { // only words for people: nothing is decided by this clock
			out.State = "scheduled"
			if j.FailureCount > 0 {
				out.State = "retrying"
			}
		}
		return out, nil
	case job.Dispatched, job.Running:
	}
	ends, leased, err := l.redis.LeaseOf(ctx, j.QueueName, job.Ref{ID: j.ID, DispatchID: j.DispatchID})
	if err != nil {
		return out, fmt.Errorf("look up lease: %w", err)
	}
	if leased {
		out.State, out.LeaseEnds = "leased", &ends
	} else if j.Status == job.Dispatched {
		out.State = "waiting"
	}
	return out, nil
}
