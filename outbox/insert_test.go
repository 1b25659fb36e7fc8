package outbox_test

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.opentelemetry.io/otel/trace"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/outbox"
)

func TestInsert_ExistsExactlyIfCommitted(t *testing.T) {
	t.Parallel()
	url := devtest.Postgres(t)
	conn, other := connect(t, url), connect(t, url)
	for _, commit := range []bool{false, true} {
		tx, err := conn.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		id, err := outbox.Insert(t.Context(), tx, mail{To: "a@b.c"}, outbox.Options{})
		if err != nil {
			t.Fatal(err)
		}
		wantOne(t, tx, 1, "SELECT count(*)::int4 FROM outbox.ready WHERE job_id = $1", id)
		wantOne(t, other, 0, "SELECT count(*)::int4 FROM outbox.jobs WHERE id = $1", id)
		end, want := tx.Rollback, 0
		if commit {
			end, want = tx.Commit, 1
		}
		if err := end(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantOne(t, other, want, "SELECT count(*)::int4 FROM outbox.jobs WHERE id = $1", id)
		wantOne(t, other, want, "SELECT count(*)::int4 FROM outbox.ready WHERE job_id = $1", id)
	}
}

func TestInsertSQL_ExistsExactlyIfCommitted(t *testing.T) {
	t.Parallel()
	url := devtest.Postgres(t)
	db, other := open(t, url), connect(t, url)
	for _, commit := range []bool{false, true} {
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		id, err := outbox.InsertSQL(t.Context(), tx, mail{To: "a@b.c"}, outbox.Options{Delay: time.Hour, Headers: map[string]string{"a": "b"}})
		if err != nil {
			t.Fatal(err)
		}
		ids, err := outbox.InsertManySQL(t.Context(), tx, []outbox.Item{{Args: mail{}}, {Args: mail{}, Options: outbox.Options{Priority: new(0)}}})
		if err != nil || len(ids) != 2 || ids[0] <= id || ids[1] != ids[0]+1 {
			t.Fatalf("InsertManySQL() = %v, %v, want the two ids after %d", ids, err, id)
		}
		end, want := tx.Rollback, 0
		if commit {
			end, want = tx.Commit, 3
		}
		if err := end(); err != nil {
			t.Fatal(err)
		}
		wantOne(t, other, want, "SELECT count(*)::int4 FROM outbox.jobs WHERE id BETWEEN $1 AND $2", id, ids[1])
	}
	wantOne(t, other, 1, "SELECT count(*)::int4 FROM outbox.scheduled")
}

func TestInsert_SavepointTakesItsJobsAlong(t *testing.T) {
	t.Parallel()
	conn := connect(t, devtest.Postgres(t))
	err := pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
		if _, err := outbox.Insert(t.Context(), tx, mail{To: "kept"}, outbox.Options{}); err != nil {
			return err
		}
		inner, err := tx.Begin(t.Context())
		if err != nil {
			return err
		}
		if _, err := outbox.Insert(t.Context(), inner, mail{To: "undone"}, outbox.Options{}); err != nil {
			return err
		}
		if _, err := outbox.InsertMany(t.Context(), inner, []outbox.Item{{Args: mail{To: "undone"}}}); err != nil {
			return err
		}
		return inner.Rollback(t.Context())
	})
	if err != nil {
		t.Fatal(err)
	}
	wantOne(t, conn, "kept", "SELECT string_agg(payload ->> 'to', ',') FROM outbox.jobs")
	wantOne(t, conn, 1, "SELECT count(*)::int4 FROM outbox.ready")
}

