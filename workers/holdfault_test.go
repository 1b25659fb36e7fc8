package workers

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penguinmails/rookery/job"
)

// Postgres has moved the attempt, its answer is lost, and it stays away; Redis comes
// back and renews the old lease. That is no right to the attempt any more: another
// worker may have it when the lease in Postgres has ended.
func TestHold_RedisDoesNotRenewWhatPostgresMayHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o outage
		s := slow{d: time.Minute}
		m := newMemory()
		m.before = o.before
		var answers atomic.Bool
		m.after = func(call string) error {
			if call == "hold" && !answers.Load() {
				o.postgres.Store(true)
				return errAway
			}
			return nil
		}
		m.push("q", envelopes("k", 1, 1)...)
		r := start(t, m, s.work)
		r.sleep(100 * time.Millisecond)
		o.redis.Store(true)
		r.sleep(8 * time.Second)
		o.redis.Store(false)
		r.sleep(6 * time.Second)
		if len(m.beats) == 0 {
			t.Error("the old lease was not renewed: nobody knows whether Postgres has moved the attempt")
		}
		if cause, _ := s.cause.Load().(error); !errors.Is(cause, job.ErrLeaseLost) {
			t.Errorf("cause 14 s after the last renewal that counts = %v, want %v", cause, job.ErrLeaseLost)
		}
		answers.Store(true)
		o.postgres.Store(false)
		r.sleep(5 * time.Second)
		r.end()
	})
}

// The same, but Postgres has not moved it: the lease in Redis must still be there.
func TestHold_UnansweredKeepsTheOldLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o outage
		s := slow{d: 25 * time.Second}
		m := newMemory()
		m.before = o.before
		m.push("q", envelopes("k", 1, 1)...)
		r := start(t, m, s.work)
		r.sleep(100 * time.Millisecond)
		o.redis.Store(true)
		o.postgres.Store(true)
		r.sleep(9 * time.Second)
		o.redis.Store(false)
		r.sleep(3 * time.Second)
		o.postgres.Store(false)
		r.sleep(4 * time.Second) // 16 s: the first lease would have ended
		if lost := m.reap(); len(lost) != 0 {
			t.Errorf("lost = %v, want nothing: it was renewed in Redis", lost)
		}
		r.sleep(12 * time.Second)
		r.wantRecorded(1, job.Succeeded)
		r.end()
	})
}

// A mark that the attempt runs is on its way to Postgres, and hangs, when the attempt
// should be held; its handler returns meanwhile. The mark must not take the place of
// the outcome.
func TestHold_NotWhileAnOutcomeIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o outage
		var hung atomic.Bool
		m := newMemory()
		m.before = func(call string) error {
			if call == "reconcile" && hung.CompareAndSwap(false, true) {
				time.Sleep(9 * time.Second)
				return errAway
			}
			return o.before(call)
		}
		from := time.Now()
		m.after = func(call string) error {
			if call == "hold" && time.Since(from) < 12*time.Second {
				return errAway
			}
			return nil
		}
		m.push("q", envelopes("k", 1, 1)...)
		r := start(t, m, (&slow{d: 8500 * time.Millisecond}).work)
		r.sleep(100 * time.Millisecond)
		o.redis.Store(true)
		r.sleep(20 * time.Second)
		r.wantRecorded(1, job.Succeeded)
		r.end()
	})
}

// The answer to a hold is a renewal: 13 s count from there.
func TestHold_CountsAsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o outage
		s := slow{d: 30 * time.Second}
		m := newMemory()
		m.before = o.before
		m.push("q", envelopes("k", 1, 1)...)
		r := start(t, m, s.work)
		r.sleep(100 * time.Millisecond)
		o.redis.Store(true)
		r.sleep(8 * time.Second)
		o.postgres.Store(true)
		r.sleep(9 * time.Second)
		if cause := s.cause.Load(); cause != nil {
			t.Errorf("cause 10 s after it was held = %v, want none", cause)
		}
		o.postgres.Store(false)
		r.sleep(20 * time.Second)
		r.wantRecorded(1, job.Succeeded)
		r.end()
	})
}

