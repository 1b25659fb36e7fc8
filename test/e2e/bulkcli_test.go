package e2e

import (
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestCLI_Bulk(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	w.insert(700, `{}`)
	wants := func(code int, want string, args ...string) {
		t.Helper()
		got, stdout, stderr := w.cli(args...)
		if got != code || !strings.Contains(stdout+stderr, want) {
			t.Errorf("rookery %v = %d %s%s, want %d and %q", args, got, stdout, stderr, code, want)
		}
		if strings.ContainsAny(stderr, "\r\x1b") {
			t.Errorf("rookery %v draws where there is no terminal: %q", args, stderr)
		}
	}
	wants(2, "say --yes", "jobs", "cancel", "--queue", queue)
	wants(2, "--status is missing", "jobs", "redrive", "--queue", queue, "--yes")
	wants(2, "no such job can be changed", "jobs", "delete", "--status", "ready", "--yes")
	wants(2, "which jobs?", "jobs", "delete", "--yes")
	wants(2, "--all goes", "jobs", "cancel", "--all", "--queue", queue, "--yes")
	wants(2, "either ids or a filter", "jobs", "cancel", "1", "--queue", queue)
	wants(2, "usage", "jobs", "cancel")
	wants(0, "cancel would be done to: 700\n", "jobs", "cancel", "--queue", queue, "--dry-run")
	wants(0, `"capped": false`, "jobs", "cancel", "--queue", queue, "--dry-run", "-o", "json")
	if n := w.count(`SELECT count(*) FROM outbox.jobs WHERE status = 'cancelled'`); n != 0 {
		t.Errorf("a dry run has cancelled %d jobs", n)
	}
	wants(0, "operation 1 completed: 700 jobs done, 0 left", "jobs", "cancel", "--queue", queue, "--yes")
	wants(0, "completed: 700 jobs done", "jobs", "redrive", "--status", "cancelled", "--yes")
	wants(2, "--confirm", "queues", "purge", queue)
	wants(0, "completed: 700 jobs done", "queues", "purge", queue, "--confirm", queue)
	wants(0, `"done": 700`, "jobs", "delete", "--all", "--yes", "-o", "json")
	if n := w.count(`SELECT count(*) FROM outbox.jobs`); n != 0 {
		t.Errorf("%d jobs are left", n)
	}
	wants(0, "purge", "operations", "list")
	wants(0, `"actor": "cli:`, "operations", "get", "1", "-o", "json")
	wants(3, "no operation has id 99", "operations", "get", "99")
	wants(4, "was over already", "operations", "cancel", "1")
}

// What a command line began a server ends.
func TestCLI_BulkInterrupted(t *testing.T) {
	slow(t)
	t.Parallel()
	w := newWorld(t, worldOptions{})
	w.exec(`INSERT INTO outbox.queues (name, paused) VALUES ($1, true)`, queue)
	w.insert(2000, `{}`)
	// Each batch is slow: there is time to break it off.
	w.exec(`CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(1); RETURN NULL; END'`)
	w.exec(`CREATE TRIGGER dawdle AFTER UPDATE ON outbox.operations FOR EACH STATEMENT EXECUTE FUNCTION dawdle()`)
	p := w.rookery("jobs cancel --queue " + queue + " --yes")
	w.until(patience, "a batch to be done", `SELECT count(*) > 0 FROM outbox.operations WHERE done > 0`)
	p.signal(syscall.SIGINT)
	if code := p.wait(30 * time.Second); code != 1 || !strings.Contains(p.err.String(), "rookery operations cancel 1") {
		t.Errorf("interrupted = %d %s", code, p.err.String())
	}
	if n := w.count(`SELECT count(*) FROM outbox.operations WHERE status = 'running'`); n != 1 {
		t.Fatal("the operation is over: it proves nothing")
	}
	w.serve()
	w.until(patience, "a server to end it", `SELECT count(*) = 1 FROM outbox.operations WHERE status = 'completed' AND done = 2000 AND matched = 2000`)
}
