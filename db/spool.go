package db

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/penguinmails/rookery/db/internal/query"
	"github.com/penguinmails/rookery/job"
)

// keyReused is the SQLSTATE by which outbox.insert_spooled says that a key belongs to
// another request.
const keyReused = "RK001"

// InsertSpooled inserts the jobs of each request that was not inserted under its key
// before, all requests or none, and returns every request's ids in order. It may be
// sent again whatever became of it. Errors beside those of every call:
// [job.ErrNotInserted] when it certainly was not, [job.ErrKeyReused], and a
// [*job.FieldError] for a job that breaks a limit.
func (s *Store) InsertSpooled(ctx context.Context, requests []job.Spooled) ([][]int64, error) {
	var p query.InsertSpooledParams
	for _, r := range requests {
		text, err := job.EncodeSpecs(r.Specs)
		if err != nil {
			return nil, fmt.Errorf("insert spooled: %w", err)
		}
		p.Keys, p.Digests, p.Jobs = append(p.Keys, r.Key), append(p.Digests, r.Digest), append(p.Jobs, string(text))
	}
	var ids [][]int64
	err := s.seeing(ctx, "insert spooled", func(q *query.Queries) (err error) {
		ids, err = q.InsertSpooled(ctx, p)
		return err
	})
	switch {
	case err != nil:
		return nil, insertedError("insert spooled", err)
	case len(ids) != len(requests):
		return nil, fmt.Errorf("insert spooled: got ids of %d requests for %d", len(ids), len(requests))
	}
	return ids, nil
}

// InsertOnce is [Store.InsertSpooled] of one request that was not spooled, and also says
// whether an earlier one had inserted its jobs. [job.ErrConflict]: another request with
// the same key is under way, and has been for a second.
func (s *Store) InsertOnce(ctx context.Context, r job.Spooled) (ids []int64, replayed bool, err error) {
	text, err := job.EncodeSpecs(r.Specs)
	if err != nil {
		return nil, false, fmt.Errorf("insert once: %w", err)
	}
	err = s.seeing(ctx, "insert once", func(q *query.Queries) error {
		row, err := q.InsertOnce(ctx, query.InsertOnceParams{Key: r.Key, Digest: r.Digest, Jobs: string(text)})
		ids, replayed = row.JobIDs, !row.Fresh
		return err
	})
	return ids, replayed, insertedError("insert once", err)
}

// insertedError says of an insert's error whether it was in vain for certain, and
// whether the key was another's.
func insertedError(verb string, err error) error {
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &pg) && pg.Code == keyReused:
		return fmt.Errorf("%s: %w", verb, job.ErrKeyReused)
	case NotInserted(err):
		return fmt.Errorf("%w: %w", job.ErrNotInserted, err)
	}
	return err
}

// SpooledJobs returns the ids of the jobs that were inserted under key, a UUID, or
// [job.ErrNotFound].
func (s *Store) SpooledJobs(ctx context.Context, key string) (ids []int64, err error) {
	err = s.seeing(ctx, "look up spooled", func(q *query.Queries) error {
		ids, err = q.SpooledJobs(ctx, key)
		return err
	})
	return ids, err
}

// RetireSpooled forgets the keys of requests that were inserted long ago, up to a
// thousand, and returns how many.
func (s *Store) RetireSpooled(ctx context.Context) (n int64, err error) {
	err = s.seeing(ctx, "retire spooled", func(q *query.Queries) error {
		n, err = q.RetireSpooled(ctx)
		return err
	})
	return n, err
}

// notSentError marks a statement for which there was no connection.
type notSentError struct{ error }

func (e *notSentError) Unwrap() error { return e.error }

// NotInserted reports whether err, from a single statement, leaves no doubt that
// Postgres does not have what it was to insert. That is so when there was no
// connection, and when Postgres answered ERROR, which ends the transaction of the
// statement.
//
// It is not so for FATAL: a session that is terminated while it waits for a standby
// has committed. Nor for a connection that broke, or a deadline that passed, once
// the statement was on its way: the COMMIT may be the last thing the server read.
// pgconn.SafeToRetry is not asked: when a connection breaks behind a statement that
// was sent, pgx 5.12 may say "conn closed", which it counts as never sent.
func NotInserted(err error) bool {
	var none *notSentError
	var refused *pgconn.ConnectError
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &none), errors.As(err, &refused):
		return true
	case errors.As(err, &pg):
		return pg.SeverityUnlocalized == "ERROR"
	}
	return false
}
