package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
)

// cli runs a command of the program to its end.
func (w *world) cli(args ...string) (code int, stdout, stderr string) {
	w.t.Helper()
	return run(w.t, w.env(commandOf(args)), append([]string{program("rookery")}, args...)...)
}

// mustCLI wants the command to succeed, and returns what it printed.
func (w *world) mustCLI(args ...string) string {
	w.t.Helper()
	code, stdout, stderr := w.cli(args...)
	if code != 0 {
		w.t.Fatalf("rookery %v ended with %d: %s", args, code, stderr)
	}
	return stdout
}

// A cancelled job's handler is told within seconds; one that waits, in Redis or in
// Postgres, never runs.
func TestControl_Cancel(t *testing.T) {
	slow(t)
	t.Parallel()
	w := newWorld(t, worldOptions{lease: 15 * time.Second})
	w.relay()
	w.worker(1)
	file, open := w.step()
	running := w.insert(1, waiting(file))[0]
	w.untilStarted(patience, 1)
	inRedis := w.insert(1, `{}`)[0]
	w.until(patience, "the second job to be dispatched", `SELECT status = 'dispatched' FROM outbox.jobs WHERE id = $1`, inRedis)
	later := w.count(`INSERT INTO outbox.jobs (queue_name, run_at) VALUES ($1, now() + interval '1 hour') RETURNING id`, queue)
	began := time.Now()
	w.mustCLI("jobs", "cancel", fmt.Sprint(inRedis), fmt.Sprint(later), fmt.Sprint(running))
	devtest.Until(t, patience, "the handler to be told", func() (bool, error) {
		runs, err := readHistory(w.history)
		return len(runs) == 1 && runs[0].how == "cancelled", err
	})
	t.Logf("the handler was told after %s, by the next beat", time.Since(began).Round(time.Millisecond))
	open()
	w.insert(10, `{}`) // the worker goes on
	w.verify(patience, allowance{status: map[int64]string{running: "cancelled", inRedis: "cancelled", later: "cancelled"}})
	if code, _, stderr := w.cli("jobs", "cancel", fmt.Sprint(running)); code != 4 || stderr == "" {
		t.Errorf("cancelling twice ended with %d and said %q", code, stderr)
	}
}

// A paused queue keeps what it has; resumed it goes on by itself.
func TestControl_PauseAndResume(t *testing.T) {
	slow(t)
	t.Parallel()
	w := newWorld(t, worldOptions{})
	w.relay()
	w.worker(10)
	w.untilStatus(patience, "completed", w.insert(10, `{}`))
	w.mustCLI("queues", "pause", queue)
	devtest.Until(t, patience, "Redis to know", func() (bool, error) {
		paused, err := w.rdb.HGet(t.Context(), "queue:{"+queue+"}:meta", "paused").Result()
		return paused == "1", err
	})
	ids := w.insert(100, `{}`)
	began := time.Now()
	devtest.Until(t, patience, "2 s of pause", func() (bool, error) { return time.Since(began) > 2*time.Second, nil })
	if n := w.count(`SELECT count(*) FROM outbox.jobs WHERE id = ANY ($1) AND status IN ('running', 'completed')`, ids); n != 0 {
		t.Errorf("%d jobs ran while the queue was paused", n)
	}
	w.mustCLI("queues", "resume", queue)
	w.verify(patience, allowance{})
}
