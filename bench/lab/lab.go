// Package lab runs one system on servers of its own and counts what it uses: CPU by
// process group, statements, commits, WAL bytes, row versions, Redis commands and
// bytes, Go allocations.
package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"

	"github.com/penguinmails/rookery/internal/devstack"
)

// Options says what to run on which servers.
type Options struct {
	System   string
	Dir      string            // of bench, where node/ lies
	Counted  bool              // count statements too, which costs every system a little
	Settings map[string]string // of Postgres, besides ours
	Env      []string          // of all actors
}

// Settings of the Postgres under test; everything that is safe stays as it is
// (fsync, full_page_writes and synchronous_commit are on).
var Settings = map[string]string{"shared_buffers": "1GB", "max_wal_size": "8GB", "checkpoint_timeout": "30min", "max_connections": "300"}

// Lab is a private Postgres and Redis with one system on them. One goroutine uses
// it.
type Lab struct {
	o      Options
	pg     *devstack.Postgres
	redis  *devstack.Redis
	Pool   *pgxpool.Pool
	Redis  *redis.Client
	actors []*Actor
	folder string // for records
}

// Node reports whether a system is written for Node.
func Node(system string) bool {
	return strings.HasPrefix(system, "bullmq") || strings.HasPrefix(system, "graphile") || strings.HasPrefix(system, "pg-boss")
}

// Open starts servers and prepares the schema of o.System. Close ends all of it.
func Open(ctx context.Context, o Options) (l *Lab, err error) {
	l = &Lab{o: o}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	settings := map[string]string{}
	for _, more := range []map[string]string{Settings, o.Settings} {
		for k, v := range more {
			settings[k] = v
		}
	}
	if o.Counted {
		settings["shared_preload_libraries"] = "pg_stat_statements"
	}
	if l.pg, err = devstack.StartPostgres(ctx, devstack.PostgresOptions{Durable: true, Settings: settings}); err != nil {
		return l, err
	}
	if l.redis, err = devstack.StartRedis(ctx, devstack.RedisOptions{AOF: true}); err != nil {
		return l, err
	}
	if l.folder, err = os.MkdirTemp("", "rookery-bench-"); err != nil {
		return l, err
	}
	if l.Pool, err = pgxpool.New(ctx, l.pg.URL("postgres")); err != nil {
		return l, err
	}
	at, err := redis.ParseURL(l.redis.URL())
	if err != nil {
		return l, err
	}
	l.Redis = redis.NewClient(at)
	if o.Counted {
		if _, err := l.Pool.Exec(ctx, `CREATE EXTENSION pg_stat_statements`); err != nil {
			return l, fmt.Errorf("count statements: %w", err)
		}
	}
	_, err = l.Ask(ctx, "setup")
	return l, err
}

// record returns the path of a record file.
func (l *Lab) record(name string) string { return filepath.Join(l.folder, name) }

// Close ends all actors and servers.
func (l *Lab) Close() error {
	var errs []error
	for _, a := range l.actors {
		a.kill()
	}
	if l.Pool != nil {
		l.Pool.Close()
	}
	if l.Redis != nil {
		errs = append(errs, l.Redis.Close())
	}
	if l.redis != nil {
		errs = append(errs, l.redis.Stop())
	}
	if l.pg != nil {
		errs = append(errs, l.pg.Stop())
	}
	if l.folder != "" {
		errs = append(errs, os.RemoveAll(l.folder))
	}
	return errors.Join(errs...)
}

// URL is where the Postgres under test is, for another database on it too.
func (l *Lab) URL(database string) string { return l.pg.URL(database) }
