package db

import (
	"context"
	"errors"
	"time"

	"github.com/penguinmails/rookery/db/internal/query"
	"github.com/penguinmails/rookery/job"
)

// aside runs a part of a transaction that changes nothing and that the transaction can do
// without. Each of its statements has limit. When Postgres breaks one off, because it took
// longer or waited for somebody's lock, done is false and the transaction goes on.
func aside(ctx context.Context, q *query.Queries, limit time.Duration, part func() error) (done bool, err error) {
	if err := q.BeginAside(ctx); err != nil {
		return false, err
	}
	if err := q.LimitAside(ctx, limit.Milliseconds()); err != nil {
		return false, err
	}
	failed := part()
	if err := q.EndAside(ctx); err != nil {
		return false, errors.Join(failed, err)
	}
	if errors.Is(translate("", failed), job.ErrConflict) {
		return false, nil
	}
	return failed == nil, failed
}