// A driver may send parameters as text, as binary, or spliced into the statement;
// PgBouncer in transaction mode allows only those modes that prepare nothing.
func TestInsert_EveryQueryExecMode(t *testing.T) {
	t.Parallel()
	url := devtest.Postgres(t)
	for _, mode := range []pgx.QueryExecMode{
		pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec,
		pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
	} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			config, err := pgxpool.ParseConfig(url)
			if err != nil {
				t.Fatal(err)
			}
			config.ConnConfig.DefaultQueryExecMode = mode
			pool, err := pgxpool.NewWithConfig(t.Context(), config)
			if err != nil {
				t.Fatal(err)
			}
			defer pool.Close()

			at := time.Date(2001, 2, 3, 4, 5, 6, 789_000, time.FixedZone("", 3600))
			full := outbox.Options{QueueName: "q:1", Priority: new(0), RunAt: at, MaxAttempts: 3, Headers: map[string]string{"k": `v"'\<`}}
			text := `quote ' dollar $1 back\slash <b> ☃ "` + "\t\n"
			want := stored{
				QueueName: "q:1", Kind: "mail", Payload: `{"to": "quote ' dollar $1 back\\slash <b> ☃ \"\t\n"}`,
				Headers: `{"k": "v\"'\\<"}`, MaxAttempts: 3, Status: "queued", Due: true,
			}
			plain := stored{QueueName: "default", Kind: "mail", Payload: want.Payload, Priority: 100, MaxAttempts: 25, Status: "queued"}

			var ids []int64
			for _, o := range []outbox.Options{full, {Delay: time.Minute}} {
				id, err := outbox.Insert(t.Context(), pool, mail{To: text}, o)
				if err != nil {
					t.Fatal(err)
				}
				ids = append(ids, id)
			}
			more, err := outbox.InsertSpecs(t.Context(), pool, []job.Spec{
				{QueueName: "q:1", Kind: "mail", Payload: rawJSON("%s", want.Payload), Headers: rawJSON("%s", want.Headers), Priority: new(0), RunAt: at, MaxAttempts: 3},
				{Kind: "mail", Payload: rawJSON("%s", want.Payload), RunAt: time.Now().Add(time.Hour)},
			})
			if err != nil {
				t.Fatal(err)
			}
			for i, id := range append(ids, more...) {
				w := want
				if i%2 == 1 {
					w = plain
				}
				if diff := cmp.Diff(w, read(t, pool, id)); diff != "" {
					t.Errorf("job %d (-want +got):\n%s", i, diff)
				}
				if i%2 == 0 {
					wantOne(t, pool, true, "SELECT run_at = '2001-02-03 03:05:06.000789+00' FROM outbox.jobs WHERE id = $1", id)
				}
			}
			kind := kindOf(mode.String())
			n, err := outbox.InsertMany(t.Context(), pool, []outbox.Item{{Args: kind, Options: full}, {Args: kind}})
			if n != 2 || err != nil {
				t.Fatalf("InsertMany() = %d, %v, want 2", n, err)
			}
			wantOne(t, pool, "0,100", "SELECT string_agg(priority::text, ',' ORDER BY id) FROM outbox.jobs WHERE kind = $1", string(kind))
		})
	}
}

// kindOf is Args with a kind of the test's choice.
type kindOf string

func (k kindOf) Kind() string                 { return string(k) }
func (k kindOf) MarshalJSON() ([]byte, error) { return []byte(`{}`), nil }

func TestInsert_EveryIsolationLevel(t *testing.T) {
	t.Parallel()
	url := devtest.Postgres(t)
	for _, level := range []pgx.TxIsoLevel{pgx.ReadCommitted, pgx.RepeatableRead, pgx.Serializable} {
		// Two at once: neither may be refused because of the other.
		a, b := connect(t, url), connect(t, url)
		var txs []pgx.Tx
		for _, conn := range []*pgx.Conn{a, b} {
			tx, err := conn.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: level})
			if err != nil {
				t.Fatal(err)
			}
			mustExec(t, tx, "SELECT 1") // takes the snapshot
			txs = append(txs, tx)
		}
		for _, tx := range txs {
			if _, err := outbox.Insert(t.Context(), tx, mail{}, outbox.Options{QueueName: "new-" + strings.ReplaceAll(string(level), " ", "-")}); err != nil {
				t.Errorf("%s: %v", level, err)
			}
			if _, err := outbox.InsertMany(t.Context(), tx, []outbox.Item{{Args: mail{}, Options: outbox.Options{Delay: time.Hour}}, {Args: mail{}}}); err != nil {
				t.Errorf("%s: %v", level, err)
			}
		}
		for _, tx := range txs {
			if err := tx.Commit(t.Context()); err != nil {
				t.Errorf("%s: commit: %v", level, err)
			}
		}
	}
	wantOne(t, connect(t, url), 18, "SELECT count(*)::int4 FROM outbox.jobs")
}

type welcome struct{}

func (welcome) Kind() string { return "welcome" }
func (welcome) JobOptions() outbox.Options {
	return outbox.Options{
		QueueName: "mail", Priority: new(7), Delay: time.Hour, MaxAttempts: 4,
		Headers: map[string]string{"a": "kind", "b": "kind"},
	}
}

