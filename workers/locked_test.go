package workers

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penguinmails/rookery/job"
)

// A job whose row somebody has locked waits; the others of its batch do not.
func TestReconcile_LockedJobIsLeftForLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		unlocked := time.Now().Add(time.Minute)
		m.refuse = func(o job.Outcome) error {
			if o.Ref.ID != 77 || !time.Now().Before(unlocked) {
				return nil
			}
			return &job.BusyError{IDs: []int64{77}}
		}
		r := start(t, m, ok, func(o *Options, _ *Registry) { o.Concurrency = 500 })
		m.push("q", envelopes("k", 1, 500)...)
		r.sleep(5 * time.Second)
		for id := int64(1); id <= 500; id++ {
			want := job.Succeeded
			if id == 77 {
				want = ""
			}
			r.wantOutcome(id, want)
		}
		r.wantLeases(1)
		r.sleep(time.Minute)
		r.wantOutcome(77, job.Succeeded)
		r.wantLeases(0)
		r.end()
	})
}

// One that cannot be held for now costs no other its lease; it is held when its row is
// free in time.
func TestHold_LockedJobKeepsNoOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o outage
		m := newMemory()
		m.before = o.before
		m.locked = map[int64]bool{7: true}
		var lost atomic.Int64
		work := func(ctx context.Context, _ *Job) error {
			select {
			case <-ctx.Done():
				lost.Add(1)
				return ctx.Err()
			case <-time.After(30 * time.Second):
				return nil
			}
		}
		r := start(t, m, work, func(o *Options, _ *Registry) { o.Concurrency = 20 })
		m.push("q", envelopes("k", 1, 20)...)
		r.sleep(100 * time.Millisecond)
		o.redis.Store(true)
		r.sleep(10 * time.Second)
		m.mu.Lock()
		held := 0
		for _, h := range m.holdings {
			held += len(h.ids)
		}
		delete(m.locked, 7)
		m.mu.Unlock()
		if held != 19 {
			t.Errorf("%d attempts held after 10 s, want the 19 whose rows are free", held)
		}
		r.sleep(time.Minute)
		if n := lost.Load(); n != 0 {
			t.Errorf("%d attempts were ended, want none", n)
		}
		r.wantRecorded(7, job.Succeeded)
		r.wantRecorded(8, job.Succeeded)
		o.redis.Store(false)
		r.end()
	})
}
