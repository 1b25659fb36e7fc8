package outbox_test

import (
	"encoding/json"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/outbox"
)

// Any language may knock at the SQL doors with anything. Whatever comes, a call
// either leaves whole jobs that every later step can carry, or nothing and a
// SQLSTATE that docs/sql.md names.

// house is a database that a fuzzer fills as a producer and looks at as its owner.
type house struct {
	owner, producer *pgx.Conn
	states          map[string]bool // those of docs/sql.md
	jobs            int             // that must be there
}

func newHouse(t testing.TB) *house {
	t.Helper()
	base := devtest.Postgres(t)
	return &house{owner: connect(t, base), producer: connect(t, login(t, base, "rookery_producer")), states: documentedStates(t)}
}

// documentedStates reads the SQLSTATEs that docs/sql.md promises.
func documentedStates(t testing.TB) map[string]bool {
	t.Helper()
	text, err := os.ReadFile("../docs/sql.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## SQLSTATEs\n")
	section, _, _ = strings.Cut(section, "\n## ")
	states := map[string]bool{}
	for _, row := range regexp.MustCompile(`(?m)^\| ([^|]*) \|`).FindAllStringSubmatch(section, -1) {
		for _, code := range regexp.MustCompile(`\b[0-9P][0-9A-Z]{4}\b`).FindAllString(row[1], -1) {
			states[code] = true
		}
	}
	if len(states) < 5 {
		t.Fatalf("docs/sql.md names the SQLSTATEs %v, want all", states)
	}
	return states
}

// refused checks that err is a refusal that the docs promise.
func (h *house) refused(t testing.TB, what string, err error) {
	t.Helper()
	if s := state(err); !h.states[s] {
		t.Fatalf("%s = %v (SQLSTATE %q), which docs/sql.md does not name", what, err, s)
	}
}

