package workers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penguinmails/rookery/job"
)

// outage makes calls fail while it lasts. redis, postgres: which of the two.
type outage struct{ redis, postgres atomic.Bool }

var errAway = fmt.Errorf("dial: %w", job.ErrUnavailable)

func (o *outage) before(call string) error {
	switch call {
	case "reconcile", "verify", "process", "retire", "hold", "renew", "claim":
		if o.postgres.Load() {
			return errAway
		}
	default:
		if o.redis.Load() {
			return errAway
		}
	}
	return nil
}

// ended returns what was recorded of a job, under whatever fence.
func (r *rig) recorded(id int64) (list []job.Outcome) {
	r.memory.mu.Lock()
	defer r.memory.mu.Unlock()
	for ref, o := range r.memory.ended {
		if ref.ID == id {
			list = append(list, o)
		}
	}
	return list
}

func (r *rig) wantRecorded(id int64, want job.OutcomeKind) {
	r.t.Helper()
	if got := r.recorded(id); len(got) != 1 || got[0].Kind != want {
		r.t.Errorf("recorded of job %d = %v, want one %s", id, got, want)
	}
}

// slow is a handler that runs for d unless its context ends, and keeps the cause.
type slow struct {
	d     time.Duration
	cause atomic.Value
	runs  atomic.Int64
}

func (s *slow) work(ctx context.Context, _ *Job) error {
	s.runs.Add(1)
	select {
	case <-time.After(s.d):
		return nil
	case <-ctx.Done():
		s.cause.Store(context.Cause(ctx))
		return ctx.Err()
	}
}

// A minute without Redis costs no attempt: it is held in Postgres until its end.
func TestHold_RedisAwayForAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o outage
		s := slow{d: time.Minute}
		m := newMemory()
		m.before = o.before
		m.push("q", envelopes("k", 1, 3)...)
		r := start(t, m, s.work)
		r.sleep(time.Second)
		o.redis.Store(true)
		r.sleep(20 * time.Second)
		if st := r.w.Status(); st.Holding != 3 || !st.Queues[0].Direct {
			t.Errorf("Status() after 20 s without redis = %+v, want 3 held in postgres, direct", st)
		}
		if back := m.takeBackHeld(); len(back) != 0 {
			t.Errorf("taken back = %v, want nothing: the leases are renewed", back)
		}
		o.redis.Store(false)
		r.sleep(50 * time.Second)
		for id := int64(1); id <= 3; id++ {
			r.wantRecorded(id, job.Succeeded)
		}
		if s.runs.Load() != 3 {
			t.Errorf("runs = %d, want 3", s.runs.Load())
		}
		if st := r.w.Status(); st.Held != 0 || st.Queues[0].Direct {
			t.Errorf("Status() at the end = %+v, want nothing held, not direct", st)
		}
		r.end()
	})
}

// Postgres stands still for a beat just when attempts are to be held: the question is
// asked again before their leases are over.
func TestHold_PostgresStandsStillMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o outage
		var asked atomic.Bool
		s := slow{d: 30 * time.Second}
		m := newMemory()
		m.before = func(call string) error {
			if call == "hold" && !asked.Swap(true) {
				time.Sleep(job.Beat)
				return errAway
			}
			return o.before(call)
		}
		m.push("q", envelopes("k", 1, 3)...)
		r := start(t, m, s.work)
		r.sleep(time.Second)
		o.redis.Store(true)
		r.sleep(40 * time.Second)
		for id := int64(1); id <= 3; id++ {
			r.wantRecorded(id, job.Succeeded)
		}
		if cause := s.cause.Load(); cause != nil || s.runs.Load() != 3 {
			t.Errorf("handlers ended with %v in %d runs, want 3 runs to their end", cause, s.runs.Load())
		}
		r.end()
	})
}

