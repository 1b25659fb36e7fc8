package outbox

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/penguinmails/rookery/job"
)

// InsertMany inserts jobs by one COPY, all or none, and returns how many: the fastest
// door, made for thousands. They get their ids in order; COPY does not tell which.
//
// The error wraps an [*ItemError] when a job was refused before anything was sent.
func InsertMany(ctx context.Context, db Copier, jobs []Item) (int64, error) {
	rows, err := rowsOf(ctx, jobs)
	if err != nil || len(rows) == 0 {
		return 0, translate("insert jobs", err)
	}
	columns := []string{"queue_name", "kind", "payload", "priority", "max_attempts", "headers"}
	timed := slices.ContainsFunc(rows, func(r row) bool { return !r.RunAt.IsZero() || r.delay > 0 })
	if timed {
		// A column is copied for all rows or for none. So "now" must be written out
		// beside the others, and it is Postgres' now(), read in the same transaction.
		columns = append(columns, "run_at")
		if err := setRunAt(ctx, db, rows); err != nil {
			return 0, translate("insert jobs", err)
		}
	}
	count, err := db.CopyFrom(ctx, pgx.Identifier{"outbox", "jobs"}, columns,
		pgx.CopyFromSlice(len(rows), func(i int) ([]any, error) {
			r := &rows[i]
			values := []any{r.QueueName, r.Kind, string(r.Payload), int16(*r.Priority), int16(r.MaxAttempts), r.headersText()}
			if timed {
				values = append(values, r.RunAt)
			}
			return values, nil
		}))
	return count, translate("insert jobs", err)
}

// setRunAt gives every row a RunAt.
func setRunAt(ctx context.Context, db DB, rows []row) error {
	var now time.Time
	for i := range rows {
		r := &rows[i]
		if !r.RunAt.IsZero() {
			continue
		}
		if now.IsZero() {
			if err := db.QueryRow(ctx, `SELECT now()`).Scan(&now); err != nil {
				return fmt.Errorf("read now(): %w", err)
			}
		}
		r.RunAt = now.Add(r.delay)
	}
	return nil
}

// InsertManySQL inserts jobs by one statement, all or none, and returns their ids in
// order. It is made for hundreds; payloads must stay below 200 MB together.
//
// The error wraps an [*ItemError] when a field of one of them breaks a limit; nothing
// was inserted then, and the transaction is still good.
func InsertManySQL(ctx context.Context, db SQL, jobs []Item) ([]int64, error) {
	rows, err := rowsOf(ctx, jobs)
	if err != nil {
		return nil, translate("insert jobs", err)
	}
	return insertRows(rows, func(array string, dest ...any) error {
		return db.QueryRowContext(ctx, insertArray, array).Scan(dest...)
	})
}

// InsertSpecs is [InsertManySQL] for pgx and for jobs that are at hand as JSON, such
// as those that came over HTTP.
func InsertSpecs(ctx context.Context, db DB, specs []job.Spec) ([]int64, error) {
	rows := make([]row, len(specs))
	for i, s := range specs {
		r, err := rowOfSpec(ctx, s)
		if err != nil {
			return nil, translate("insert jobs", &ItemError{Index: i, Err: err})
		}
		rows[i] = r
	}
	return insertRows(rows, func(array string, dest ...any) error {
		return db.QueryRow(ctx, insertArray, array).Scan(dest...)
	})
}

func rowsOf(ctx context.Context, jobs []Item) ([]row, error) {
	rows := make([]row, len(jobs))
	for i, item := range jobs {
		r, err := rowOf(ctx, item.Args, item.Options)
		if err != nil {
			return nil, &ItemError{Index: i, Err: err}
		}
		rows[i] = r
	}
	return rows, nil
}

// insertArray inserts the jobs of a JSON array, or says which of them breaks a limit
// and inserts none: a CHECK would not tell which, and would abort the transaction.
// Ids are drawn in the order of the array, because INSERT … SELECT … ORDER BY
// computes defaults after sorting. One text parameter and one row of scalars pass
// through every driver.
const insertArray = `
WITH given AS MATERIALIZED (
	SELECT e.place,
		e.value ->> 'queue_name' AS queue_name,
		e.value ->> 'kind' AS kind,
		e.value -> 'payload' AS payload,
		(e.value ->> 'priority')::integer AS priority,
		coalesce((e.value ->> 'run_at')::timestamptz, now() + (e.value ->> 'delay')::bigint * interval '1 microsecond') AS run_at,
		(e.value ->> 'max_attempts')::integer AS max_attempts,
		e.value -> 'headers' AS headers
	FROM jsonb_array_elements($1::jsonb) WITH ORDINALITY AS e (value, place)
),
refused AS MATERIALIZED (
	SELECT checked.place, checked.problem
	FROM (
		SELECT g.place, outbox.problem(g.queue_name, g.kind, g.payload, g.priority, g.run_at, g.max_attempts, g.headers) AS problem
		FROM given AS g
	) AS checked
	WHERE checked.problem IS NOT NULL
	ORDER BY checked.place
	LIMIT 1
),
inserted AS (
	INSERT INTO outbox.jobs (queue_name, kind, payload, priority, run_at, max_attempts, headers)
	SELECT g.queue_name, g.kind, g.payload, g.priority, g.run_at, g.max_attempts, g.headers
	FROM given AS g
	WHERE NOT EXISTS (SELECT FROM refused)
	ORDER BY g.place
	RETURNING id
)
SELECT coalesce((SELECT string_agg(id::text, ',' ORDER BY id) FROM inserted), ''),
	coalesce((SELECT place FROM refused), 0),
	coalesce((SELECT problem FROM refused), '')`

// element is a row as insertArray reads it.
type element struct {
	QueueName   string          `json:"queue_name"`
	Kind        string          `json:"kind"`
	Payload     json.RawMessage `json:"payload"`
	Priority    int             `json:"priority"`
	RunAt       *time.Time      `json:"run_at,omitempty"`
	Delay       int64           `json:"delay"` // microseconds
	MaxAttempts int             `json:"max_attempts"`
	Headers     json.RawMessage `json:"headers,omitempty"`
}

func insertRows(rows []row, scan func(array string, dest ...any) error) ([]int64, error) {
	if len(rows) == 0 {
		return nil, nil
	}
	elements := make([]element, len(rows))
	for i, r := range rows {
		elements[i] = element{
			QueueName: r.QueueName, Kind: r.Kind, Payload: r.Payload, Priority: *r.Priority,
			Delay: r.delay.Microseconds(), MaxAttempts: r.MaxAttempts, Headers: r.Headers,
		}
		if !r.RunAt.IsZero() {
			utc := r.RunAt.UTC()
			elements[i].RunAt = &utc
		}
	}
	array, err := encode(elements)
	if err != nil {
		return nil, fmt.Errorf("insert jobs: %w", err)
	}
	var (
		list, problem string
		place         int
	)
	if err := scan(string(array), &list, &place, &problem); err != nil {
		return nil, translate("insert jobs", err)
	}
	if place > 0 {
		field, rest, _ := strings.Cut(problem, " ")
		return nil, translate("insert jobs", &ItemError{Index: place - 1, Err: &job.FieldError{Field: field, Problem: rest}})
	}
	ids := make([]int64, 0, len(rows))
	for text := range strings.SplitSeq(list, ",") {
		id, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("insert jobs: read ids: %w", err)
		}
		ids = append(ids, id)
	}
	return ids, nil
}
