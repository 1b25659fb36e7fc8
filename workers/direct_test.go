package workers

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penguinmails/rookery/job"
)

func TestDirect_TakesFromPostgresAndBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o outage
		m := newMemory()
		m.before = o.before
		var runs atomic.Int64
		r := start(t, m, func(context.Context, *Job) error { runs.Add(1); return nil })
		r.sleep(time.Second)
		o.redis.Store(true)
		m.insert("q", envelopes("k", 1, 300)...)
		r.sleep(4 * time.Second)
		if n := runs.Load(); n != 0 {
			t.Errorf("runs after 4 s = %d, want 0: redis may come back", n)
		}
		r.sleep(3 * time.Second)
		if n := runs.Load(); n != 300 {
			t.Errorf("runs in direct mode = %d, want 300", n)
		}
		o.redis.Store(false)
		r.sleep(2 * time.Second)
		m.push("q", envelopes("k", 1001, 5)...)
		r.sleep(2 * time.Second)
		if n := runs.Load(); n != 305 {
			t.Errorf("runs after redis came back = %d, want 305", n)
		}
		if st := r.w.Status(); st.Queues[0].Direct || st.Held != 0 {
			t.Errorf("Status() = %+v, want not direct, nothing held", st)
		}
		for id := int64(1); id <= 300; id++ {
			r.wantRecorded(id, job.Succeeded)
		}
		r.end()
	})
}

// The answer to a claim is lost: the same claim is asked again, and its jobs run once.
func TestDirect_LostAnswerToAClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o outage
		m := newMemory()
		m.before = o.before
		lost := 0
		m.after = func(call string) error {
			if call == "claim" && lost < 2 {
				lost++
				return errAway
			}
			return nil
		}
		var runs atomic.Int64
		o.redis.Store(true)
		m.insert("q", envelopes("k", 1, 50)...)
		r := start(t, m, func(context.Context, *Job) error { runs.Add(1); return nil })
		r.sleep(15 * time.Second)
		if n := runs.Load(); n != 50 {
			t.Errorf("runs = %d, want 50", n)
		}
		if back := m.takeBackHeld(); len(back) != 0 {
			t.Errorf("taken back = %v, want nothing", back)
		}
		r.end()
	})
}

// A paused queue hands out nothing in direct mode either.
func TestDirect_Paused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o outage
		m := newMemory()
		m.before = o.before
		m.paused["q"] = true
		o.redis.Store(true)
		m.insert("q", envelopes("k", 1, 5)...)
		var runs atomic.Int64
		r := start(t, m, func(context.Context, *Job) error { runs.Add(1); return nil })
		r.sleep(20 * time.Second)
		if n := runs.Load(); n != 0 {
			t.Errorf("runs = %d, want 0", n)
		}
		r.set(func(m *memory) { m.paused["q"] = false })
		r.sleep(time.Second)
		if n := runs.Load(); n != 5 {
			t.Errorf("runs = %d, want 5", n)
		}
		r.end()
	})
}

// A worker that stops gives back what it claimed and did not begin, through Postgres.
func TestDirect_StopGivesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o outage
		m := newMemory()
		m.before = o.before
		jobs := envelopes("k", 1, 2)
		jobs[1].Alone = true // it waits for the first
		o.redis.Store(true)
		m.insert("q", jobs...)
		s := slow{d: 20 * time.Second}
		r := start(t, m, s.work)
		r.sleep(10 * time.Second)
		r.end()
		r.wantRecorded(1, job.Succeeded)
		r.wantRecorded(2, job.Snoozed)
	})
}

// A Redis that hangs answers nothing, and a Wait for its bells ends as one does for
// which no bell rang: neither must pass for an answer.
func TestDirect_WaitIsNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o outage
		m := newMemory()
		m.before = func(call string) error {
			if call == "wait" {
				return nil
			}
			return o.before(call)
		}
		var runs atomic.Int64
		r := start(t, m, func(context.Context, *Job) error { runs.Add(1); return nil })
		r.sleep(time.Second)
		o.redis.Store(true)
		m.insert("q", envelopes("k", 1, 1)...)
		r.sleep(20 * time.Second)
		takes := len(r.calls("take"))
		r.sleep(20 * time.Second)
		if n := len(r.calls("take")) - takes; n != 0 {
			t.Errorf("takes in 20 s of direct mode = %d, want none", n)
		}
		if n := runs.Load(); n != 1 {
			t.Errorf("runs in direct mode = %d, want 1", n)
		}
		if r.w.redisOK.Load() {
			t.Error("redisOK = true, want false: nobody has reached redis")
		}
		o.redis.Store(false)
		r.sleep(2 * time.Second)
		m.push("q", envelopes("k", 1001, 5)...)
		r.sleep(2 * time.Second)
		if n := runs.Load(); n != 6 {
			t.Errorf("runs after redis came back = %d, want 6", n)
		}
		r.end()
	})
}

// Jobs that somebody has locked keep no others of their queue.
func TestDirect_LockedJobsAreLeftAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o outage
		m := newMemory()
		m.before = o.before
		m.locked = map[int64]bool{1: true, 3: true}
		o.redis.Store(true)
		m.insert("q", envelopes("k", 1, 10)...)
		r := start(t, m, ok)
		r.sleep(10 * time.Second)
		for id := int64(1); id <= 10; id++ {
			if !m.locked[id] {
				r.wantRecorded(id, job.Succeeded)
			}
		}
		r.set(func(m *memory) { m.locked = nil })
		r.sleep(time.Second)
		r.wantRecorded(1, job.Succeeded)
		r.wantRecorded(3, job.Succeeded)
		r.end()
	})
}
