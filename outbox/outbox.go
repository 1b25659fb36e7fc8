package outbox

import (
	"context"
	"database/sql"
	"time"

	"github.com/jackc/pgx/v5"
)

// Args is what a producer inserts: its JSON, by encoding/json, is the payload, and
// Kind names the handler that will run it.
type Args interface{ Kind() string }

// ArgsWithOptions is Args that bring the defaults of their kind along. Options given
// to [Insert] win field by field; see [Options].
type ArgsWithOptions interface {
	Args
	JobOptions() Options
}

// Options say where, when and how often a job runs. The zero value is right for most.
//
// Over the options of a kind, each field that is not its zero value wins; RunAt and
// Delay count as one field, and Headers are merged key by key.
type Options struct {
	// QueueName has 1 to 100 letters, digits and _ . : -; "" means "default".
	QueueName string
	// Priority is 0 to 1000, lower is more urgent; nil means 100. Write new(20).
	// The bands are high to 50, normal to 150, and low.
	Priority *int
	// RunAt is the earliest moment at which the job runs; zero means at once. A
	// moment in the past means at once too. A process' clock may be wrong: prefer
	// Delay for "in five minutes".
	RunAt time.Time
	// Delay is counted from the beginning of the transaction, by Postgres' clock
	// (its now()). It excludes RunAt.
	Delay time.Duration
	// MaxAttempts is 1 to 1000 failures after which the job is dead; 0 means 25.
	MaxAttempts int
	// Headers travel beside the payload, up to 8 KB as JSON. traceparent and
	// tracestate are taken from the context's span unless traceparent is given.
	Headers map[string]string
}

// Item is one job of [InsertMany] and [InsertManySQL].
type Item struct {
	Args    Args
	Options Options
}

// DB is a pgx.Tx, *pgx.Conn, *pgxpool.Pool or anything else of their shape, such as
// the DBTX of sqlc. With a transaction the job shares its fate; with the others it is
// committed at once.
type DB interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Copier is a DB that can COPY: all those of pgx can.
type Copier interface {
	DB
	CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, rows pgx.CopyFromSource) (int64, error)
}

// SQL is a *sql.Tx, *sql.Conn or *sql.DB of a Postgres driver with $1 placeholders.
// With a *sql.Tx the job shares its fate; with the others it is committed at once.
type SQL interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// over returns o with its zero fields taken from base.
func (o Options) over(base Options) Options {
	if o.QueueName == "" {
		o.QueueName = base.QueueName
	}
	if o.Priority == nil {
		o.Priority = base.Priority
	}
	if o.RunAt.IsZero() && o.Delay == 0 {
		o.RunAt, o.Delay = base.RunAt, base.Delay
	}
	if o.MaxAttempts == 0 {
		o.MaxAttempts = base.MaxAttempts
	}
	if len(base.Headers) > 0 {
		// Neither map is ours to change.
		merged := make(map[string]string, len(base.Headers)+len(o.Headers))
		for k, v := range base.Headers {
			merged[k] = v
		}
		for k, v := range o.Headers {
			merged[k] = v
		}
		o.Headers = merged
	}
	return o
}
