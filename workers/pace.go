package workers

import (
	"context"
	"math/rand/v2"
	"time"
)

// retry counts failures in a row and says how long to wait after them: from
// first, doubling to most, of which a random half to the whole is used.
type retry struct {
	first, most time.Duration
	failures    int
}

func (r *retry) next() time.Duration {
	d := r.most
	if r.failures < 16 {
		d = min(r.first<<r.failures, r.most)
	}
	r.failures++
	return d/2 + rand.N(d/2+1)
}

func (r *retry) reset() { r.failures = 0 }

// pause waits for d, or less when ctx ends; it reports whether ctx goes on.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// signal leaves a note in c, a channel of capacity 1, unless one lies there.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
