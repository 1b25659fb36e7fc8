package outbox

import (
	"context"
)

// insertRow has a cast at every parameter, so that a driver may send them as text
// (simple protocol), as binary, or with types of its own choice.
const insertRow = `
INSERT INTO outbox.jobs (queue_name, kind, payload, priority, run_at, max_attempts, headers)
VALUES ($1::text, $2::text, $3::jsonb, $4::smallint,
	coalesce($5::timestamptz, now() + $6::bigint * interval '1 microsecond'),
	$7::smallint, $8::jsonb)
RETURNING id`

func (r *row) params() []any {
	return []any{
		r.QueueName, r.Kind, string(r.Payload), int64(*r.Priority),
		r.runAt(), r.delay.Microseconds(),
		int64(r.MaxAttempts), r.headersText(),
	}
}

// Insert inserts one job and returns its id. With a pgx.Tx the job exists exactly if
// that transaction commits.
//
// The error wraps a [*job.FieldError] when a field breaks a limit. Unless that was
// found by Postgres (see Errors above), nothing was sent and tx is still good.
func Insert(ctx context.Context, db DB, args Args, o Options) (int64, error) {
	r, err := rowOf(ctx, args, o)
	if err != nil {
		return 0, translate("insert job", err)
	}
	var id int64
	if err := db.QueryRow(ctx, insertRow, r.params()...).Scan(&id); err != nil {
		return 0, translate("insert job", err)
	}
	return id, nil
}

// InsertSQL is [Insert] for database/sql.
func InsertSQL(ctx context.Context, db SQL, args Args, o Options) (int64, error) {
	r, err := rowOf(ctx, args, o)
	if err != nil {
		return 0, translate("insert job", err)
	}
	var id int64
	if err := db.QueryRowContext(ctx, insertRow, r.params()...).Scan(&id); err != nil {
		return 0, translate("insert job", err)
	}
	return id, nil
}
