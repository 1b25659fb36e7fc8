package db_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

// hot are the statements of a job's way, and what their plans must use.
var hot = map[string][]string{
	"Survey":           {"ready_pkey", "scheduled_pkey"},
	"ClaimReady":       {"ready_pkey", "jobs_pkey", "dispatches_pkey", "Tid Scan on ready"},
	"RecordPushes":     {"dispatches_pkey"},
	"MarkRunning":      {"jobs_pkey"},
	"Reconcile":        {"jobs_pkey"},
	"CompleteJobs":     {"jobs_pkey"},
	"VerifyAttempts":   {"jobs_pkey"},
	"RequeueAttempts":  {"jobs_pkey", "queues_pkey"},
	"TakeOverUnpushed": {"dispatches_by_age", "dispatches_pkey", "queues_pkey"},
	"RebuildBatch":     {"jobs_pkey"},
	"SweepDispatches":  {"jobs_pkey", "dispatches_by_age", "dispatches_pkey"},
	"ListUnsettled":    {"jobs_pkey", "dispatches_by_age"},
	"ListEntrusted":    {"jobs_pkey", "dispatches_by_age", "queues_pkey"},
	"ListUnrecorded":   {"dispatches_pkey"},
	"PromoteScheduled": {"scheduled_pkey", "Tid Scan on scheduled"},
	"HoldAttempts":     {"jobs_pkey", "queues_pkey"},
	"RenewHeld":        {"dispatches_pkey", "jobs_pkey"},
	"ReclaimHeld":      {"dispatches_pkey", "jobs_pkey"},
	"TakeBackHeld":     {"dispatches_by_lease", "dispatches_pkey", "jobs_pkey"},
	"PruneJobs":        {"jobs_pkey", "queues_pkey", "attempts_pkey", "dead_letters_pkey"},
	"WalkJobs":         {"jobs_pkey", "ready_pkey", "scheduled_pkey", "dispatches_pkey"},
}

// joins are statements whose joins may change places: each probes by a whole key.
var joins = map[string]bool{"WalkJobs": true, "RequeueAttempts": true}

// The pinned sessions of a Store keep every hot statement's plan, whatever the
// tables hold and whatever the statistics say of them: prepared on empty tables a
// claim once took 15 s at 200,000 rows (research/probes.md section 4.1).
func TestPlans_KeepTheirShape(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, table := range []string{"jobs", "ready", "scheduled", "dispatches", "queues", "attempts", "dead_letters"} {
		w.exec("ALTER TABLE outbox." + table + " SET (autovacuum_enabled = false)")
	}
	texts := statements(t)
	first := pinned(w)
	prepare(w, first, texts)
	empty := shapes(w, first)
	for name, shape := range empty {
		if strings.Contains(shape, "Seq Scan") {
			t.Errorf("%s reads a whole table:\n%s", name, shape)
		}
		for _, want := range hot[name] {
			if !strings.Contains(shape, want) {
				t.Errorf("%s does not use %s:\n%s", name, want, shape)
			}
		}
	}
	for _, state := range []struct {
		name string
		make func()
	}{
		{"small", func() { fill(w, 300) }},
		{"large and never analysed", func() { fill(w, 60_000) }},
		{"large and analysed", func() { w.exec("ANALYZE") }},
	} {
		state.make()
		if diff := cmp.Diff(empty, shapes(w, first)); diff != "" {
			t.Errorf("%s, prepared on empty tables (-empty +now):\n%s", state.name, diff)
		}
		fresh := pinned(w)
		prepare(w, fresh, texts)
		if diff := cmp.Diff(empty, shapes(w, fresh)); diff != "" {
			t.Errorf("%s, prepared now (-empty +now):\n%s", state.name, diff)
		}
	}
	if n := get[float64](w, "SELECT reltuples::float8 FROM pg_class WHERE oid = 'outbox.jobs'::regclass"); n < 50_000 {
		t.Errorf("rows that ANALYZE has seen = %g, want 50,000 or more", n)
	}
}

// Postgres believes an ANALYZE of empty tables (vacuumdb --analyze after a restore), and
// then would rather read all of jobs for a batch than look each job up: a claim took
// 1.1 ms a job. So the statements of a job's way compare ids by BETWEEN, by which no
// index can be read in order for a join.
func TestPlans_LookJobsUpThoughTheTablesSeemEmpty(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec("ANALYZE")
	c := pinned(w)
	prepare(w, c, statements(t))
	for name, shape := range shapes(w, c) {
		if name == "WalkJobs" {
			continue // a belt, and slow until Postgres has looked again
		}
		if strings.Contains(shape, "Join Filter") {
			t.Errorf("%s joins without an index:\n%s", name, shape)
		}
	}
}

