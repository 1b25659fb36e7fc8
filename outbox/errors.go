package outbox

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/penguinmails/rookery/job"
)

// ItemError says which of several jobs was refused, and why. It wraps a
// [*job.FieldError] whenever a field is to blame.
type ItemError struct {
	Index int // counts from 0
	Err   error
}

// Error returns the job's place and its problem, as "jobs[3] priority is -1, …".
func (e *ItemError) Error() string { return fmt.Sprintf("jobs[%d] %v", e.Index, e.Err) }

// Unwrap returns e.Err.
func (e *ItemError) Unwrap() error { return e.Err }

// refusedError is Postgres' no to a value, in our words, with Postgres' own behind it.
type refusedError struct {
	field *job.FieldError
	cause error
}

func (r *refusedError) Error() string   { return r.field.Error() }
func (r *refusedError) Unwrap() []error { return []error{r.field, r.cause} }

// translate wraps err with the verb, and puts a field's name to what Postgres
// refused. nil stays nil.
func translate(verb string, err error) error {
	if err == nil {
		return nil
	}
	// Both pgx' and lib/pq's errors have this method.
	var state interface{ SQLState() string }
	if !errors.As(err, &state) {
		return fmt.Errorf("%s: %w", verb, err)
	}
	code := state.SQLState()
	if code == "P0002" {
		return fmt.Errorf("%s: %w", verb, job.ErrNotFound)
	}
	var pg *pgconn.PgError
	errors.As(err, &pg)
	if f := fieldOf(code, pg); f != nil {
		return fmt.Errorf("%s: %w", verb, &refusedError{field: f, cause: err})
	}
	return fmt.Errorf("%s: %w", verb, err)
}

// fieldOf returns the field that a SQLSTATE is about, or nil. pg may be nil.
func fieldOf(code string, pg *pgconn.PgError) *job.FieldError {
	switch code {
	case "23514": // check_violation
		if pg == nil || pg.SchemaName != "outbox" {
			return nil // another schema's, or a driver that does not say
		}
		if f, ok := limits()[pg.ConstraintName]; ok {
			return &f
		}
		return nil
	// The door has checked everything but numbers and escapes inside the JSON:
	case "22P02", "22P05", "22021": // a lone surrogate; characters the database's encoding lacks
		return &job.FieldError{Field: "payload", Problem: "has text that Postgres cannot store"}
	case "22003": // numeric_value_out_of_range
		return &job.FieldError{Field: "payload", Problem: "has a number that Postgres cannot store"}
	case "54001": // statement_too_complex: the server's stack is small
		return &job.FieldError{Field: "payload", Problem: "is nested too deeply"}
	}
	return nil
}

// limits maps the CHECKs of outbox.jobs, and of the domains of its columns, to the
// fields they guard; a test compares it with the table. status is not among them: no
// producer can write it.
func limits() map[string]job.FieldError {
	return map[string]job.FieldError{
		"jobs_queue_name_is_1_to_100_of_letters_digits_and_dot_dash": {
			Field: "queue_name", Problem: "must have 1 to 100 letters, digits and _ . : -"},
		"jobs_kind_has_at_most_200_characters": {
			Field: "kind", Problem: fmt.Sprintf("must have at most %d characters", job.MaxKind)},
		"jobs_priority_is_0_to_1000": {
			Field: "priority", Problem: fmt.Sprintf("must be 0 to %d", job.MaxPriority)},
		"jobs_max_attempts_is_1_to_1000": {
			Field: "max_attempts", Problem: fmt.Sprintf("must be 1 to %d", job.MaxMaxAttempts)},
		"jobs_run_at_is_between_years_1970_and_9999": {
			Field: "run_at", Problem: "must lie between the years 1970 and 9999"},
		"jobs_headers_is_an_object_of_at_most_8192_bytes": {
			Field: "headers", Problem: fmt.Sprintf("must be a JSON object of at most %d bytes as Postgres prints it", job.MaxHeaders)},
		"jobs_payload_has_at_most_262144_bytes": {
			Field: "payload", Problem: fmt.Sprintf("has too many bytes as Postgres prints it, must have at most %d together with its headers", job.MaxPayload)},
	}
}
