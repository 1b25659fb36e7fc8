package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"

	"github.com/penguinmails/rookery/internal/devstack"
	"github.com/penguinmails/rookery/job"
)

//go:embed sql/schema.sql
var schemaSQL string

// schemaMark is the comment by which the demo knows a schema as its own.
const schemaMark = "rookery campaign demo"

// stack is the two servers, private ones unless the environment names others.
type stack struct {
	databaseURL, redisURL string
	ownPostgres, ownRedis bool
	queue                 string
	psql                  string // path, or "" when there is none

	db    *pgxpool.Pool
	redis *redis.Client
	stops []func() error // in the order of starting
}

// openStack starts the servers, or takes those that DATABASE_URL and REDIS_URL
// name. After an error nothing is left running.
func openStack(ctx context.Context, out io.Writer) (*stack, error) {
	s := &stack{databaseURL: os.Getenv("DATABASE_URL"), redisURL: os.Getenv("REDIS_URL"), queue: "email:processing"}
	if err := s.start(ctx, out); err != nil {
		return nil, errors.Join(err, s.close())
	}
	if !s.ownPostgres || !s.ownRedis {
		// Somebody else's servers may hold somebody else's jobs, or what an earlier
		// run was stopped in the middle of.
		s.queue += fmt.Sprintf(":%x", job.NewDispatchID())
	}
	return s, nil
}

func (s *stack) start(ctx context.Context, out io.Writer) error {
	if s.databaseURL == "" || s.redisURL == "" {
		if err := devstack.Install(ctx, out); err != nil {
			return err
		}
	}
	bin := ""
	if s.databaseURL == "" {
		pg, err := devstack.StartPostgres(ctx, devstack.PostgresOptions{Durable: true})
		if err != nil {
			return err
		}
		s.stops = append(s.stops, pg.Stop)
		s.databaseURL, s.ownPostgres, bin = pg.URL("postgres"), true, pg.Bin()
	}
	s.psql = findPsql(bin)
	if s.redisURL == "" {
		r, err := devstack.StartRedis(ctx, devstack.RedisOptions{AOF: true})
		if err != nil {
			return err
		}
		s.stops = append(s.stops, r.Stop)
		s.redisURL, s.ownRedis = r.URL(), true
	}
	return s.connect(ctx)
}

// connect opens the demo's own connections, for looking on and for the fault.
func (s *stack) connect(ctx context.Context) error {
	options, err := redis.ParseURL(s.redisURL)
	if err != nil {
		return fmt.Errorf("REDIS_URL: the demo takes that of a single server only: %w", err)
	}
	s.redis = redis.NewClient(options)
	s.stops = append(s.stops, s.redis.Close)
	if err := s.redis.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("reach redis: %w", err)
	}
	if s.db, err = pgxpool.New(ctx, s.databaseURL); err != nil {
		return fmt.Errorf("DATABASE_URL: %w", err)
	}
	s.stops = append(s.stops, func() error { s.db.Close(); return nil })
	if err := s.db.Ping(ctx); err != nil {
		return fmt.Errorf("reach postgres: %w", err)
	}
	return nil
}

// environment returns what child processes need to find the servers.
func (s *stack) environment() []string {
	return append(os.Environ(), "DATABASE_URL="+s.databaseURL, "REDIS_URL="+s.redisURL)
}

// createTables makes the business tables anew. A schema of that name that is not
// the demo's is left alone, and an error.
func (s *stack) createTables(ctx context.Context) error {
	var mark *string
	const look = `SELECT max(coalesce(obj_description(oid, 'pg_namespace'), '')) FROM pg_namespace WHERE nspname = 'campaign'`
	if err := s.db.QueryRow(ctx, look).Scan(&mark); err != nil {
		return fmt.Errorf("look for schema campaign: %w", err)
	}
	create := schemaSQL
	if mark != nil {
		if *mark != schemaMark {
			return errors.New("the database has a schema campaign that is not the demo's")
		}
		create = "DROP SCHEMA campaign CASCADE;\n" + schemaSQL
	}
	if _, err := s.db.Exec(ctx, create); err != nil {
		return fmt.Errorf("create business tables: %w", err)
	}
	return nil
}

// flushName says what flush does.
func (s *stack) flushName() string {
	if s.ownRedis {
		return "Redis flushed (FLUSHALL)"
	}
	return "every key of the queue deleted from Redis"
}

// flush makes Redis forget everything. On a Redis that is not the demo's own only
// the keys of its queue go: the rest may be somebody's.
func (s *stack) flush(ctx context.Context) error {
	if s.ownRedis {
		return s.redis.FlushAll(ctx).Err()
	}
	keys, err := s.redis.Keys(ctx, "queue:{"+s.queue+"}*").Result()
	if err != nil || len(keys) == 0 {
		return err
	}
	return s.redis.Unlink(ctx, keys...).Err()
}

// String says which servers these are, without passwords.
func (s *stack) String() string {
	return fmt.Sprintf("Postgres %s%s, Redis %s%s", host(s.databaseURL), private(s.ownPostgres), host(s.redisURL), private(s.ownRedis))
}

func private(own bool) string {
	if own {
		return " (private)"
	}
	return " (yours)"
}

// host returns host and port of a connection URL.
func host(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return "of the environment"
	}
	if u.Hostname() == "127.0.0.1" && u.Port() != "" {
		return net.JoinHostPort("localhost", u.Port())
	}
	return u.Host
}

// close stops what was started, the last first.
func (s *stack) close() error {
	var errs []error
	for i := len(s.stops) - 1; i >= 0; i-- {
		errs = append(errs, s.stops[i]())
	}
	s.stops = nil
	return errors.Join(errs...)
}
