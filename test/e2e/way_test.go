package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/penguinmails/rookery/internal/devstack"
)

// The whole way, as somebody without Go walks it: psql in, a shell program out.
func TestWay_PsqlInsertsAndAProgramRunsExactlyTheCommitted(t *testing.T) {
	slow(t)
	t.Parallel()
	const transactions, each = 100, 100
	w := newWorld(t, worldOptions{lease: 10 * time.Second})
	w.relay()
	line := func(word, how string) string {
		return `"` + word + ` $ROOKERY_JOB_ID $ROOKERY_JOB_ATTEMPT_COUNT $ROOKERY_JOB_DISPATCH_ID $$ 0 ` + how + `\n"`
	}
	shell := fmt.Sprintf("printf %s%s >> %s", strings.TrimSuffix(line("start", "-"), `"`), strings.TrimPrefix(line("end", "ok"), `"`), w.history)
	w.start("rookery worker --exec", w.env("worker"), program("rookery"), "worker", "--queue", queue, "--concurrency", "4", "--exec", "--", "/bin/sh", "-c", shell)

	var script strings.Builder
	script.WriteString("\\set ON_ERROR_STOP on\n\\pset tuples_only on\n\\pset format unaligned\n")
	for n := range transactions {
		end := "COMMIT"
		if n%10 == 7 {
			end = "ROLLBACK"
		}
		fmt.Fprintf(&script, "BEGIN;\nINSERT INTO outbox.jobs (queue_name, payload) SELECT '%s', jsonb_build_object('transaction', %d, 'n', n) FROM generate_series(1, %d) AS n RETURNING '%s ' || id;\n%s;\n", queue, n, each, end, end)
	}
	w.runPsql(script.String())
	if len(w.committed) != 9000 || len(w.rolledBack) != 1000 {
		t.Fatalf("psql committed %d jobs and rolled back %d, want 9000 and 1000", len(w.committed), len(w.rolledBack))
	}
	w.verify(patience, allowance{})
	if n := w.count(`SELECT count(*) FROM outbox.jobs WHERE status = 'completed'`); n != 9000 {
		t.Errorf("%d jobs are completed, want 9000", n)
	}
}

// runPsql feeds psql, and notes what it says it did.
func (w *world) runPsql(script string) {
	w.t.Helper()
	cmd := exec.CommandContext(w.t.Context(), findPsql(w.t), "--no-psqlrc", "--quiet", w.as("rookery_producer"))
	cmd.Stdin = strings.NewReader(script)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		w.t.Fatalf("psql: %v: %s", err, errs.String())
	}
	for line := range strings.Lines(out.String()) {
		end, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		id, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			w.t.Fatalf("psql said %q", line)
		}
		if end == "COMMIT" {
			w.committed = append(w.committed, id)
		} else {
			w.rolledBack = append(w.rolledBack, id)
		}
	}
}

// findPsql returns psql from PATH, or from beside the server. It is as necessary as
// the server.
func findPsql(t testing.TB) string {
	t.Helper()
	if path, err := exec.LookPath("psql"); err == nil {
		return path
	}
	found, err := devstack.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(filepath.Dir(found.Postgres), "psql")
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("psql is not installed: %v", err)
	}
	return path
}

// One relay and one worker, every kind of ending.
func TestWay_EveryOutcomeIsRecorded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	w.relay()
	w.worker(10)
	good := w.insert(200, `{}`)
	w.exec(`INSERT INTO outbox.jobs (queue_name, payload, max_attempts) VALUES ($1, '{"do": "fail"}', 1)`, queue)
	bad := w.count(`SELECT max(id) FROM outbox.jobs`)
	w.exec(`INSERT INTO outbox.jobs (queue_name, payload, run_at) VALUES ($1, '{}', now() + interval '1500 milliseconds')`, queue)
	later := w.count(`SELECT max(id) FROM outbox.jobs`)
	w.committed = slices.Concat(good, []int64{bad, later})
	f := w.rest(patience)
	problems, _ := check(f, allowance{status: map[int64]string{bad: "dead"}})
	for _, p := range problems {
		t.Error(p)
	}
	if j := f.jobs[bad]; j.Failures != 1 || !strings.Contains(j.Error, "told to fail") {
		t.Errorf("the failed job is %+v, want one failure and its error", j)
	}
	due := w.count(`SELECT (extract(epoch FROM run_at) * 1e6)::bigint FROM outbox.jobs WHERE id = $1`, later)
	runs := f.runsOf([]int64{later})
	if len(runs) != 1 || runs[0].start < due || runs[0].start > due+10e6 {
		t.Errorf("the scheduled job ran %+v, was due at %d", runs, due)
	}
	t.Logf("scheduled job started %s after run_at", time.Duration(runs[0].start-due)*time.Microsecond)
}
