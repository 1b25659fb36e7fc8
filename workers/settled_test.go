package workers

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/penguinmails/rookery/job"
)

// What somebody else has told Postgres is not told again; its lease is given up at once,
// its slot is free, and it is counted as what it came to.
func TestSettled_WritesNothingAndAcks(t *testing.T) {
	for now, result := range map[job.Status]int{
		job.Completed: resultCompleted, job.Queued: resultFailed, job.Dead: resultDead, job.Cancelled: resultCancelled, "": resultStale,
	} {
		synctest.Test(t, func(t *testing.T) {
			m := newMemory()
			m.push("q", envelopes("k", 1, 1)...)
			var judged []job.Status
			r := start(t, m, func(context.Context, *Job) error {
				time.Sleep(2 * markAfter)
				return Settled(now)
			}, handing(nil, func(_ *Job, s job.Status) { judged = append(judged, s) }))
			r.sleep(3 * time.Second)
			r.wantLeases(0)
			if o := r.outcome(1); o.Kind != "" {
				t.Errorf("%q: outcome %q was recorded, want none", now, o.Kind)
			}
			if s := r.w.Status(); s.Running != 0 || s.Held != 0 {
				t.Errorf("%q: Status() = %+v, want nothing held", now, s)
			}
			if len(judged) != 1 || judged[0] != now {
				t.Errorf("judged %q, want %q", judged, now)
			}
			total, counters := 0.0, r.w.routes.find("q", "k").series.results
			for i := range counters {
				total += testutil.ToFloat64(counters[i])
			}
			if got := testutil.ToFloat64(counters[result]); got != 1 || total != 1 {
				t.Errorf("%q: counted %g times, %g in all, want once", now, got, total)
			}
			r.end()
		})
	}
}

// An attempt that is held in Postgres, because Redis is away, owes its row an outcome:
// the fence refuses it.
func TestSettled_HeldInPostgres(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.push("q", envelopes("k", 1, 1)...)
		var fence int64
		r := start(t, m, func(_ context.Context, j *Job) error {
			time.Sleep(20 * time.Second)
			fence = j.Fence()
			return Settled(job.Completed)
		})
		r.sleep(time.Second)
		r.set(func(m *memory) {
			m.before = func(call string) error {
				switch call {
				case "reconcile", "hold", "renew", "process", "verify", "retire":
					return nil
				}
				return job.ErrUnavailable
			}
		})
		r.sleep(30 * time.Second)
		if fence == 1001 {
			t.Error("Fence() is the fence from before Redis was away, want that of the row in Postgres")
		}
		r.memory.mu.Lock()
		n := len(r.memory.ended)
		r.memory.mu.Unlock()
		if n != 1 {
			t.Errorf("%d outcomes went to Postgres, want one for the row", n)
		}
		r.end()
	})
}
