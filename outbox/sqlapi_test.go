package outbox_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/outbox"
)

// The doors of other languages: plain INSERT, outbox.enqueue, outbox.enqueue_many.

func TestEnqueue_NamedArgumentsAndDefaults(t *testing.T) {
	t.Parallel()
	conn := connect(t, devtest.Postgres(t))
	base := stored{QueueName: "default", Payload: "{}", Priority: 100, MaxAttempts: 25, Status: "queued", Due: true}
	with := func(change func(*stored)) stored {
		s := base
		change(&s)
		return s
	}
	tests := []struct {
		args string
		want stored
	}{
		{``, base},
		{`'k'`, with(func(s *stored) { s.Kind = "k" })},
		{`'k', '{"a":1}', 'q'`, with(func(s *stored) { s.Kind, s.Payload, s.QueueName = "k", `{"a": 1}`, "q" })},
		{`priority => 0`, with(func(s *stored) { s.Priority = 0 })},
		{`run_at => now() + interval '1 minute'`, with(func(s *stored) { s.Due = false })},
		{`max_attempts => 1, headers => '{"h": "v"}', payload => 'null'`, with(func(s *stored) { s.MaxAttempts, s.Headers, s.Payload = 1, `{"h": "v"}`, "null" })},
	}
	for _, test := range tests {
		id := one[int64](t, conn, "SELECT outbox.enqueue("+test.args+")")
		if diff := cmp.Diff(test.want, read(t, conn, id)); diff != "" {
			t.Errorf("enqueue(%s) (-want +got):\n%s", test.args, diff)
		}
	}
}

// Every limit at n and n+1, through all three doors. A refusal names the field: in
// COLUMN for the functions, in the CHECK's name for INSERT.
func TestSQLDoors_Limits(t *testing.T) {
	t.Parallel()
	conn := connect(t, devtest.Postgres(t))
	tests := []struct {
		field, value string // a SQL expression
		ok           bool
	}{
		{"queue_name", `repeat('q', 100)`, true},
		{"queue_name", `repeat('q', 101)`, false},
		{"queue_name", `''`, false},
		{"queue_name", `'{q}'`, false},
		{"queue_name", `'a b'`, false},
		{"queue_name", `E'a\n'`, false},
		{"queue_name", `'é'`, false},
		{"queue_name", `'aA0_.:-'`, true},
		{"kind", `repeat('é', 200)`, true},
		{"kind", `repeat('é', 201)`, false},
		{"priority", `0`, true},
		{"priority", `-1`, false},
		{"priority", `1000`, true},
		{"priority", `1001`, false},
		{"max_attempts", `0`, false},
		{"max_attempts", `1`, true},
		{"max_attempts", `1000`, true},
		{"max_attempts", `1001`, false},
		{"run_at", `timestamptz '1970-01-01 00:00:00+00'`, true},
		{"run_at", `timestamptz '1969-12-31 23:59:59.999999+00'`, false},
		{"run_at", `timestamptz '9998-12-31 23:59:59.999999+00'`, true},
		{"run_at", `timestamptz '9999-01-01 00:00:00+00'`, false},
		{"run_at", `timestamptz 'infinity'`, false},
		{"run_at", `timestamptz '-infinity'`, false},
		{"run_at", `timestamptz '20000-01-01'`, false},
		{"payload", `to_jsonb(repeat('x', 262142))`, true},
		{"payload", `to_jsonb(repeat('x', 262143))`, false},
		{"payload", `jsonb '[1e131000, 1e131000]'`, true},
		{"payload", `jsonb '[1e131000, 1e131071]'`, true},
		{"payload", `jsonb '[1e131000, 1e131070, 1]'`, true},
		{"payload", `jsonb '[1e131000, 1e131000, 1e131000]'`, false},
		{"headers", `jsonb_build_object('k', repeat('x', 8192 - 9))`, true},
		{"headers", `jsonb_build_object('k', repeat('x', 8192 - 8))`, false},
		{"headers", `jsonb '[]'`, false},
	}
	for _, test := range tests {
		doors := map[string]string{
			"INSERT":       fmt.Sprintf("INSERT INTO outbox.jobs (%s) VALUES (%s)", test.field, test.value),
			"enqueue":      fmt.Sprintf("SELECT outbox.enqueue(%s => %s)", test.field, test.value),
			"enqueue_many": fmt.Sprintf("SELECT outbox.enqueue_many(jsonb_build_array('{}'::jsonb, jsonb_build_object('%s', %s)))", test.field, test.value),
		}
		for door, query := range doors {
			_, err := conn.Exec(t.Context(), query)
			if test.ok {
				if err != nil {
					t.Errorf("%s of %s = %s: %v, want it accepted", door, test.field, test.value, err)
				}
				continue
			}
			var pg *pgconn.PgError
			if !errors.As(err, &pg) || pg.Code != "23514" {
				t.Errorf("%s of %s = %s: %v, want 23514", door, test.field, test.value, err)
				continue
			}
			if door == "INSERT" && !strings.HasPrefix(pg.ConstraintName, "jobs_"+test.field+"_") || door != "INSERT" && pg.ColumnName != test.field {
				t.Errorf("%s of %s = %s: constraint %q, column %q", door, test.field, test.value, pg.ConstraintName, pg.ColumnName)
			}
			if door == "enqueue_many" && !strings.HasPrefix(pg.Message, "jobs[1] "+test.field+" ") {
				t.Errorf("%s of %s = %s: message %q, want it to name jobs[1] and the field", door, test.field, test.value, pg.Message)
			}
		}
	}
}

