package db

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/penguinmails/rookery/job"
)

// Translate turns an error of pgx into the words of package job, as the Store does
// with its own, for statements that were sent past it.
func Translate(verb string, err error) error { return translate(verb, err) }

// hidden reports whether Postgres refused for want of a right.
func hidden(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "42501"
}

// translate turns what pgx and Postgres say into the words of package job, wrapped
// with the verb. It is the only place that knows SQLSTATEs
// (https://www.postgresql.org/docs/15/errcodes-appendix.html).
func translate(verb string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("%s: %w", verb, job.ErrNotFound)
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		var n net.Error
		var scan pgx.ScanArgError
		var refused *pgconn.ConnectError
		var field *job.FieldError
		switch {
		case errors.As(err, &field):
			// Never sent.
		case errors.As(err, &scan):
			// A fault of ours: asked again, Postgres would answer the same.
		case errors.As(err, &refused), errors.As(err, &n), pgconn.SafeToRetry(err), !errors.Is(err, context.Canceled):
			// Without an answer from Postgres nobody knows what happened; every
			// statement of ours may be sent again.
			return fmt.Errorf("%s: %w: %w", verb, job.ErrUnavailable, err)
		}
		return fmt.Errorf("%s: %w", verb, err)
	}
	class := pg.Code[:min(2, len(pg.Code))] // a pooler, or who knows what, may say nothing
	switch {
	case pg.Code == "40001", pg.Code == "40P01", pg.Code == "55P03", pg.Code == "57014":
		return fmt.Errorf("%s: %w: %w", verb, job.ErrConflict, err)
	case pg.Code == "3F000", pg.Code == "42P01":
		return fmt.Errorf("%s: %w: %w", verb, job.ErrNoSchema, err)
	case pg.Code == "42501", class == "28":
		return fmt.Errorf("%s: %w: %w", verb, job.ErrDenied, err)
	case pg.Code == "P0002":
		return fmt.Errorf("%s: %w", verb, job.ErrNotFound)
	case class == "22", class == "23":
		return fmt.Errorf("%s: %w", verb, &job.DataError{SQLState: pg.Code, Message: pg.Message})
	case class == "08", class == "53", class == "57", class == "58", pg.Code == "25006":
		return fmt.Errorf("%s: %w: %w", verb, job.ErrUnavailable, err)
	}
	return fmt.Errorf("%s: %w", verb, err)
}