// pinned takes a session of its own out of the Store's pinned pool.
func pinned(w *world) *pgx.Conn {
	w.Helper()
	c, err := w.Pinned().Acquire(w.Context())
	if err != nil {
		w.Fatalf("acquire: %v", err)
	}
	w.Cleanup(c.Release)
	return c.Conn()
}

// fill adds n due jobs, half as many scheduled ones, n/10 ledger rows of ten, and n/10
// dead letters with an attempt each.
func fill(w *world, n int) {
	w.Helper()
	w.exec("INSERT INTO outbox.jobs (queue_name) SELECT 'q' || n % 5 FROM generate_series(1, $1::int) AS n", n)
	w.exec("INSERT INTO outbox.jobs (queue_name, run_at) SELECT 'q' || n % 5, now() + n * interval '1 second' FROM generate_series(1, $1::int) AS n", n/2)
	w.exec(`INSERT INTO outbox.dispatches (id, queue_name, job_ids, epoch, relay_id)
		SELECT (SELECT count(*) FROM outbox.dispatches) + n, 'q0', ARRAY(SELECT generate_series(n * 10, n * 10 + 9)), 1, 'r' FROM generate_series(1, $1::int) AS n`, n/10)
	w.exec(`INSERT INTO outbox.dead_letters (job_id, queue_name, kind, reason)
		SELECT (SELECT count(*) FROM outbox.dead_letters) + n, 'q0', '', 'failed' FROM generate_series(1, $1::int) AS n`, n/10)
	w.exec(`INSERT INTO outbox.attempts (job_id, attempt_count, outcome)
		SELECT (SELECT count(*) FROM outbox.attempts) + n, 1, 'fail' FROM generate_series(1, $1::int) AS n`, n/10)
}

func prepare(w *world, c *pgx.Conn, texts map[string]string) {
	w.Helper()
	for name := range hot {
		if _, err := c.Exec(w.Context(), "PREPARE plan_of_"+name+" AS "+texts[name], pgx.QueryExecModeSimpleProtocol); err != nil {
			w.Fatalf("PREPARE %s: %v", name, err)
		}
	}
}

// shapes returns the generic plan of each hot statement. Its parameters are NULL:
// a generic plan does not look at them.
func shapes(w *world, c *pgx.Conn) map[string]string {
	w.Helper()
	out := map[string]string{}
	for name := range hot {
		var params int
		if err := c.QueryRow(w.Context(), "SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = lower($1)", "plan_of_"+name).Scan(&params); err != nil {
			w.Fatalf("parameters of %s: %v", name, err)
		}
		args := ""
		if params > 0 {
			args = "(" + strings.TrimSuffix(strings.Repeat("NULL, ", params), ", ") + ")"
		}
		rows, _ := c.Query(w.Context(), fmt.Sprintf("EXPLAIN (COSTS OFF) EXECUTE plan_of_%s%s", name, args), pgx.QueryExecModeSimpleProtocol)
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			w.Fatalf("EXPLAIN %s: %v", name, err)
		}
		if joins[name] {
			for i := range lines {
				lines[i] = strings.TrimLeft(lines[i], " ->")
			}
			slices.Sort(lines)
		}
		out[name] = strings.Join(lines, "\n")
	}
	return out
}

// statements returns the text of every statement sqlc has generated, by name: what
// the Store sends, not what somebody copied.
func statements(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("internal/query/*.sql.go")
	if err != nil || len(paths) == 0 {
		t.Fatalf("generated files = %v, %v", paths, err)
	}
	out := map[string]string{}
	for _, path := range paths {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			v, ok := n.(*ast.ValueSpec)
			if !ok || len(v.Values) != 1 {
				return true
			}
			literal, ok := v.Values[0].(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			_, header, _ := strings.Cut(text, "-- name: ")
			if name, _, found := strings.Cut(header, " :"); found {
				out[name] = text
			}
			return true
		})
	}
	for name := range hot {
		if out[name] == "" {
			t.Fatalf("no generated statement is called %s", name)
		}
	}
	return out
}
