package systems

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/penguinmails/rookery/bench/actor"
)

// kind is the kind of all jobs, in the systems that have such a thing.
const kind = "bench"

// args is a payload that is JSON already. Reading it back costs nothing here: the
// handlers take the raw bytes.
type args struct{ raw json.RawMessage }

func (args) Kind() string                   { return kind }
func (a args) MarshalJSON() ([]byte, error) { return a.raw, nil }
func (*args) UnmarshalJSON([]byte) error    { return nil }

// openPool returns a pool of size connections, all of them open, so that nobody waits
// for one to be made while the clock runs.
func openPool(ctx context.Context, url string, size int, params map[string]string) (*pgxpool.Pool, error) {
	c, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("open pool: %w", err)
	}
	c.MaxConns = int32(max(size, 1)) //nolint:gosec // a few hundred
	for name, value := range params {
		c.ConnConfig.RuntimeParams[name] = value
	}
	pool, err := pgxpool.NewWithConfig(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("open pool: %w", err)
	}
	for range c.MaxConns {
		conn, err := pool.Acquire(ctx)
		if err != nil {
			pool.Close()
			return nil, fmt.Errorf("open pool: %w", err)
		}
		defer conn.Release() // all are held until the last is open
	}
	return pool, nil
}

// makeTables makes the business table, unless it is there, and runs statements.
func makeTables(ctx context.Context, s actor.Servers, statements ...string) error {
	conn, err := pgx.Connect(ctx, s.DatabaseURL)
	if err != nil {
		return fmt.Errorf("set up: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	var there bool
	if err := conn.QueryRow(ctx, `SELECT to_regclass('bench_orders') IS NOT NULL`).Scan(&there); err != nil {
		return fmt.Errorf("set up: %w", err)
	}
	if !there {
		statements = append(statements, actor.BusinessTable)
	}
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("set up: %w: %s", err, statement)
		}
	}
	return nil
}

// count returns the one number that query asks for.
func count(ctx context.Context, s actor.Servers, query string) (n int64, err error) {
	conn, err := pgx.Connect(ctx, s.DatabaseURL)
	if err != nil {
		return 0, fmt.Errorf("count: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if err := conn.QueryRow(ctx, query).Scan(&n); err != nil {
		return 0, fmt.Errorf("count: %w", err)
	}
	return n, nil
}

// querier is what a pool and a transaction have in common.
type querier interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, rows pgx.CopyFromSource) (int64, error)
}

// tableProducer inserts by insert: alone, or in one transaction with the row that
// stands for what an application writes.
type tableProducer struct {
	pool     *pgxpool.Pool
	business bool
	insert   func(ctx context.Context, db querier, jobs []actor.Job) error
}

func newTableProducer(ctx context.Context, s actor.Servers, o actor.ProduceOptions, insert func(context.Context, querier, []actor.Job) error) (actor.Producer, error) {
	pool, err := openPool(ctx, s.DatabaseURL, o.Producers, nil)
	if err != nil {
		return nil, err
	}
	return &tableProducer{pool: pool, business: o.Business, insert: insert}, nil
}

// Insert implements [actor.Producer].
func (p *tableProducer) Insert(ctx context.Context, jobs []actor.Job) error {
	if !p.business {
		return p.insert(ctx, p.pool, jobs)
	}
	return pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		if err := order(ctx, tx); err != nil {
			return err
		}
		return p.insert(ctx, tx, jobs)
	})
}

// Close implements [actor.Producer].
func (p *tableProducer) Close() { p.pool.Close() }

// order inserts the business row.
func order(ctx context.Context, db interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}) error {
	if _, err := db.Exec(ctx, actor.BusinessSQL); err != nil {
		return fmt.Errorf("insert business row: %w", err)
	}
	return nil
}
