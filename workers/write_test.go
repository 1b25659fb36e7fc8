package workers

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penguinmails/rookery/job"
)

// PROTOCOL.md hole 2: a job of 250 to 255 ms has its start and its complete waiting
// at the same time.
func TestReconcile_FinalReplacesWaitingStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.push("q", envelopes("k", 1, 1)...)
		r := start(t, m, func(context.Context, *Job) error { time.Sleep(251 * time.Millisecond); return nil })
		r.sleep(time.Second)
		r.wantOutcome(1, job.Succeeded)
		if len(m.batches) != 1 || len(m.batches[0]) != 1 || m.batches[0][0].Kind != job.Succeeded {
			t.Errorf("batches = %v, want one with the final outcome alone", m.batches)
		}
		r.end()
	})
}

func TestReconcile_MarksLongAttemptsRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.push("q", envelopes("k", 1, 1)...)
		r := start(t, m, func(context.Context, *Job) error { time.Sleep(time.Second); return nil })
		r.sleep(500 * time.Millisecond)
		if !m.started[job.Ref{ID: 1, DispatchID: 1001}] {
			t.Error("after 500 ms the attempt is not marked as running")
		}
		r.wantLeases(1)
		r.sleep(time.Second)
		r.wantOutcome(1, job.Succeeded)
		r.wantLeases(0)
		r.end()
	})
}

func TestReconcile_DataErrorIsIsolated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.refuse = func(o job.Outcome) error {
			switch {
			case o.Ref.ID == 77 && o.Kind == job.Succeeded:
				return &job.DataError{SQLState: "22008", Message: "out of range"}
			case o.Ref.ID == 300:
				return &job.DataError{SQLState: "22021", Message: "invalid byte"}
			}
			return nil
		}
		r := start(t, m, ok, func(o *Options, _ *Registry) { o.Concurrency = 500 })
		m.push("q", envelopes("k", 1, 500)...)
		r.sleep(time.Second)
		for id := int64(1); id <= 500; id++ {
			switch id {
			case 77:
				if o := r.wantOutcome(id, job.Failed); !strings.Contains(o.Error, "22008") {
					t.Errorf("error = %q, want the SQLSTATE", o.Error)
				}
			case 300:
				r.wantOutcome(id, "")
			default:
				r.wantOutcome(id, job.Succeeded)
			}
		}
		r.wantLeases(1) // that of 300 is left to end
		if s := r.w.Status(); s.Held != 0 || s.Outcomes != 0 {
			t.Errorf("Status() = %+v, want nothing held", s)
		}
		if n := len(m.batches); n > 60 {
			t.Errorf("isolating two of 500 took %d statements, want at most 60", n)
		}
		r.end()
	})
}

func TestReconcile_LostAnswerIsSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		var lose atomic.Int32
		lose.Store(3)
		m.after = func(call string) error {
			if call == "reconcile" && lose.Add(-1) >= 0 {
				return job.ErrUnavailable
			}
			return nil
		}
		m.push("q", envelopes("k", 1, 10)...)
		r := start(t, m, ok)
		r.sleep(time.Second)
		for id := int64(1); id <= 10; id++ {
			r.wantOutcome(id, job.Succeeded)
		}
		r.wantLeases(0)
		r.end()
	})
}

func TestReconcile_PostgresAwayKeepsOutcomesAndLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		var away atomic.Bool
		m.before = func(call string) error {
			if away.Load() && (call == "reconcile" || call == "process" || call == "verify") {
				return job.ErrUnavailable
			}
			return nil
		}
		r := start(t, m, ok, func(o *Options, _ *Registry) { o.Concurrency, o.Buffer = 10, 30 })
		r.sleep(time.Second)
		away.Store(true)
		m.push("q", envelopes("k", 1, 1000)...)
		r.sleep(5 * time.Minute)
		s := r.w.Status()
		if s.Outcomes < 30 || s.Outcomes >= 30+10 {
			t.Errorf("outcomes kept = %d, want taking to stop at 30", s.Outcomes)
		}
		m.mu.Lock()
		for ref, end := range m.leases {
			if time.Until(end) < 9*time.Second {
				t.Errorf("lease of %s ends in %s, want it alive", ref, time.Until(end))
			}
		}
		m.mu.Unlock()
		away.Store(false)
		r.sleep(time.Minute)
		for id := int64(1); id <= 1000; id++ {
			r.wantOutcome(id, job.Succeeded)
		}
		r.wantLeases(0)
		r.end()
	})
}

func TestReconcile_RefusedIsOverAndAcked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.push("q", envelopes("k", 1, 2)...)
		delete(m.rows, job.Ref{ID: 1, DispatchID: 1001}) // taken back before
		r := start(t, m, ok)
		r.sleep(time.Second)
		r.wantOutcome(1, "")
		r.wantOutcome(2, job.Succeeded)
		r.wantLeases(0)
		r.end()
	})
}

func TestAck_RetriedThenLeftToTheLease(t *testing.T) {
	for name, row := range map[string]struct{ failures, left int }{"two failures": {2, 0}, "three failures": {3, 1}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory()
				n := atomic.Int32{}
				n.Store(int32(row.failures))
				m.before = func(call string) error {
					if call == "ack" && n.Add(-1) >= 0 {
						return errors.New("connection reset")
					}
					return nil
				}
				m.push("q", envelopes("k", 1, 1)...)
				r := start(t, m, ok)
				r.sleep(4 * time.Second)
				r.wantLeases(row.left)
				r.wantOutcome(1, job.Succeeded)
				r.end()
			})
		})
	}
}
