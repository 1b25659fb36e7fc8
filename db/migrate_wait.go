package db

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pressly/goose/v3"
)

// A migration that waits for a lock of a table has every statement that comes after it
// wait too: behind a pg_dump that reads outbox.dispatches for an hour nobody would claim a
// job. So it waits for a moment, lets the others through, and tries again; a migration is
// one transaction, and nothing of it is half-done.

// patience is how a migrator waits for locks.
type patience struct {
	lock  time.Duration // for each lock
	pause time.Duration // before it tries again
	tries int
}

var usualPatience = patience{lock: 3 * time.Second, pause: 3 * time.Second, tries: 5}

// beforeConnect bounds how long the connection of a migration waits for locks, unless the
// URL or PGOPTIONS does. One that only looks may go through a pooler, which would refuse.
func (m *Migrator) beforeConnect(_ context.Context, c *pgx.ConnConfig) error {
	if !m.moving.Load() || c.RuntimeParams["lock_timeout"] != "" || strings.Contains(c.RuntimeParams["options"], "lock_timeout") {
		return nil
	}
	c.RuntimeParams = maps.Clone(c.RuntimeParams)
	c.RuntimeParams["lock_timeout"] = strconv.FormatInt(m.patience.lock.Milliseconds(), 10)
	return nil
}

// patiently runs migrations, again when a lock could not be had, and returns all that
// were applied.
func (m *Migrator) patiently(ctx context.Context, run func(context.Context) ([]*goose.MigrationResult, error)) (done []*goose.MigrationResult, err error) {
	m.moving.Store(true)
	defer m.moving.Store(false)
	for try := 1; ; try++ {
		results, err := run(ctx)
		if err == nil {
			return append(done, results...), nil
		}
		var partial *goose.PartialError
		if errors.As(err, &partial) {
			done = append(done, partial.Applied...)
		}
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || pg.Code != "55P03" {
			return done, err
		}
		if try == m.patience.tries {
			return done, fmt.Errorf("a lock was not to be had, %d times (%s); end them or wait for them, and run this again: nothing is half-done (docs/upgrade.md, Locks): %w", try, m.holders(ctx), err)
		}
		select {
		case <-time.After(m.patience.pause):
		case <-ctx.Done():
			return done, errors.Join(ctx.Err(), err)
		}
	}
}

// holders says who has locks of our tables at this moment, the longest transactions first.
// Of the time of others' sessions only a member of pg_read_all_stats is told.
func (m *Migrator) holders(ctx context.Context) string {
	const sql = `
SELECT format('pid %s, user %s, application %s%s', a.pid, quote_ident(coalesce(a.usename, '?')), quote_literal(a.application_name),
    coalesce(', in a transaction for ' || date_trunc('second', now() - a.xact_start)::text, ''))
FROM pg_catalog.pg_stat_activity AS a
WHERE a.pid <> pg_backend_pid() AND EXISTS (
    SELECT FROM pg_catalog.pg_locks AS l
    JOIN pg_catalog.pg_class AS c ON c.oid = l.relation
    WHERE l.pid = a.pid AND l.granted AND c.relkind = 'r' AND c.relnamespace = (SELECT n.oid FROM pg_catalog.pg_namespace AS n WHERE n.nspname = 'outbox')
      AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = current_database())
)
ORDER BY a.xact_start NULLS LAST, a.pid
LIMIT 3`
	rows, err := m.pool.QueryContext(ctx, sql)
	if err != nil {
		return "who has it cannot be told: " + err.Error()
	}
	defer func() { _ = rows.Close() }()
	var all []string
	for rows.Next() {
		var one string
		if err := rows.Scan(&one); err != nil {
			return "who has it cannot be told: " + err.Error()
		}
		all = append(all, one)
	}
	if rows.Err() != nil || len(all) == 0 {
		return "whoever had it has let it go by now"
	}
	return "locks of our tables are held by " + strings.Join(all, "; ")
}
