package workers

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penguinmails/rookery/job"
)

// handing is what a worker that hands its attempts on is started with.
func handing(d *Demand, judged func(*Job, job.Status)) func(*Options, *Registry) {
	return func(o *Options, _ *Registry) { o.Demand, o.Judged = d, judged }
}

func (r *rig) wantWindow(want int) {
	r.t.Helper()
	r.memory.mu.Lock()
	defer r.memory.mu.Unlock()
	if got := len(r.memory.window["q"]); got != want {
		r.t.Errorf("jobs in the window = %d, want %d", got, want)
	}
}

func (r *rig) wantBell(want int) {
	r.t.Helper()
	r.memory.mu.Lock()
	defer r.memory.mu.Unlock()
	if got := r.memory.bells["q"]; got != want {
		r.t.Errorf("tokens of the bell = %d, want %d", got, want)
	}
}

func TestDemand_TakesWhatIsWanted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, d := newMemory(), NewDemand()
		m.push("q", envelopes("k", 1, 10)...)
		r := start(t, m, ok, handing(d, nil))
		r.sleep(3 * time.Second)
		r.wantWindow(10)
		if n := len(r.calls("take")) + len(r.calls("wait")); n != 0 {
			t.Errorf("%d takes and waits while nobody wanted a job, want none", n)
		}
		for _, step := range []struct{ add, want int }{{3, 7}, {1, 6}, {-5, 6}, {5, 6}, {100, 0}} {
			d.Add(step.add)
			r.sleep(100 * time.Millisecond)
			r.wantWindow(step.want)
		}
		m.push("q", envelopes("k", 11, 1)...)
		r.sleep(100 * time.Millisecond)
		r.wantOutcome(11, job.Succeeded)
		r.wantLeases(0)
		r.end()
	})
}

// A bell that was heard for a client who has gone is heard by others.
func TestDemand_BellForNobodyIsRungAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, d := newMemory(), NewDemand()
		r := start(t, m, ok, handing(d, nil))
		d.Add(1)
		r.sleep(100 * time.Millisecond) // in its wait
		d.Add(-1)
		m.push("q", envelopes("k", 1, 1)...)
		r.sleep(100 * time.Millisecond)
		r.wantWindow(1)
		r.wantBell(1)
		r.wantLeases(0)
		r.end()
	})
}

// A take without an answer may have leased jobs: they do not wait for the next client.
func TestDemand_TakeWithoutAnswerIsSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, d := newMemory(), NewDemand()
		m.push("q", envelopes("k", 1, 1)...)
		lost := false
		m.after = func(call string) error {
			if call != "take" || lost {
				return nil
			}
			lost = true
			d.Add(-1)
			return errors.New("connection reset")
		}
		r := start(t, m, ok, handing(d, nil))
		d.Add(1)
		r.sleep(2 * time.Second)
		r.wantLeases(0)
		r.wantWindow(1)
		r.end()
	})
}

func TestUnseen_GoesBackAsIfNotTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, d := newMemory(), NewDemand()
		m.push("q", envelopes("k", 1, 2)...)
		r := start(t, m, func(context.Context, *Job) error { return ErrUnseen }, handing(d, nil))
		d.Add(2)
		r.sleep(100 * time.Millisecond)
		r.wantWindow(2)
		r.wantLeases(0)
		r.wantBell(1) // whoever takes one hears of the other
		if n := len(r.calls("reconcile")); n != 0 {
			t.Errorf("%d outcomes went to Postgres, want none", n)
		}
		if s := r.w.Status(); s.Running != 0 || s.Held != 0 {
			t.Errorf("Status() = %+v, want nothing held", s)
		}
		r.end()
	})
}

// Once an attempt is marked as running its job goes back through Postgres.
func TestUnseen_AfterItsMarkGoesThroughPostgres(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, d := newMemory(), NewDemand()
		m.push("q", envelopes("k", 1, 1)...)
		r := start(t, m, func(context.Context, *Job) error {
			time.Sleep(2 * markAfter)
			return ErrUnseen
		}, handing(d, nil))
		d.Add(1)
		r.sleep(time.Second)
		r.wantWindow(0)
		r.wantOutcome(1, job.Snoozed)
		r.wantLeases(0)
		r.end()
	})
}

