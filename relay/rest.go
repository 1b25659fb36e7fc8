package relay

import "time"

// rest keeps a queue whose Redis refuses, or whose claims fail, from being tried at every
// look, and from holding up the others.
type rest struct {
	until  time.Time // no claims before
	last   time.Duration
	fullAt time.Time // since when Redis has been refusing pushes for lack of memory
}

const (
	restFirst = 100 * time.Millisecond
	restMost  = time.Second
	fullMost  = 20 * time.Second // then a new epoch empties the window
)

func (r *rest) on(now time.Time) bool { return now.Before(r.until) }

// begin rests for twice as long as the last time.
func (r *rest) begin(now time.Time) {
	r.last = min(max(2*r.last, restFirst), restMost)
	r.until = now.Add(r.last)
}

// full notes a push that was refused for lack of memory, and reports whether that has
// been so for too long.
func (r *rest) full(now time.Time) (tooLong bool) {
	if r.fullAt.IsZero() {
		r.fullAt = now
	}
	return now.Sub(r.fullAt) > fullMost
}

// interrupt has the queue tried at once, because another epoch has begun.
func (r *rest) interrupt() { r.until, r.fullAt = time.Time{}, time.Time{} }