// whole checks that just so many jobs are there as were promised, each filed once
// and fit for its envelope. Every 100 jobs it begins with an empty house.
func (h *house) whole(t testing.TB) {
	t.Helper()
	const query = `SELECT j.id, j.queue_name, j.kind, j.payload, j.headers, j.priority, j.max_attempts, j.created_at, j.run_at,
			(SELECT count(*) FROM outbox.ready AS r WHERE r.job_id = j.id AND r.queue_name = j.queue_name AND r.priority = j.priority AND r.size = outbox.size_of(j.payload, j.headers))
				+ (SELECT count(*) FROM outbox.scheduled AS s WHERE s.job_id = j.id AND s.queue_name = j.queue_name AND s.run_at = j.run_at AND s.size = outbox.size_of(j.payload, j.headers)),
			(SELECT count(*) FROM outbox.ready) + (SELECT count(*) FROM outbox.scheduled)
		FROM outbox.jobs AS j`
	rows, err := h.owner.Query(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	seen, all, filed := 0, 0, 0
	e := job.Envelope{DispatchID: 1}
	_, err = pgx.ForEachRow(rows, []any{&e.ID, &e.QueueName, &e.Kind, (*[]byte)(&e.Payload), (*[]byte)(&e.Headers), &e.Priority, &e.MaxAttempts, &e.CreatedAt, &e.RunAt, &filed, &all}, func() error {
		seen++
		if filed != 1 {
			t.Fatalf("job %d is filed %d times, want once", e.ID, filed)
		}
		text, err := e.Append(nil)
		if err != nil {
			return err
		}
		if _, err := job.Decode(text); err != nil {
			t.Fatalf("Decode(%s) = %v: no worker can read what a producer could insert", text, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen != h.jobs || all != seen {
		t.Fatalf("%d jobs, filed %d, want %d: something was half written", seen, all, h.jobs)
	}
	if h.jobs > 100 {
		h.jobs = 0
		mustExec(t, h.owner, "TRUNCATE outbox.jobs, outbox.ready, outbox.scheduled")
	}
}

// FuzzEnqueue knocks at three doors with the same job: the function, a plain INSERT
// and the Go library. The first two must agree; the third may be stricter.
func FuzzEnqueue(f *testing.F) {
	h := newHouse(f)
	f.Add("", `{}`, "default", int32(100), "now", int32(25), "")
	f.Add("welcome", `{"to": "a@b.c"}`, "email:processing", int32(0), "2999-01-01T00:00:00Z", int32(1000), `{"a": "b"}`)
	f.Fuzz(func(t *testing.T, kind, payload, queue string, priority int32, runAt string, maxAttempts int32, headers string) {
		const args = `($1::text, $2::text::jsonb, $3::text, $4::integer, $5::text::timestamptz, $6::integer, nullif($7::text, '')::jsonb)`
		values := []any{kind, payload, queue, priority, runAt, maxAttempts, headers}
		var id int64
		byFunction := h.producer.QueryRow(t.Context(), "SELECT outbox.enqueue"+args, values...).Scan(&id)
		_, byInsert := h.producer.Exec(t.Context(), "INSERT INTO outbox.jobs (kind, payload, queue_name, priority, run_at, max_attempts, headers) VALUES "+args, values...)
		for door, err := range map[string]error{"enqueue": byFunction, "INSERT": byInsert} {
			if err == nil {
				h.jobs++
				continue
			}
			h.refused(t, door, err)
		}
		if (byFunction == nil) != (byInsert == nil) {
			t.Fatalf("enqueue = %v, but INSERT = %v", byFunction, byInsert)
		}
		h.whole(t)
		h.library(t, job.Spec{Kind: kind, Payload: json.RawMessage(payload), QueueName: queue, Priority: new(int(priority)), MaxAttempts: int(maxAttempts), Headers: json.RawMessage(headers)}, runAt, byInsert)
	})
}

// library inserts the same job through the Go library, which must name a field when
// it refuses, and refuse what SQL did.
func (h *house) library(t testing.TB, s job.Spec, runAt string, bySQL error) {
	t.Helper()
	var err error
	if s.RunAt, err = time.Parse(time.RFC3339, runAt); err != nil {
		return // a time in words that only Postgres knows
	}
	// What stands for a default in Go is an odd value in SQL.
	defaulted := len(s.Payload) == 0 || s.QueueName == "" || s.MaxAttempts == 0 || string(s.Headers) == "null"
	_, err = outbox.InsertSpecs(t.Context(), h.producer, []job.Spec{s})
	var field *job.FieldError
	switch {
	case err == nil && bySQL != nil && !defaulted:
		t.Fatalf("InsertSpecs(%+v) = nil, but SQL says %v", s, bySQL)
	case err == nil:
		h.jobs++
	case !errors.As(err, &field):
		t.Fatalf("InsertSpecs(%+v) = %v, want it to name a field", s, err)
	}
	h.whole(t)
}

// FuzzEnqueueMany: all jobs of the array, or none. What decides is in Postgres,
// where no coverage guides the fuzzer; so picks puts together what is odd already.
func FuzzEnqueueMany(f *testing.F) {
	h := newHouse(f)
	f.Add(`[{"kind": "welcome", "payload": {"to": "a@b.c"}}, {"kind": "bill", "priority": 20}]`, []byte{})
	f.Add(``, []byte{0, 12, 1, 13, 2, 14, 3, 15, 4, 16})
	f.Fuzz(func(t *testing.T, jobs string, picks []byte) {
		for _, text := range []string{jobs, odd(picks)} {
			rows, _ := h.producer.Query(t.Context(), "SELECT outbox.enqueue_many($1::text::jsonb)", text)
			ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
			if err != nil {
				h.refused(t, "enqueue_many("+text+")", err)
			}
			h.jobs += len(ids)
			h.whole(t)
		}
	})
}

// odd puts an array of jobs together, each field and each value as a byte picks it.
func odd(picks []byte) string {
	names := []string{"kind", "queue_name", "payload", "priority", "run_at", "max_attempts", "headers", "kind ", "Kind", `\u006bind`, "", "id", "status", `\u0000`}
	values := []string{
		`null`, `true`, `""`, `"k"`, `"{x}"`, `"a b"`, `"\n"`, `"\u0000"`, `"\ud800"`, `"'; DROP TABLE outbox.jobs; --"`, `"$1"`, `"é"`,
		`0`, `1`, `-0`, `-1`, `1000`, `1001`, `1.0`, `1e2`, `1e400`, `1e131071`, `1e131072`, `0e999999999`, `2147483647`, `2147483648`, `999999999`, `99999999999999999999`,
		`[]`, `{}`, `{"a": 1}`, `{"a": {"a": []}}`, `[{}, null]`, `{"traceparent": 5}`, `{"": ""}`,
		`"infinity"`, `"now"`, `"epoch"`, `"2026-11-23"`, `"2026-02-30"`, `"2026-11-23T24:00:00Z"`, `"2026-11-23T23:59:60Z"`, `"2026-11-23 10:00:00 Mars/Olympus"`,
		`"2026-11-23T10:00:00+15:59"`, `"2026-11-23T10:00:00+99:00"`, `"1969-12-31T23:59:59Z"`, `"9998-12-31T23:59:59-15:00"`, `"9999-01-01T00:00:00+15:00"`, `"0000-01-01"`, `"2026-11-23 BC"`,
	}
	var b strings.Builder
	b.WriteString("[{")
	for i := 0; i+1 < len(picks) && i < 200; i += 2 {
		name, value := picks[i], picks[i+1]
		switch {
		case i == 0:
		case name >= 128:
			b.WriteString("}, {")
		default:
			b.WriteString(", ")
		}
		b.WriteString(`"` + names[int(name)%len(names)] + `": ` + values[int(value)%len(values)])
	}
	b.WriteString("}]")
	return b.String()
}

// FuzzControl calls jobs off and sends them again in every order, between the steps
// of a relay and a worker. A queued job stays filed exactly once, any other not at
// all.
func FuzzControl(f *testing.F) {
	owner := connect(f, devtest.Postgres(f))
	states := documentedStates(f)
	const filed = `SELECT (status = 'queued')::int4 - (SELECT count(*)::int4 FROM outbox.ready WHERE job_id = id)
		- (SELECT count(*)::int4 FROM outbox.scheduled WHERE job_id = id) FROM outbox.jobs WHERE id = $1`
	steps := []string{
		"SELECT outbox.cancel($1)", "SELECT outbox.redrive($1)",
		`WITH r AS (DELETE FROM outbox.ready WHERE job_id = $1) UPDATE outbox.jobs SET status = 'dispatched', dispatch_id = 7 WHERE id = $1 AND status = 'queued' AND run_at <= now()`,
		"UPDATE outbox.jobs SET status = 'running' WHERE id = $1 AND status = 'dispatched'",
		"UPDATE outbox.jobs SET status = 'completed' WHERE id = $1 AND status IN ('dispatched', 'running')",
		"UPDATE outbox.jobs SET status = 'dead' WHERE id = $1 AND status IN ('dispatched', 'running')",
	}
	f.Add("1", false, []byte{0, 1, 2, 3, 4, 1, 2, 5, 1, 0})
	f.Fuzz(func(t *testing.T, odd string, later bool, order []byte) {
		id := one[int64](t, owner, "SELECT outbox.enqueue(run_at => now() + $1::int * interval '1 day')", map[bool]int{true: 1}[later])
		for _, b := range order[:min(len(order), 20)] {
			step := steps[int(b)%len(steps)]
			mustExec(t, owner, step, id)
			wantOne(t, owner, 0, filed, id)
		}
		for _, step := range steps[:2] {
			if _, err := owner.Exec(t.Context(), strings.Replace(step, "$1", "$1::text::bigint", 1), odd); err != nil && !states[state(err)] {
				t.Errorf("%s of %q: %v (SQLSTATE %s), which docs/sql.md does not name", step, odd, err, state(err))
			}
		}
		mustExec(t, owner, "TRUNCATE outbox.jobs, outbox.ready, outbox.scheduled, outbox.cancels RESTART IDENTITY")
	})
}