// Redis is told nothing of what Postgres holds: neither beats nor acks.
func TestHold_RedisHearsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o outage
		m := newMemory()
		m.before = o.before
		m.push("q", envelopes("k", 1, 2)...)
		r := start(t, m, (&slow{d: 40 * time.Second}).work)
		r.sleep(100 * time.Millisecond)
		o.redis.Store(true)
		r.sleep(20 * time.Second)
		r.set(func(m *memory) { clear(m.leases) })
		o.redis.Store(false)
		beats := len(m.beats)
		r.sleep(30 * time.Second)
		if n := len(m.beats) - beats; n != 0 {
			t.Errorf("%d beats for what is held in Postgres, want none", n)
		}
		if calls := r.calls("ack"); len(calls) != 0 {
			t.Errorf("acks = %v, want none", calls)
		}
		r.wantRecorded(1, job.Succeeded)
		r.end()
	})
}

// Ten thousand attempts are held in calls of 500.
func TestHold_TenThousandInCallsOf500(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o outage
		m := newMemory()
		m.before = o.before
		m.push("q", envelopes("k", 1, 10_000)...)
		r := start(t, m, func(ctx context.Context, _ *Job) error { <-ctx.Done(); return nil },
			func(o *Options, _ *Registry) { o.Concurrency = 10_000; o.DrainTime = -1 })
		r.sleep(time.Second)
		o.redis.Store(true)
		r.sleep(20 * time.Second)
		if n := len(r.calls("hold")); n != 20 {
			t.Errorf("holds = %d, want 20", n)
		}
		if st := r.w.Status(); st.Holding != 10_000 {
			t.Errorf("Status().Holding = %d, want 10000", st.Holding)
		}
		r.set(func(m *memory) {
			for d, h := range m.holdings {
				if len(h.ids) > job.MaxBatch {
					t.Error(fmt.Sprint("row ", d, " holds ", len(h.ids)))
				}
			}
		})
		r.end()
	})
}

// The worker is on a master that all others have left: it renews there, and Postgres
// tells of an epoch that this master does not open. What everybody else sees is a
// lease that is not renewed.
func TestHold_OnTheOldMaster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.push("q", envelopes("k", 1, 2)...)
		s := slow{d: 40 * time.Second}
		r := start(t, m, s.work)
		r.sleep(time.Second)
		r.set(func(m *memory) { m.truth["q"] = 2 })
		r.sleep(9 * time.Second)
		if st := r.w.Status(); st.Holding != 2 {
			t.Errorf("Status().Holding 9 s after the next epoch began elsewhere = %d, want 2", st.Holding)
		}
		r.sleep(40 * time.Second)
		r.wantRecorded(1, job.Succeeded)
		r.wantRecorded(2, job.Succeeded)
		r.end()
	})
}

// What the old master renews does not count, when Postgres cannot be asked to hold.
func TestHold_OnTheOldMasterWithoutPostgres(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o outage
		m := newMemory()
		m.before = func(call string) error {
			if err := o.before(call); err != nil {
				return fmt.Errorf("%w: %w", job.ErrUndone, err)
			}
			return nil
		}
		m.push("q", envelopes("k", 1, 1)...)
		s := slow{d: time.Minute}
		r := start(t, m, s.work)
		r.sleep(time.Second)
		r.set(func(m *memory) { m.truth["q"] = 2 })
		r.sleep(4200 * time.Millisecond) // it has heard of the epoch
		o.postgres.Store(true)
		r.sleep(15 * time.Second)
		if cause, _ := s.cause.Load().(error); !errors.Is(cause, job.ErrLeaseLost) {
			t.Errorf("cause = %v, want %v", cause, job.ErrLeaseLost)
		}
		o.postgres.Store(false)
		r.sleep(3 * time.Second)
		r.end()
	})
}

// The reply to a take was lost, and in the next epoch its token brings an attempt that
// is over: open keeps leases, whatever became of their attempts.
func TestTake_TokenOfAnEarlierEpochIsVerified(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.push("q", envelopes("k", 1, 2)...)
		var lost atomic.Bool
		m.after = func(call string) error {
			if call == "take" && lost.CompareAndSwap(false, true) {
				m.mu.Lock()
				defer m.mu.Unlock()
				delete(m.rows, job.Ref{ID: 1, DispatchID: 1001}) // taken back, and running elsewhere
				m.truth["q"], m.epoch["q"] = 2, 2
				return errAway
			}
			return nil
		}
		var ran sync.Map
		r := start(t, m, func(_ context.Context, j *Job) error { ran.Store(j.ID, true); return nil })
		r.sleep(20 * time.Second)
		if _, ok := ran.Load(int64(1)); ok {
			t.Error("job 1 ran, want not: its attempt is over")
		}
		if _, ok := ran.Load(int64(2)); !ok {
			t.Error("job 2 did not run, want it: its attempt is current")
		}
		r.wantLeases(0)
		r.end()
	})
}