// A short silence of Redis moves nothing.
func TestHold_NotForAShortSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o outage
		s := slow{d: 30 * time.Second}
		m := newMemory()
		m.before = o.before
		m.push("q", envelopes("k", 1, 1)...)
		r := start(t, m, s.work)
		r.sleep(4 * time.Second)
		o.redis.Store(true)
		r.sleep(1500 * time.Millisecond)
		o.redis.Store(false)
		r.sleep(30 * time.Second)
		if calls := r.calls("hold"); len(calls) != 0 {
			t.Errorf("hold was called %d times, want never", len(calls))
		}
		r.wantOutcome(1, job.Succeeded)
		r.end()
	})
}

// The answer to a hold is lost: until it comes, nobody knows the fence. The same
// question is asked again, and the outcome is written under the right fence.
func TestHold_LostAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o outage
		s := slow{d: 9 * time.Second}
		m := newMemory()
		m.before = o.before
		lose := true
		m.after = func(call string) error {
			if call == "hold" && lose {
				return errAway
			}
			return nil
		}
		m.push("q", envelopes("k", 1, 1)...)
		r := start(t, m, s.work)
		r.sleep(100 * time.Millisecond)
		o.redis.Store(true)
		r.sleep(11 * time.Second) // held at 7 s, without an answer; the handler has returned
		if got := r.recorded(1); len(got) != 0 {
			t.Errorf("recorded before the answer = %v, want nothing", got)
		}
		if st := r.w.Status(); st.Outcomes != 1 {
			t.Errorf("Status().Outcomes = %d, want 1: the outcome waits", st.Outcomes)
		}
		r.set(func(*memory) { lose = false })
		r.sleep(2 * time.Second)
		r.wantRecorded(1, job.Succeeded)
		r.end()
	})
}

// A hold that was certainly not carried out leaves the attempt to Redis: it comes back
// first, and renews.
func TestHold_UndoneLeavesTheLeaseInRedis(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o outage
		s := slow{d: 40 * time.Second}
		m := newMemory()
		m.before = func(call string) error {
			if err := o.before(call); err != nil {
				return fmt.Errorf("%w: %w", job.ErrUndone, err)
			}
			return nil
		}
		m.push("q", envelopes("k", 1, 1)...)
		r := start(t, m, s.work)
		r.sleep(100 * time.Millisecond)
		o.redis.Store(true)
		o.postgres.Store(true)
		r.sleep(9 * time.Second)
		o.redis.Store(false)
		r.sleep(20 * time.Second)
		o.postgres.Store(false)
		r.sleep(15 * time.Second)
		r.wantOutcome(1, job.Succeeded)
		if s.runs.Load() != 1 {
			t.Errorf("runs = %d, want 1", s.runs.Load())
		}
		r.end()
	})
}

// With both away for 13 s the attempt ends: nobody guarantees it any more.
func TestHold_BothAwayEndsTheAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o outage
		s := slow{d: time.Minute}
		m := newMemory()
		m.before = o.before
		m.push("q", envelopes("k", 1, 1)...)
		r := start(t, m, s.work)
		r.sleep(100 * time.Millisecond)
		o.redis.Store(true)
		o.postgres.Store(true)
		r.sleep(14 * time.Second)
		if cause, _ := s.cause.Load().(error); !errors.Is(cause, job.ErrLeaseLost) {
			t.Errorf("cause = %v, want %v", cause, job.ErrLeaseLost)
		}
		o.redis.Store(false)
		o.postgres.Store(false)
		r.sleep(10 * time.Second)
		r.wantRecorded(1, job.Snoozed) // it was still current: given back
		r.end()
	})
}

// What a relay took back before it was held is over, and its handler is told.
func TestHold_TakenBackIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o outage
		s := slow{d: time.Minute}
		m := newMemory()
		m.before = o.before
		m.push("q", envelopes("k", 1, 1)...)
		r := start(t, m, s.work)
		r.sleep(100 * time.Millisecond)
		o.redis.Store(true)
		r.sleep(6 * time.Second)
		r.set(func(m *memory) { clear(m.rows) })
		r.sleep(3 * time.Second)
		if cause, _ := s.cause.Load().(error); !errors.Is(cause, job.ErrLeaseLost) {
			t.Errorf("cause = %v, want %v", cause, job.ErrLeaseLost)
		}
		r.end()
	})
}

