package outbox

import (
	"context"
	"fmt"
)

// Cancel calls a job off and reports whether it did; false means the job was over
// already. A job that runs keeps running until its worker hears of it, within 5 s
// after the commit: then its context ends with job.ErrCancelled. The error wraps
// [job.ErrNotFound] when there is no such job. It needs the role rookery_server.
func Cancel(ctx context.Context, db DB, id int64) (bool, error) {
	return change(ctx, db, "cancel", `SELECT outbox.cancel($1::bigint)`, id)
}

// Redrive sends a dead, cancelled or completed job again, with its failures
// forgotten, and reports whether it did; false means the job is still on its way. The
// error wraps [job.ErrNotFound] when there is no such job. It needs the role
// rookery_server.
func Redrive(ctx context.Context, db DB, id int64) (bool, error) {
	return change(ctx, db, "redrive", `SELECT outbox.redrive($1::bigint)`, id)
}

func change(ctx context.Context, db DB, verb, query string, id int64) (bool, error) {
	var changed bool
	if err := db.QueryRow(ctx, query, id).Scan(&changed); err != nil {
		return false, translate(fmt.Sprintf("%s job %d", verb, id), err)
	}
	return changed, nil
}
