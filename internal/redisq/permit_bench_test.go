package redisq

import (
	"strconv"
	"testing"
	"time"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
)

// BenchmarkPermit is what counting over all push workers costs a request: a permit, and
// giving it back.
func BenchmarkPermit(b *testing.B) {
	f := newFixture(b, devtest.Redis(b))
	l := job.PushLimits{MaxInFlight: 1000, RatePerSecond: 0, Lease: time.Minute}
	for i := 0; b.Loop(); i++ {
		id := strconv.Itoa(i)
		if ok, _, err := f.Permit(b.Context(), f.queue, id, l); err != nil || !ok {
			b.Fatal(ok, err)
		}
		if err := f.GiveBack(b.Context(), f.queue, id); err != nil {
			b.Fatal(err)
		}
	}
}