func TestAbandoned_LeaseEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, d := newMemory(), NewDemand()
		m.push("q", envelopes("k", 1, 1)...)
		r := start(t, m, func(context.Context, *Job) error {
			time.Sleep(time.Minute)
			return ErrAbandoned
		}, handing(d, nil))
		d.Add(1)
		r.sleep(time.Minute + time.Second)
		if lost := r.reap(); len(lost) != 0 {
			t.Errorf("%v were lost at once, want the lease to end by itself", lost)
		}
		r.sleep(job.Lease)
		if lost := r.reap(); len(lost) != 1 {
			t.Errorf("%d leases ended, want 1", len(lost))
		}
		if o := r.outcome(1); o.Kind != "" {
			t.Errorf("outcome %q was recorded, want none", o.Kind)
		}
		if s := r.w.Status(); s.Running != 0 || s.Held != 0 {
			t.Errorf("Status() = %+v, want nothing held", s)
		}
		r.end()
	})
}

// A row in Postgres is renewed for all that it holds: its jobs need an outcome.
func TestAbandoned_HeldInPostgresGoesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, d := newMemory(), NewDemand()
		m.push("q", envelopes("k", 1, 1)...)
		r := start(t, m, func(context.Context, *Job) error {
			time.Sleep(20 * time.Second)
			return ErrAbandoned
		}, handing(d, nil))
		d.Add(1)
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
		r.memory.mu.Lock()
		var kinds []job.OutcomeKind
		for _, o := range r.memory.ended {
			kinds = append(kinds, o.Kind)
		}
		r.memory.mu.Unlock()
		if len(kinds) != 1 || kinds[0] != job.Snoozed {
			t.Errorf("outcomes = %v, want one snooze", kinds)
		}
		r.end()
	})
}

func TestJudged_HearsWhatPostgresSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.push("q", envelopes("k", 1, 3)...)
		heard := map[int64]job.Status{}
		r := start(t, m, func(_ context.Context, j *Job) error {
			switch j.ID {
			case 2:
				return job.Discard(errors.New("no"))
			case 3: // taken back meanwhile
				m.mu.Lock()
				delete(m.rows, j.Ref())
				m.mu.Unlock()
			}
			return nil
		}, handing(nil, func(j *Job, now job.Status) { heard[j.ID] = now }))
		r.sleep(time.Second)
		r.end()
		want := map[int64]job.Status{1: job.Completed, 2: job.Dead, 3: ""}
		for id, status := range want {
			if got, ok := heard[id]; !ok || got != status {
				t.Errorf("Judged(job %d) = %q, %v, want %q", id, got, ok, status)
			}
		}
	})
}

func TestRetryIn_ReplacesTheBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.push("q", envelopes("k", 1, 1)...)
		r := start(t, m, func(context.Context, *Job) error { return job.RetryIn(time.Hour, errors.New("busy")) })
		r.sleep(time.Second)
		if o := r.wantOutcome(1, job.Failed); o.Delay != time.Hour || o.Error != "busy" {
			t.Errorf("outcome = %s after %s, want busy after 1h", o.Error, o.Delay)
		}
		r.end()
	})
}

// What may kill whoever runs it does not stop the leases of others: it is not run here.
func TestDemand_RunsNothingAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, d := newMemory(), NewDemand()
		jobs := envelopes("k", 1, 2)
		jobs[0].Alone = true
		m.push("q", jobs[0])
		r := start(t, m, func(_ context.Context, j *Job) error {
			if j.ID == 1 {
				time.Sleep(10 * time.Second)
			}
			return nil
		}, handing(d, nil))
		d.Add(2)
		r.sleep(time.Second)
		m.push("q", jobs[1])
		r.sleep(time.Second)
		r.wantOutcome(2, job.Succeeded)
		r.sleep(10 * time.Second)
		r.wantOutcome(1, job.Succeeded)
		r.end()
	})
}