// PROTOCOL hole 1c: a run_at that a later step cannot carry stops every relay.
func TestHole1c_RunAtIsFiniteAndEncodable(t *testing.T) {
	t.Parallel()
	conn := connect(t, devtest.Postgres(t))
	for _, at := range []string{"infinity", "-infinity", "20000-01-01", "9999-01-01 00:00+00", "0044-03-15 BC"} {
		if _, err := conn.Exec(t.Context(), "INSERT INTO outbox.jobs (run_at) VALUES ($1::text::timestamptz)", at); state(err) != "23514" {
			t.Errorf("INSERT run_at %s: %v, want 23514", at, err)
		}
	}
	wantOne(t, conn, 0, "SELECT count(*)::int4 FROM outbox.scheduled")
}

func TestEnqueueMany_OrderAndAllOrNothing(t *testing.T) {
	t.Parallel()
	conn := connect(t, devtest.Postgres(t))
	ids := query[int64](t, conn, `SELECT outbox.enqueue_many((SELECT jsonb_agg(jsonb_build_object('kind', n::text, 'priority', 1000 - n) ORDER BY n) FROM generate_series(0, 999) AS n))`)
	if len(ids) != 1000 || !slices.IsSorted(ids) {
		t.Fatalf("enqueue_many gave %d ids, sorted %v", len(ids), slices.IsSorted(ids))
	}
	wantOne(t, conn, true, "SELECT bool_and(kind = (id - $1)::text) FROM outbox.jobs", ids[0])

	if _, err := conn.Exec(t.Context(), `SELECT outbox.enqueue_many('[{"kind": "x"}, {"priority": -1}, {"priority": -2}]')`); err == nil || !strings.Contains(err.Error(), "jobs[1] priority is -1, must be 0 to 1000") {
		t.Errorf("enqueue_many = %v, want jobs[1] named", err)
	}
	wantOne(t, conn, 0, "SELECT count(*)::int4 FROM outbox.jobs WHERE kind = 'x'")
	if ids := query[int64](t, conn, `SELECT outbox.enqueue_many('[]')`); len(ids) != 0 {
		t.Errorf("enqueue_many([]) = %v", ids)
	}
}

func TestEnqueueMany_RefusesWhatIsNotAJob(t *testing.T) {
	t.Parallel()
	conn := connect(t, devtest.Postgres(t))
	tests := []struct{ jobs, message string }{
		{`{}`, "jobs must be a JSON array of objects"},
		{`null`, "jobs must be a JSON array of objects"},
		{`[{}, 5]`, "jobs[1] must be an object"},
		{`[{}, null]`, "jobs[1] must be an object"},
		{`[{}, {"Kind": "k"}]`, "jobs[1] Kind is not a field of a job"},
		{`[{}, {}, {"status": "dead"}]`, "jobs[2] status is not a field of a job"},
		{`[{"id": 5}]`, "jobs[0] id is not a field of a job"},
		{`[{"queue_name": ["q"]}]`, "jobs[0] queue_name must "},
		{`[{"headers": 5}]`, "jobs[0] headers must be a JSON object"},
	}
	for _, test := range tests {
		_, err := conn.Exec(t.Context(), "SELECT outbox.enqueue_many($1::text::jsonb)", test.jobs)
		if state(err) != "23514" || !strings.Contains(err.Error(), test.message) {
			t.Errorf("enqueue_many(%s) = %v, want 23514 %q", test.jobs, err, test.message)
		}
	}
	if _, err := conn.Exec(t.Context(), "SELECT outbox.enqueue_many(NULL)"); state(err) != "23514" {
		t.Errorf("enqueue_many(NULL) = %v, want 23514", err)
	}
	// Wrong types are refused too: 23514, or class 22 when a cast finds them.
	for _, jobs := range []string{
		`[{"priority": "abc"}]`, `[{"priority": 1.5}]`, `[{"priority": true}]`, `[{"priority": 99999999999}]`, `[{"max_attempts": {}}]`,
		`[{"run_at": "soonish"}]`, `[{"run_at": 5}]`, `[{"run_at": "2026-13-01"}]`, `[{"run_at": "infinity"}]`,
	} {
		_, err := conn.Exec(t.Context(), "SELECT outbox.enqueue_many($1::text::jsonb)", jobs)
		if s := state(err); s != "23514" && !strings.HasPrefix(s, "22") {
			t.Errorf("enqueue_many(%s) = %v, want 23514 or class 22", jobs, err)
		}
	}
	wantOne(t, conn, 0, "SELECT count(*)::int4 FROM outbox.jobs")
	// null stands for the default.
	mustExec(t, conn, `SELECT outbox.enqueue_many('[{"kind": null, "queue_name": null, "priority": null, "run_at": null, "max_attempts": null, "headers": null}]')`)
	want := stored{QueueName: "default", Payload: "{}", Priority: 100, MaxAttempts: 25, Status: "queued", Due: true}
	if diff := cmp.Diff(want, read(t, conn, one[int64](t, conn, "SELECT max(id) FROM outbox.jobs"))); diff != "" {
		t.Errorf("all null (-want +got):\n%s", diff)
	}
}

