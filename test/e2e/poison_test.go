package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
)

// A job kills every worker that runs it. From the second loss on it comes back
// apart from its neighbours, after the third it runs alone, and the fourth buries
// it: no innocent dies with it.
func TestPoison_IsIsolatedAndBuried(t *testing.T) {
	slow(t)
	t.Parallel()
	const slots = 8
	w := newWorld(t, worldOptions{lease: 2 * time.Second})
	w.relay()
	poison := w.insert(1, `{"do": "die"}`)[0]
	w.insert(200, `{"do": "sleep", "ms": 20}`)
	worker := w.worker(slots)
	killed := map[int]bool{} // pids
	devtest.Until(t, patience, "the poison pill to be dead", func() (bool, error) {
		if worker.ended() {
			killed[worker.pid()] = true
			worker = w.worker(slots)
		}
		// A test cannot wait for 30 s: what comes back later comes sooner, and still
		// at a moment of its own.
		w.exec(`WITH late AS (
				SELECT job_id, run_at FROM outbox.scheduled WHERE run_at > now() + interval '3 seconds' FOR UPDATE
			), sooner AS (
				UPDATE outbox.scheduled AS s SET run_at = now() + (s.run_at - now()) / 10 FROM late WHERE s.job_id = late.job_id RETURNING s.job_id, s.run_at
			)
			UPDATE outbox.jobs AS j SET run_at = sooner.run_at FROM sooner WHERE j.id = sooner.job_id`)
		w.insert(2, `{"do": "sleep", "ms": 20}`) // there is always company to be had
		return w.count(`SELECT count(*) FROM outbox.jobs WHERE id = $1 AND status = 'dead'`, poison) == 1, nil
	})
	f := w.rest(2 * time.Minute)
	problems, reruns := check(f, allowance{status: map[int64]string{poison: "dead"}, reruns: 3 + 3*slots})
	for _, p := range problems {
		t.Error(p)
	}
	if j := f.jobs[poison]; j.Losses != 4 || j.Failures != 0 || !strings.Contains(j.Error, "poison pill") {
		t.Errorf("the poison pill is %+v, want 4 losses, no failure, and the reason", j)
	}
	if n := w.count(`SELECT count(*) FROM outbox.dead_letters WHERE job_id = $1 AND reason = 'poison'`, poison); n != 1 {
		t.Errorf("%d dead letters, want 1", n)
	}
	if n := w.count(`SELECT count(*) FROM outbox.jobs WHERE id = $1 AND run_at > created_at + interval '2 seconds'`, poison); n != 1 {
		t.Error("the poison pill was never put off, so it came back beside its neighbours")
	}
	runs := f.runsOf([]int64{poison})
	if len(runs) != 4 || len(killed) < 4 {
		t.Fatalf("the poison pill ran %d times and killed %d workers, want 4", len(runs), len(killed))
	}
	last := runs[3]
	for _, r := range f.runs {
		if r.pid == last.pid && r.id != poison && r.start <= last.start && (r.end == 0 || r.end > last.start) {
			t.Errorf("job %d ran beside the poison pill in its last attempt, which must be alone", r.id)
		}
	}
	worst := int16(0) // an innocent that meets the pill three times runs alone too, and ends well
	for id, j := range f.jobs {
		if id != poison {
			worst = max(worst, j.Losses)
		}
	}
	t.Logf("%d workers died, %d runs again, innocents lost at most %d workers", len(killed), reruns, worst)
}
