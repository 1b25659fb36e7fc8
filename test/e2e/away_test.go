package e2e

import (
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
)

// Redis dies and stays away, with jobs in its window, in workers' hands and about to
// be inserted: all complete through Postgres alone, and what runs meanwhile runs on.
// Then it comes back, and workers take from it again.
func TestAway_PostgresAlone(t *testing.T) {
	slow(t)
	t.Parallel()
	w := newWorld(t, worldOptions{})
	w.relay()
	w.worker(8)
	file, open := w.step()
	running := w.insert(4, waiting(file))
	w.untilStarted(patience, len(running))
	w.insert(2000, `{"do": "sleep", "ms": 20}`)
	w.untilStarted(patience, 200)
	if err := w.redis.Signal(kill); err != nil {
		t.Fatal(err)
	}
	late := w.insert(100, `{}`)
	w.untilStatus(patience, "completed", late)
	w.until(patience, "all but the running jobs", `SELECT count(*) = $1 FROM outbox.jobs WHERE status <> 'completed'`, len(running))
	w.until(patience, "the running jobs held in Postgres",
		`SELECT count(*) = $1 FROM outbox.jobs AS j JOIN outbox.dispatches AS d ON d.id = j.dispatch_id WHERE d.lease_until > now()`, len(running))
	// Longer than a lease: held is renewed.
	held := time.Now()
	devtest.Until(t, patience, "a lease to pass", func() (bool, error) { return time.Since(held) > w.lease+time.Second, nil })

	if err := w.redis.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	back := w.insert(50, `{}`)
	w.untilStatus(patience, "completed", back)
	devtest.Until(t, patience, "jobs through Redis again", func() (bool, error) {
		ids := w.insert(10, `{}`)
		w.untilStatus(patience, "completed", ids)
		seq, err := w.rdb.HGet(t.Context(), "queue:{"+queue+"}:meta", "seq").Int64()
		if errors.Is(err, redis.Nil) {
			return false, nil // no epoch is open yet
		}
		return seq > 0, err
	})
	open()
	f := w.rest(patience)
	problems, reruns := check(f, allowance{reruns: 0})
	for _, p := range problems {
		t.Error(p)
	}
	w.wantNoLosses(f)
	t.Logf("%d jobs, %d runs, %d again", len(f.jobs), len(f.runs), reruns)
}

// A worker that holds in Postgres dies: its jobs come back as from any other.
func TestAway_WorkerKilledWhileHolding(t *testing.T) {
	slow(t)
	t.Parallel()
	w := newWorld(t, worldOptions{})
	w.relay()
	doomed := w.worker(4)
	file, open := w.step()
	running := w.insert(4, waiting(file))
	w.untilStarted(patience, len(running))
	if err := w.redis.Signal(kill); err != nil {
		t.Fatal(err)
	}
	w.until(patience, "held in Postgres", `SELECT count(*) > 0 FROM outbox.dispatches WHERE lease_until IS NOT NULL`)
	doomed.kill()
	died := time.Now()
	w.worker(4)
	w.until(patience, "the jobs running elsewhere", `SELECT count(*) = $1 FROM outbox.jobs WHERE status = 'running' AND lost_count = 1`, len(running))
	t.Logf("run again %s after their worker's death; its lease was %s", time.Since(died).Round(time.Millisecond), w.lease)
	open()
	w.until(patience, "completed", `SELECT count(*) = $1 FROM outbox.jobs WHERE status = 'completed' AND failure_count = 0`, len(running))
	if err := w.redis.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	f := w.rest(patience)
	problems, _ := check(f, allowance{reruns: len(running), excused: map[int]bool{doomed.pid(): true}})
	for _, p := range problems {
		t.Error(p)
	}
}