// The states that a producer in any language may rely on.
func TestSQLDoors_States(t *testing.T) {
	t.Parallel()
	conn := connect(t, devtest.Postgres(t))
	for _, test := range []struct{ query, want string }{
		{`SELECT outbox.cancel(4711)`, "P0002"},
		{`SELECT outbox.redrive(4711)`, "P0002"},
		{`SELECT outbox.enqueue(payload => '{"a": "\u0000"}')`, "22P05"},
		{`SELECT outbox.enqueue(payload => '{"a": 1e200000}')`, "22003"},
		{`SELECT outbox.enqueue(payload => '{')`, "22P02"},
		{`SELECT outbox.enqueue(colour => 'red')`, "42883"},
		{`INSERT INTO outbox.jobs (id) VALUES (5)`, "428C9"},
		{`INSERT INTO outbox.jobs (size) VALUES (5)`, "42703"},
		{`INSERT INTO outbox.jobs (status) VALUES ('scheduled')`, "23514"},
		{`INSERT INTO outbox.jobs (queue_name) VALUES (NULL)`, "23502"},
	} {
		if _, err := conn.Exec(t.Context(), test.query); state(err) != test.want {
			t.Errorf("%s = %v, want %s", test.query, err, test.want)
		}
	}
}

// The names by which outbox turns a CHECK into a field are those of the table and of
// the schema's domains.
func TestLimits_NamesOfTheChecks(t *testing.T) {
	t.Parallel()
	conn := connect(t, devtest.Postgres(t))
	known := outbox.LimitNames()
	for _, name := range query[string](t, conn, `
		SELECT conname::text
		FROM pg_constraint
		WHERE contype = 'c' AND (conrelid = 'outbox.jobs'::regclass
			OR contypid IN (SELECT oid FROM pg_type WHERE typnamespace = 'outbox'::regnamespace))`) {
		if name == "jobs_status_is_known" {
			continue
		}
		i := slices.Index(known, name)
		if i < 0 {
			t.Errorf("CHECK %s has no field in limits()", name)
			continue
		}
		known = slices.Delete(known, i, i+1)
	}
	if len(known) > 0 {
		t.Errorf("limits() has %v, which the table has not", known)
	}
}

// PROTOCOL hole 23: the three updates of a small job's way stay HOT at the table's
// fillfactor. The shapes here are those of dispatch and complete. The server is the
// test's own: a transaction that writes in any of its databases, however little,
// keeps the old versions from being pruned.
func TestHole23_UpdatesAreHOT(t *testing.T) {
	t.Parallel()
	server := devtest.PostgresServer(t, nil)
	devtest.Migrate(t, server.URL("postgres"))
	conn := connect(t, server.URL("postgres"))
	items := make([]outbox.Item, 10_000)
	for i := range items {
		items[i] = outbox.Item{Args: mail{To: fmt.Sprint(i)}}
	}
	if _, err := outbox.InsertMany(t.Context(), conn, items); err != nil {
		t.Fatal(err)
	}
	for first := 1; first <= len(items); first += 500 {
		for _, set := range []string{
			"status = 'dispatched', dispatch_id = 9007199254740991, attempt_count = attempt_count + 1, dispatched_at = now()",
			"status = 'completed', started_at = now(), finished_at = now(), worker_id = '01234567'",
		} {
			mustExec(t, conn, "UPDATE outbox.jobs SET "+set+" WHERE id BETWEEN $1 AND $2", first, first+499)
		}
	}
	mustExec(t, conn, "SELECT pg_stat_force_next_flush()")
	share := one[float64](t, conn, "SELECT n_tup_hot_upd::float8 / n_tup_upd FROM pg_stat_user_tables WHERE relid = 'outbox.jobs'::regclass")
	if share < 0.95 {
		t.Errorf("%.1f %% of the updates were HOT, want at least 95", 100*share)
	}
}

func query[T any](t testing.TB, conn *pgx.Conn, sql string, args ...any) []T {
	t.Helper()
	rows, _ := conn.Query(t.Context(), sql, args...)
	all, err := pgx.CollectRows(rows, pgx.RowTo[T])
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return all
}
