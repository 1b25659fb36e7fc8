package e2e

import (
	"testing"
	"time"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
)

// Redis forgets everything while jobs wait, run and have just ended: all complete,
// what runs is announced and not run twice, and no worker is blamed.
func TestRedis_Flushed(t *testing.T) {
	slow(t)
	t.Parallel()
	w := newWorld(t, worldOptions{})
	w.relay()
	w.worker(8)
	file, open := w.step()
	running := w.insert(5, waiting(file))
	w.untilStarted(patience, len(running))
	w.untilStatus(patience, "completed", w.insert(60, `{}`)) // its acks may be on their way
	w.insert(600, `{"do": "sleep", "ms": 5}`)
	w.untilStarted(patience, 100)
	w.flush()
	w.insert(100, `{}`)
	w.until(patience, "all but the running jobs", `SELECT count(*) = $1 FROM outbox.jobs WHERE status <> 'completed'`, len(running))
	// Longer than a lease, so that it was renewed in the new epoch.
	w.until(patience, "a lease to pass", `SELECT max(finished_at) < now() - $1::bigint * interval '1 microsecond' FROM outbox.jobs`, (w.lease + time.Second).Microseconds())
	open()
	f := w.rest(patience)
	problems, _ := check(f, allowance{})
	for _, p := range problems {
		t.Error(p)
	}
	w.wantNoLosses(f)
}

func (w *world) flush() {
	w.t.Helper()
	if err := w.rdb.FlushAll(w.t.Context()).Err(); err != nil {
		w.t.Fatalf("FLUSHALL: %v", err)
	}
}

// wantNoLosses wants that no worker was blamed for a job that came back.
func (w *world) wantNoLosses(f facts) {
	w.t.Helper()
	for id, j := range f.jobs {
		if j.Losses != 0 || j.Failures != 0 {
			w.t.Errorf("job %d has lost_count %d and failure_count %d, want 0 and 0", id, j.Losses, j.Failures)
		}
	}
}

// Redis is killed, stays away for 5 s and comes back empty, or with what its AOF
// kept, while producers go on. With the lease of production nothing runs twice.
func TestRedis_KilledAndBack(t *testing.T) {
	slow(t)
	for _, c := range []struct {
		name string
		args []string
	}{{"empty", nil}, {"with_aof", []string{"--appendonly", "yes", "--appendfsync", "everysec"}}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, worldOptions{lease: 15 * time.Second, redisArgs: c.args})
			w.relay()
			w.relay()
			w.worker(10)
			w.worker(10)
			p := produce(t, w.inserts, 2, 10*time.Millisecond, `{"do": "sleep", "ms": 10}`)
			w.untilStarted(patience, 200)
			file, open := w.step()
			w.insert(3, waiting(file))
			if err := w.redis.Signal(kill); err != nil {
				t.Fatal(err)
			}
			killed := time.Now()
			had := p.count()
			devtest.Until(t, patience, "5 s without Redis", func() (bool, error) { return time.Since(killed) > 5*time.Second, nil })
			if n := p.count() - had; n == 0 {
				t.Error("producers stood still while Redis was away")
			}
			if err := w.redis.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			w.until(patience, "a job inserted after the restart",
				`SELECT EXISTS (SELECT FROM outbox.jobs WHERE status = 'completed' AND dispatched_at > $1)`, began)
			t.Logf("jobs complete again %s after the restart", time.Since(began).Round(time.Millisecond))
			open()
			p.stop(w)
			f := w.rest(90 * time.Second)
			problems, reruns := check(f, allowance{})
			for _, p := range problems {
				t.Error(p)
			}
			w.wantNoLosses(f)
			t.Logf("%d jobs, %d runs, %d again", len(f.jobs), len(f.runs), reruns)
		})
	}
}
