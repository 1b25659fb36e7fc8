package outbox_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/outbox"
)

// TestHostile_SQL: what is made to break the functions is refused with a documented
// SQLSTATE that says what was wrong, and leaves nothing, not even half of a batch.
func TestHostile_SQL(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	million := strings.Repeat(`[`, 1_000_000)
	hundred := strings.TrimSuffix(strings.Repeat(`{},`, 100_000), ",")
	for _, tt := range []struct{ name, call, arg, state, want string }{
		{"10^6 arrays", "enqueue(payload => $1::text::jsonb)", million + strings.Repeat(`]`, 1_000_000), "54001", "stack depth"},
		{"10^6 objects", "enqueue(payload => $1::text::jsonb)", strings.Repeat(`{"":`, 1_000_000), "54001", "stack depth"},
		{"10^6 arrays of jobs", "enqueue_many($1::text::jsonb)", million, "54001", "stack depth"},
		{"20 MB", "enqueue(payload => to_jsonb(repeat('x', 20000000)), kind => $1)", "k", "23514", "payload has 20000002 bytes, must have at most 262144"},
		{"20 MB in headers", "enqueue(headers => jsonb_build_object('h', repeat('x', 20000000)), kind => $1)", "k", "23514", "must have at most 8192"},
		{"1e100000, thrice", "enqueue(payload => $1::text::jsonb)", `[1e100000,1e100000,1e100000]`, "23514", "must have at most 262144"},
		{"1e1000000", "enqueue(payload => $1::text::jsonb)", `1e1000000`, "22003", "overflow"},
		{"10^5 jobs, the last wrong", "enqueue_many($1::text::jsonb)", `[` + hundred + `,{"priority":1001}]`, "23514", "jobs[100000] priority is 1001, must be 0 to 1000"},
		{"10^5 jobs, the last no job", "enqueue_many($1::text::jsonb)", `[` + hundred + `,7]`, "23514", "jobs[100000] must be an object"},
		{"a run_at that is none", "enqueue_many($1::text::jsonb)", `[{},{"run_at":"2026-13-01"}]`, "23514", "jobs[1] run_at must be a time"},
		{"a run_at with a zone of its own", "enqueue_many($1::text::jsonb)", `[{"run_at":"2026-11-23 10:00 Mars/Olympus"}]`, "23514", "jobs[0] run_at must be a time"},
		{"a raw NUL", "enqueue($1)", "a\x00b", "22021", "0x00"},
		{"no UTF-8", "enqueue($1)", "\xff", "22021", "0xff"},
		{"the largest id", "cancel($1::text::bigint)", "9223372036854775807", "P0002", "no job has id 9223372036854775807"},
		{"no id", "redrive($1::text::bigint)", "9223372036854775808", "22003", "out of range"},
	} {
		_, err := h.owner.Exec(t.Context(), "SELECT outbox."+tt.call, tt.arg)
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || pg.Code != tt.state || !strings.Contains(pg.Message, tt.want) || len(pg.Message) > 300 {
			t.Errorf("%s = %.300v, want %s with %q", tt.name, err, tt.state, tt.want)
		}
		h.refused(t, tt.name, err)
		h.whole(t)
	}
	// Many is no fault: all of them, and the house stands.
	if got := one[int64](t, h.producer, "SELECT count(*) FROM outbox.enqueue_many($1::text::jsonb)", `[`+hundred+`]`); got != 100_000 {
		t.Errorf("enqueue_many of 100000 jobs gave %d ids", got)
	}
	wantOne(t, h.owner, 100_000, "SELECT count(*)::int4 FROM outbox.ready")
}

// TestHostile_Names: a name that would end a statement, a line or a key is refused as
// a queue, and is text like any other as kind, header and payload.
func TestHostile_Names(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, name := range []string{
		"'; DROP TABLE outbox.jobs; --", `\'; DELETE FROM outbox.jobs; --`, "$$; SELECT 1; $$", "q}:meta", "{q}:leases", "q\r\nFLUSHALL\r\n", "$1", "%s", "\x1b[2J",
		"<script>", "\u202e", "a\u0085b", `"`, `\`, "\U0010ffff", "\ufffe", strings.Repeat("\u0301", 200),
	} {
		var pg *pgconn.PgError
		if _, err := h.producer.Exec(t.Context(), "SELECT outbox.enqueue(queue_name => $1)", name); !errors.As(err, &pg) || pg.Code != "23514" || pg.ColumnName != "queue_name" {
			t.Errorf("enqueue(queue_name => %q) = %v, want 23514 of queue_name", name, err)
		}
		_, err := outbox.Insert(t.Context(), h.producer, mail{}, outbox.Options{QueueName: name})
		wantField(t, fmt.Sprintf("Insert(queue %q)", name), err, "queue_name")
		id, err := outbox.Insert(t.Context(), h.producer, named{kindOf(name), name}, outbox.Options{Headers: map[string]string{name: name}})
		if err != nil {
			t.Errorf("Insert(kind %q) = %v", name, err)
			continue
		}
		h.jobs++
		wantOne(t, h.owner, true, "SELECT kind = $2 AND payload = to_jsonb($2::text) AND headers ->> $2 = $2 FROM outbox.jobs WHERE id = $1", id, name)
		h.whole(t)
	}
}

// named is a job whose payload is its name.
type named struct {
	kindOf
	name string
}

func (n named) MarshalJSON() ([]byte, error) { return json.Marshal(n.name) }

// TestHostile_ManyInGo: one wrong job of 10^5 is named, and none is inserted, by
// COPY as by one statement; the transaction goes on.
func TestHostile_ManyInGo(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	items := make([]outbox.Item, 100_000)
	for i := range items {
		items[i] = outbox.Item{Args: mail{}}
	}
	items[99_999].Options.Priority = new(job.MaxPriority + 1)
	tx, err := h.producer.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var which *outbox.ItemError
	if _, err := outbox.InsertMany(t.Context(), tx, items); !errors.As(err, &which) || which.Index != 99_999 {
		t.Errorf("InsertMany(10^5, the last wrong) = %v, want the last named", err)
	}
	items[99_999] = outbox.Item{Args: raw(strings.Repeat(`[`, 1_000_000) + strings.Repeat(`]`, 1_000_000))}
	if _, err := outbox.InsertMany(t.Context(), tx, items); err == nil || !strings.Contains(err.Error(), "payload") {
		t.Errorf("InsertMany(10^6 nested) = %.300v, want the payload named", err)
	}
	items[99_999] = outbox.Item{Args: mail{}}
	if n, err := outbox.InsertMany(t.Context(), tx, items); n != 100_000 || err != nil {
		t.Errorf("InsertMany(10^5) = %d, %v, want all", n, err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantOne(t, h.owner, 100_000, "SELECT count(*)::int4 FROM outbox.ready")
}
