package systems

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/penguinmails/rookery/bench/actor"
)

// plainSystem is an ordinary table in place of a queue: what inserting costs without
// one. Nobody works its jobs.
type plainSystem struct{}

const plainTable = `
CREATE TABLE plain_jobs (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	queue text NOT NULL,
	payload jsonb NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now()
)`

// Setup implements [actor.System].
func (plainSystem) Setup(ctx context.Context, s actor.Servers) error {
	return makeTables(ctx, s, plainTable)
}

// Producer implements [actor.System].
func (plainSystem) Producer(ctx context.Context, s actor.Servers, o actor.ProduceOptions) (actor.Producer, error) {
	return newTableProducer(ctx, s, o, insertPlain)
}

func insertPlain(ctx context.Context, db querier, jobs []actor.Job) error {
	if len(jobs) == 1 {
		_, err := db.Exec(ctx, `INSERT INTO plain_jobs (queue, payload) VALUES ($1, $2)`, jobs[0].Queue, jobs[0].Payload)
		return wrap("insert", err)
	}
	_, err := db.CopyFrom(ctx, pgx.Identifier{"plain_jobs"}, []string{"queue", "payload"},
		pgx.CopyFromSlice(len(jobs), func(i int) ([]any, error) { return []any{jobs[i].Queue, jobs[i].Payload}, nil }))
	return wrap("copy", err)
}

// Work implements [actor.System].
func (plainSystem) Work(context.Context, actor.Servers, actor.WorkOptions, func(), actor.Handler) error {
	return errors.New("plain is a table that nobody works on: it measures inserting alone")
}

// Left implements [actor.System].
func (plainSystem) Left(ctx context.Context, s actor.Servers) (int64, error) {
	return count(ctx, s, `SELECT count(*) FROM plain_jobs`)
}

// Settings implements [actor.System].
func (plainSystem) Settings() string {
	return "No queue: a table of id, queue, payload (jsonb) and created_at with a primary key, filled by INSERT for one row and COPY for many (pgx " +
		version("github.com/jackc/pgx/v5") + "). What a producer pays above it is the queue's price."
}

func wrap(verb string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", verb, err)
}
