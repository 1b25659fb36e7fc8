package signup

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/penguinmails/rookery/outbox"
)

// Schema is the application's own; Rookery's comes from its migrations.
const Schema = `
CREATE TABLE IF NOT EXISTS users (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email text NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS job_keys (key text PRIMARY KEY, made_at timestamptz NOT NULL DEFAULT now());`

// Welcome is a job: its fields are the payload.
type Welcome struct {
	UserID int64  `json:"user_id"`
	To     string `json:"to"`
}

// Kind says which handler runs it.
func (Welcome) Kind() string { return "welcome" }

// JobOptions are the defaults of every Welcome.
func (Welcome) JobOptions() outbox.Options {
	return outbox.Options{QueueName: "mail", MaxAttempts: 8}
}

// SignUp inserts a user and the job that welcomes them: both, or neither.
func SignUp(ctx context.Context, pool *pgxpool.Pool, email string) (id int64, err error) {
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, `INSERT INTO users (email) VALUES ($1) RETURNING id`, email).Scan(&id); err != nil {
			return err
		}
		_, err := outbox.Insert(ctx, tx, Welcome{UserID: id, To: email}, outbox.Options{})
		return err
	})
	return id, err
}

// Report is a job that there may be once a day.
type Report struct {
	Day string `json:"day"`
}

// Kind says which handler runs it.
func (Report) Kind() string { return "report" }

// InsertReport inserts the day's report unless it was inserted before, by whomever. Who
// comes second waits for the first one's transaction: of any number exactly one inserts,
// and if that is rolled back, the next.
func InsertReport(ctx context.Context, tx pgx.Tx, day time.Time) (inserted bool, err error) {
	r := Report{Day: day.Format(time.DateOnly)}
	tag, err := tx.Exec(ctx, `INSERT INTO job_keys (key) VALUES ($1) ON CONFLICT DO NOTHING`, "report:"+r.Day)
	if err != nil || tag.RowsAffected() == 0 {
		return false, err
	}
	if _, err := outbox.Insert(ctx, tx, r, outbox.Options{QueueName: "reports"}); err != nil {
		return false, fmt.Errorf("report of %s: %w", r.Day, err)
	}
	return true, nil
}
