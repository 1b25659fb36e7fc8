package db

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/penguinmails/rookery/db/internal/query"
)

// callLimit bounds every statement, the wait for a connection included. A server that
// is gone without a word (its host died, a firewall forgot the connection) would
// otherwise be waited for as long as TCP likes: some 15 minutes. It is above
// statement_timeout, whose error says more.
const callLimit = 12 * time.Second

// pingLimit bounds the question whether a connection that was idle still stands. After
// a fault none of the pool does, and they are asked one after the other.
const pingLimit = 2 * time.Second

// limited runs statements with a deadline of their own.
type limited struct {
	query.DBTX
	limit time.Duration
}

// Exec implements query.DBTX.
func (l limited) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	ctx, cancel := context.WithTimeout(ctx, l.limit)
	defer cancel()
	return l.DBTX.Exec(ctx, sql, args...)
}

// Query implements query.DBTX.
func (l limited) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	ctx, cancel := context.WithTimeout(ctx, l.limit)
	rows, err := l.DBTX.Query(ctx, sql, args...)
	if err != nil {
		cancel()
		return nil, err
	}
	return limitedRows{rows, cancel}, nil
}

// QueryRow implements query.DBTX.
func (l limited) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	ctx, cancel := context.WithTimeout(ctx, l.limit)
	return limitedRow{l.DBTX.QueryRow(ctx, sql, args...), cancel}
}

// limitedRows lets go of the deadline when it is closed, as sqlc's code always does.
type limitedRows struct {
	pgx.Rows
	cancel context.CancelFunc
}

// Close implements pgx.Rows.
func (r limitedRows) Close() {
	r.Rows.Close()
	r.cancel()
}

type limitedRow struct {
	pgx.Row
	cancel context.CancelFunc
}

// Scan implements pgx.Row.
func (r limitedRow) Scan(dest ...any) error {
	defer r.cancel()
	return r.Row.Scan(dest...)
}
