package workers

import (
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
