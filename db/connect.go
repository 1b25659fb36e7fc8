package db

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/penguinmails/rookery/db/internal/query"
)

// pins keep the plan of every hot statement, whatever the statistics say. They go
// into the startup packet. enable_sort stays on: a claim sorts its batch.
var pins = map[string]string{
	"plan_cache_mode":               "force_generic_plan",
	"enable_seqscan":                "off",
	"enable_bitmapscan":             "off",
	"enable_hashjoin":               "off",
	"enable_mergejoin":              "off",
	"enable_material":               "off",
	"enable_memoize":                "off",
	"jit":                           "off",
	"lock_timeout":                  "1000",
	"statement_timeout":             "10000",
	"synchronous_commit":            "on", // Redis never hears of a claim, nor of a job, that a crash can take back
	"application_name":              "rookery",
	"default_transaction_isolation": "read committed", // at REPEATABLE READ the guards raise 40001
}

// What a connection keeps: the life of the Postgres it talks to, and whether a pooler
// stands in between, which may lead it to another one at each transaction.
const (
	lifeKey   = "rookery.life"
	pooledKey = "rookery.pooled"
)

// Options tunes a [Store]. The zero value works.
type Options struct {
	MaxConns int // of the pinned pool; 0 means 8
	Logger   *slog.Logger
	// Failpoint is called where a crash between a change by people and its line in
	// outbox.audit would be interesting; nil for all but tests.
	Failpoint func(name string)

	// patience replaces lock_timeout, statement_timeout and the limit of a call; 0 for all
	// but tests that hold a lock until somebody waits for it, however slow the machine is.
	patience time.Duration
}

// settings are the pins of a Store's sessions.
func (o Options) settings() map[string]string {
	if o.patience == 0 {
		return pins
	}
	all := maps.Clone(pins)
	for _, name := range []string{"lock_timeout", "statement_timeout"} {
		all[name] = strconv.FormatInt(o.patience.Milliseconds(), 10)
	}
	return all
}

// Store is Postgres as the relay, the workers and the API need it. Its methods are
// safe for concurrent use. Their errors wrap [job.ErrUnavailable] when Postgres
// cannot be reached, [job.ErrConflict] when the same call may simply be made again,
// and are a [*job.DataError] when a value was refused.
type Store struct {
	pool   *pgxpool.Pool // plans pinned
	look   *pgxpool.Pool // plans free: API and command line
	log    *slog.Logger
	limit  time.Duration // of every call
	pooled atomic.Bool   // a pooler stands between us and Postgres
	pruned pruning       // of outbox.callbacks

	failpoint func(string)
}