func TestRenew_TellsWhatIsOverOrCancelled(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(m *memory)
		want error
	}{
		{"the row is gone", func(m *memory) { clear(m.holdings); clear(m.rows) }, job.ErrLeaseLost},
		{"the job is over", func(m *memory) { clear(m.rows) }, job.ErrLeaseLost},
		{"the job was cancelled", func(m *memory) {
			clear(m.rows)
			row := m.jobs[1]
			row.Status = job.Cancelled
			m.jobs[1] = row
		}, job.ErrCancelled},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var o outage
				s := slow{d: time.Minute}
				m := newMemory()
				m.before = o.before
				m.push("q", envelopes("k", 1, 1)...)
				r := start(t, m, s.work)
				r.sleep(100 * time.Millisecond)
				o.redis.Store(true)
				r.sleep(9 * time.Second)
				if st := r.w.Status(); st.Holding != 1 {
					t.Fatalf("Status().Holding = %d, want 1", st.Holding)
				}
				r.set(c.set)
				r.sleep(6 * time.Second)
				if cause, _ := s.cause.Load().(error); !errors.Is(cause, c.want) {
					t.Errorf("cause = %v, want %v", cause, c.want)
				}
				r.end()
			})
		})
	}
}

// Redis comes back while the worker holds in Postgres, and says that the old leases
// are gone: that says nothing of what is held.
func TestHold_GoneInRedisSaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o outage
		s := slow{d: 40 * time.Second}
		m := newMemory()
		m.before = o.before
		m.push("q", envelopes("k", 1, 2)...)
		r := start(t, m, s.work)
		r.sleep(100 * time.Millisecond)
		o.redis.Store(true)
		r.sleep(20 * time.Second)
		r.set(func(m *memory) { clear(m.leases); m.epoch["q"], m.truth["q"] = 2, 2 })
		o.redis.Store(false)
		r.sleep(30 * time.Second)
		r.wantRecorded(1, job.Succeeded)
		r.wantRecorded(2, job.Succeeded)
		r.end()
	})
}

// What was marked as running, or has failed, keeps its meaning under the new fence.
func TestHold_FailureIsRecordedUnderTheNewFence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o outage
		m := newMemory()
		m.before = o.before
		m.push("q", envelopes("k", 1, 1)...)
		r := start(t, m, func(context.Context, *Job) error { time.Sleep(12 * time.Second); return errors.New("no route") })
		r.sleep(100 * time.Millisecond)
		o.redis.Store(true)
		r.sleep(13 * time.Second)
		r.wantRecorded(1, job.Failed)
		if got := r.recorded(1); len(got) == 1 && !strings.Contains(got[0].Error, "no route") {
			t.Errorf("error = %q, want no route", got[0].Error)
		}
		r.end()
	})
}

// A worker that stood still for a lease finds attempts that were not renewed for as long.
// It may not move them to Postgres: Redis, and who has adopted them there, went on.
func TestStray_OnlyWhatIsTrusted(t *testing.T) {
	now := time.Now()
	for since, want := range map[time.Duration]int{6 * time.Second: 0, 7 * time.Second: 1, 12 * time.Second: 1, 13 * time.Second: 0, time.Minute: 0} {
		h := newHeld(1, 100, 13*time.Second)
		q := newQueue(QueueWeight{Name: "q"})
		e := envelopes("k", 1, 1)[0]
		h.add([]*attempt{newAttempt(&e, q, &route{}, nil)}, now.Add(-since))
		if got := len(h.stray(now, 7*time.Second, 3*time.Second)); got != want {
			t.Errorf("%s after a renewal %d attempts are to be held, want %d", since, got, want)
		}
	}
}