func TestInsert_OptionsWinFieldByField(t *testing.T) {
	t.Parallel()
	conn := connect(t, devtest.Postgres(t))
	tests := []struct {
		o    outbox.Options
		want stored
	}{
		{outbox.Options{}, stored{QueueName: "mail", Priority: 7, MaxAttempts: 4, Headers: `{"a": "kind", "b": "kind"}`}},
		{outbox.Options{QueueName: "x"}, stored{QueueName: "x", Priority: 7, MaxAttempts: 4, Headers: `{"a": "kind", "b": "kind"}`}},
		{outbox.Options{Priority: new(0)}, stored{QueueName: "mail", Priority: 0, MaxAttempts: 4, Headers: `{"a": "kind", "b": "kind"}`}},
		{outbox.Options{RunAt: time.Unix(1, 0)}, stored{QueueName: "mail", Priority: 7, MaxAttempts: 4, Due: true, Headers: `{"a": "kind", "b": "kind"}`}},
		{outbox.Options{MaxAttempts: 1, Headers: map[string]string{"b": "call"}}, stored{QueueName: "mail", Priority: 7, MaxAttempts: 1, Headers: `{"a": "kind", "b": "call"}`}},
	}
	for i, test := range tests {
		id, err := outbox.Insert(t.Context(), conn, welcome{}, test.o)
		if err != nil {
			t.Fatal(err)
		}
		test.want.Kind, test.want.Payload, test.want.Status = "welcome", "{}", "queued"
		if diff := cmp.Diff(test.want, read(t, conn, id)); diff != "" {
			t.Errorf("row %d (-want +got):\n%s", i, diff)
		}
	}
}

func TestInsert_DelayIsPostgresTime(t *testing.T) {
	t.Parallel()
	conn := connect(t, devtest.Postgres(t))
	for _, delay := range []time.Duration{time.Nanosecond, time.Microsecond, 90 * time.Minute, math.MaxInt64} {
		id, err := outbox.Insert(t.Context(), conn, mail{}, outbox.Options{Delay: delay})
		if err != nil {
			t.Fatalf("Insert(Delay %s) = %v", delay, err)
		}
		wantOne(t, conn, true, "SELECT run_at = created_at + $2::bigint * interval '1 microsecond' FROM outbox.jobs WHERE id = $1", id, delay.Microseconds())
	}
	// The same through COPY, beside a job that is due now.
	err := pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
		_, err := outbox.InsertMany(t.Context(), tx, []outbox.Item{
			{Args: kindOf("now")}, {Args: kindOf("later"), Options: outbox.Options{Delay: 90 * time.Minute}},
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	wantOne(t, conn, true, "SELECT bool_and(run_at = created_at) FROM outbox.jobs WHERE kind = 'now'")
	wantOne(t, conn, true, "SELECT bool_and(run_at = created_at + interval '90 minutes') FROM outbox.jobs WHERE kind = 'later'")
}

func TestInsert_TraceOfTheContext(t *testing.T) {
	t.Parallel()
	conn := connect(t, devtest.Postgres(t))
	states, err := trace.ParseTraceState("a=b")
	if err != nil {
		t.Fatal(err)
	}
	const parent = "00-0102030405060708090a0b0c0d0e0f10-0102030405060708-01"
	ctx := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, SpanID: trace.SpanID{1, 2, 3, 4, 5, 6, 7, 8},
		TraceFlags: trace.FlagsSampled, TraceState: states,
	}))
	tests := []struct {
		ctx     context.Context
		headers map[string]string
		want    string
	}{
		{t.Context(), nil, ``},
		{ctx, nil, `{"tracestate": "a=b", "traceparent": "` + parent + `"}`},
		{ctx, map[string]string{"k": "v", "tracestate": "stale=1"}, `{"k": "v", "tracestate": "a=b", "traceparent": "` + parent + `"}`},
		{ctx, map[string]string{"traceparent": "mine"}, `{"traceparent": "mine"}`},
	}
	for i, test := range tests {
		id, err := outbox.Insert(test.ctx, conn, mail{}, outbox.Options{Headers: test.headers})
		if err != nil {
			t.Fatal(err)
		}
		if got := read(t, conn, id).Headers; got != test.want {
			t.Errorf("row %d: headers = %s, want %s", i, got, test.want)
		}
	}
	ids, err := outbox.InsertSpecs(ctx, conn, []job.Spec{{Headers: rawJSON(`{"n": 1}`)}, {Headers: rawJSON(`null`)}})
	if err != nil {
		t.Fatal(err)
	}
	for i, id := range ids {
		if got := read(t, conn, id).Headers; !strings.Contains(got, parent) || strings.Contains(got, `"n": 1`) != (i == 0) {
			t.Errorf("headers of spec %d = %s", i, got)
		}
	}
}