// Open makes the pools. It does not wait for Postgres: a connection is made when it
// is needed, so a service starts while Postgres is away. The error is about the URL.
func Open(ctx context.Context, url string, o Options) (*Store, error) {
	if o.MaxConns == 0 {
		o.MaxConns = 8
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Failpoint == nil {
		o.Failpoint = func(string) {}
	}
	s := &Store{log: o.Logger, limit: max(callLimit, o.patience), failpoint: o.Failpoint}
	set := o.settings()
	free, err := parse(url)
	if err != nil {
		return nil, err
	}
	free.MaxConns = 4
	// Plans are free, but not compiled: by the planner's guess that takes 400 ms of a
	// statement that else runs for 20.
	for _, name := range []string{"application_name", "lock_timeout", "statement_timeout", "default_transaction_isolation", "jit"} {
		free.ConnConfig.RuntimeParams[name] = set[name]
	}
	free.BeforeConnect = s.beforeConnect
	if s.look, err = pgxpool.NewWithConfig(ctx, free); err != nil {
		return nil, fmt.Errorf("open pool: %w", err)
	}
	pinned, err := parse(url)
	if err != nil {
		return nil, err
	}
	pinned.MaxConns = int32(o.MaxConns)
	for name, value := range set {
		pinned.ConnConfig.RuntimeParams[name] = value
	}
	pinned.BeforeConnect = s.beforeConnect
	pinned.AfterConnect = s.afterConnect
	if s.pool, err = pgxpool.NewWithConfig(ctx, pinned); err != nil {
		s.look.Close()
		return nil, fmt.Errorf("open pool: %w", err)
	}
	return s, nil
}

func parse(url string) (*pgxpool.Config, error) {
	c, err := pgxpool.ParseConfig(url)
	if err != nil {
		// pgx's own message repeats the URL, and with it the password.
		return nil, errors.New("DATABASE_URL is not a Postgres URL such as postgres://user@host:5432/database")
	}
	c.ConnConfig.ConnectTimeout = 5 * time.Second
	c.PingTimeout = pingLimit
	return c, nil
}

// beforeConnect leaves the pins out once a pooler has refused them.
func (s *Store) beforeConnect(_ context.Context, c *pgx.ConnConfig) error {
	if !s.pooled.Load() {
		return nil
	}
	for name := range pins {
		delete(c.RuntimeParams, name)
	}
	c.DefaultQueryExecMode = PooledMode
	return nil
}

// PooledMode is how statements go through a pooler in transaction mode, of any age: in
// one round trip, by no name that the next server connection would not know. The types
// of parameters are asked for once; without them, as in QueryExecModeExec, JSON that is
// a []byte would arrive as a bytea.
const PooledMode = pgx.QueryExecModeCacheDescribe

// Pooled reports whether a pooler stands in front that refuses startup parameters. When
// that is not known yet it makes a round trip, of two seconds at most.
func (s *Store) Pooled(ctx context.Context) bool {
	if !s.pooled.Load() {
		ctx, cancel := context.WithTimeout(ctx, pingLimit)
		defer cancel()
		_ = s.Ping(ctx) // a refusal is noted on the way; whatever else it says, others will
	}
	return s.pooled.Load()
}

// afterConnect reads which Postgres this is: after a failover a new connection is
// the first to see another timeline.
func (s *Store) afterConnect(ctx context.Context, c *pgx.Conn) error {
	life, err := query.New(c).PostgresLife(ctx)
	if err != nil {
		return fmt.Errorf("read timeline: %w", err)
	}
	pid, err := query.New(c).Ping(ctx)
	if err != nil {
		return fmt.Errorf("read process id: %w", err)
	}
	c.PgConn().CustomData()[lifeKey] = life
	c.PgConn().CustomData()[pooledKey] = uint32(pid) != c.PgConn().PID()
	return nil
}

// refusedPins reports whether err is a pooler's refusal of startup parameters
// (PgBouncer: 08P01), and if so makes the next connection do without.
func (s *Store) refusedPins(ctx context.Context, err error) bool {
	var pg *pgconn.PgError
	if s.pooled.Load() || !errors.As(err, &pg) || pg.Code != "08P01" || !strings.Contains(pg.Message, "startup parameter") {
		return false
	}
	s.pooled.Store(true)
	s.log.WarnContext(ctx, "a pooler refuses our startup parameters; plans are not pinned until the role sets them", "remedy", "rookery doctor")
	return true
}

// Close ends all connections, once the statements under way have ended.
func (s *Store) Close() {
	s.pool.Close()
	s.look.Close()
}

// Ping makes one round trip.
func (s *Store) Ping(ctx context.Context) error {
	return s.do(ctx, "ping", func(q *query.Queries) error {
		_, err := q.Ping(ctx)
		return err
	})
}

// do runs one statement on the pinned pool and translates its error. verb says
// what was wanted.
func (s *Store) do(ctx context.Context, verb string, run func(*query.Queries) error) error {
	pool := limited{s.pool, s.limit}
	err := run(query.New(pool))
	if err != nil && s.refusedPins(ctx, err) {
		err = run(query.New(pool))
	}
	return translate(verb, err)
}

// on runs statements on one pinned connection, and says which Postgres it talks to.
func (s *Store) on(ctx context.Context, verb string, run func(q *query.Queries, life string) error) error {
	acquiring, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	c, err := s.pool.Acquire(acquiring)
	if err != nil && s.refusedPins(ctx, err) {
		c, err = s.pool.Acquire(acquiring)
	}
	if err != nil {
		return translate(verb, &notSentError{err})
	}
	defer c.Release()
	kept := c.Conn().PgConn().CustomData()
	if pooled, _ := kept[pooledKey].(bool); pooled {
		return translate(verb, s.within(ctx, c, run))
	}
	life, _ := kept[lifeKey].(string)
	return translate(verb, run(query.New(limited{c, s.limit}), life))
}

// within runs statements through a pooler. Our connection to that outlives a failover
// behind it, so the life is read in the transaction of the statements: for so long it
// leads to one Postgres.
func (s *Store) within(ctx context.Context, c *pgxpool.Conn, run func(q *query.Queries, life string) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	return pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
		q := query.New(limited{tx, s.limit})
		life, err := q.PostgresLife(ctx)
		if err != nil {
			return fmt.Errorf("read timeline: %w", err)
		}
		return run(q, life)
	})
}
