package e2e

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
)

const (
	kill = syscall.SIGKILL
	stop = syscall.SIGSTOP
	cont = syscall.SIGCONT
)

// A worker is killed while handlers run: those jobs, and no others, run again
// elsewhere, and it costs them no retry (G5).
func TestWorker_KilledInHandlers(t *testing.T) {
	slow(t)
	t.Parallel()
	const slots = 20
	w := newWorld(t, worldOptions{})
	w.relay()
	doomed := w.worker(slots)
	file, open := w.step()
	caught := w.insert(slots, waiting(file))
	w.untilStarted(patience, slots)
	doomed.kill()
	open()
	others := w.insert(300, `{}`)
	w.worker(slots)
	f := w.rest(patience)
	problems, reruns := check(f, allowance{reruns: slots})
	for _, p := range problems {
		t.Error(p)
	}
	if reruns != slots {
		t.Errorf("%d runs beyond the first, want %d", reruns, slots)
	}
	for _, id := range caught {
		if j := f.jobs[id]; j.Losses != 1 || j.Failures != 0 || j.Attempts != 2 {
			t.Errorf("job %d has lost_count %d, failure_count %d, attempt_count %d, want 1, 0, 2", id, j.Losses, j.Failures, j.Attempts)
		}
	}
	for _, id := range others {
		if j := f.jobs[id]; j.Losses != 0 {
			t.Errorf("job %d was not running and has lost_count %d", id, j.Losses)
		}
	}
}

// Wherever a worker is killed: exactly those jobs run again that had begun and that
// Postgres did not know to be completed. Killed before Postgres knows, a finished
// job runs again; killed before Redis does, it does not.
func TestWorker_KilledAtAFailpoint(t *testing.T) {
	slow(t)
	for _, c := range []struct {
		point, nth string
		again      bool // some that had ended well run again
		known      bool // some were completed before the kill
	}{
		{"worker.after_take", "20", false, false},
		{"worker.in_handler", "40", false, false},
		{"worker.before_reconcile", "2", true, true},
		{"worker.before_ack", "2", false, true},
	} {
		t.Run(c.point, func(t *testing.T) {
			t.Parallel()
			const slots = 10
			w := newWorld(t, worldOptions{})
			w.relay()
			w.insert(200, `{"do": "sleep", "ms": 3}`)
			doomed := w.worker(slots, "ROOKERY_FAILPOINT="+c.point+":"+c.nth)
			doomed.waitKilled(30 * time.Second)
			begun, err := readHistory(w.history)
			if err != nil {
				t.Fatal(err)
			}
			w.worker(slots)
			f := w.rest(patience)
			// Not read right after the kill: Postgres may still be carrying out what the
			// worker had sent.
			finished := w.ids(`SELECT id FROM outbox.jobs WHERE status = 'completed' AND worker_id LIKE $1`, fmt.Sprintf("%%-%d-%%", doomed.pid()))
			open := len(begun) - len(finished) // they ran, or their outcome waited
			problems, reruns := check(f, allowance{reruns: open})
			for _, p := range problems {
				t.Error(p)
			}
			if reruns != open {
				t.Errorf("%d jobs ran again, want the %d that had begun and that Postgres did not know to be completed", reruns, open)
			}
			if c.known && len(finished) == 0 {
				t.Error("nothing was completed before the kill: it proves nothing")
			}
			if runs := f.runsOf(finished); len(runs) != len(finished) {
				t.Errorf("%d jobs that Postgres knew to be completed ran %d times", len(finished), len(runs))
			}
			again := 0
			for _, r := range f.runs {
				j := f.jobs[r.id]
				if r.how == "ok" && r.dispatch != j.Dispatch {
					again++
				}
				if j.Failures != 0 || j.Losses > 1 {
					t.Errorf("job %d has failure_count %d and lost_count %d", r.id, j.Failures, j.Losses)
				}
			}
			if c.again && again == 0 {
				t.Error("no job that had ended well ran again, though its outcome was lost")
			}
			t.Logf("%d completed before the kill, %d ran again, %d of them had ended well", len(finished), reruns, again)
		})
	}
}

// A worker is frozen for longer than its lease: others run its jobs, and what it
// reports on waking is refused and counted (G3).
func TestWorker_FrozenPastItsLease(t *testing.T) {
	slow(t)
	t.Parallel()
	const slots = 10
	w := newWorld(t, worldOptions{lease: 2 * time.Second})
	w.relay()
	frozen := w.worker(slots)
	caught := w.insert(slots, `{"do": "deaf", "ms": 400}`)
	w.untilStarted(patience, slots)
	frozen.signal(stop)
	rows := w.count(`SELECT count(*) FROM outbox.jobs WHERE status IN ('dispatched', 'running')`)
	if rows != slots {
		t.Fatalf("%d jobs were under way when the worker was stopped, want %d: the machine is too slow for this test", rows, slots)
	}
	w.worker(slots)
	w.insert(100, `{}`)
	w.untilStatus(patience, "completed", caught)
	type verdict struct {
		worker string
		at     time.Time
	}
	read := func() map[int64]verdict {
		m := map[int64]verdict{}
		for _, id := range caught {
			var v verdict
			if err := w.pool.QueryRow(t.Context(), `SELECT worker_id, finished_at FROM outbox.jobs WHERE id = $1`, id).Scan(&v.worker, &v.at); err != nil {
				t.Fatal(err)
			}
			m[id] = v
		}
		return m
	}
	before := read()
	frozen.signal(cont)
	devtest.Until(t, patience, "the late outcomes to be counted as stale", func() (bool, error) {
		return frozen.metric("rookery_worker_attempts_total", `outcome="stale"`) == slots, nil
	})
	if n := frozen.metric("rookery_worker_attempts_total", `outcome="completed"`); n > 100 {
		t.Errorf("the frozen worker counts %v completed", n)
	}
	for id, v := range read() {
		if v != before[id] {
			t.Errorf("job %d was %+v and is %+v after the late outcome", id, before[id], v)
		}
	}
	f := w.rest(patience)
	problems, reruns := check(f, allowance{reruns: slots})
	for _, p := range problems {
		t.Error(p)
	}
	if reruns != slots {
		t.Errorf("%d ran again, want %d", reruns, slots)
	}
	for _, id := range caught {
		if j := f.jobs[id]; j.Losses != 1 || j.Failures != 0 {
			t.Errorf("job %d has lost_count %d and failure_count %d, want 1 and 0", id, j.Losses, j.Failures)
		}
		if r := f.runsOf([]int64{id}); len(r) != 2 || r[0].how != "ok" || r[1].how != "ok" || fmt.Sprint(r[0].pid) == fmt.Sprint(r[1].pid) {
			t.Errorf("job %d ran %+v, want twice, in two processes, both to the end", id, r)
		}
	}
}
