package push

import (
	"context"
	"errors"
	"sync"
	"time"
)

// gate lets the requests of one endpoint through: so many at once, so many a second,
// and fewer at once when the receiver is busy. The number at once follows TCP's rule,
// additive increase and multiplicative decrease (RFC 5681): it is halved by an answer
// that says so, at most once for the requests that were under way together, and grows
// by one for each round of requests that were answered with 2xx, up to most.
type gate struct {
	mu       sync.Mutex // guards what follows
	most     int        // at once, as the endpoint has it
	rate     float64    // a second; 0: no limit
	limit    float64    // at once, at present
	inFlight int
	next     time.Time     // when the next may leave, by the rate
	shut     time.Time     // until then none may leave
	cut      time.Time     // when limit was halved last
	closed   bool          // none leaves any more
	news     chan struct{} // closed, and made anew, when one that waits may look again
}

// errClosed: the endpoint has been disabled, deleted, or this process is stopping.
var errClosed = errors.New("the gate is closed")

func newGate(most int, rate float64) *gate {
	return &gate{most: most, rate: rate, limit: float64(most), news: make(chan struct{})}
}

// enter waits until a request may leave. Whoever enters leaves. The error is errClosed,
// or the cause of ctx's end.
func (g *gate) enter(ctx context.Context) error {
	for {
		g.mu.Lock()
		wait, ok := g.tryLocked(time.Now())
		news, closed := g.news, g.closed
		g.mu.Unlock()
		switch {
		case closed:
			return errClosed
		case ok:
			return nil
		}
		if err := await(ctx, news, wait); err != nil {
			return err
		}
	}
}

// await waits for news, for at most d unless that is 0, or returns the cause of ctx's
// end.
func await(ctx context.Context, news <-chan struct{}, d time.Duration) error {
	var due <-chan time.Time // nil: only news can help
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		due = t.C
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-news:
	case <-due:
	}
	return nil
}

// tryLocked takes a place, or says how long none will be free; 0: until there is news.
func (g *gate) tryLocked(now time.Time) (wait time.Duration, ok bool) {
	switch {
	case g.closed:
		return 0, false
	case g.shut.After(now):
		return g.shut.Sub(now), false
	case g.inFlight >= int(g.limit):
		return 0, false
	case g.rate > 0 && g.next.After(now):
		return g.next.Sub(now), false
	}
	g.inFlight++
	if g.rate > 0 {
		g.next = now.Add(time.Duration(float64(time.Second) / g.rate))
	}
	return 0, true
}

// open reports whether requests may leave at all.
func (g *gate) open() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.closed
}

// resting reports whether the receiver wants nothing at this moment.
func (g *gate) resting(now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.shut.After(now)
}

// mood is what an answer says of how many requests the receiver wants at once.
type mood int

const (
	unsure mood = iota // it failed, or did not come: nothing
	calm               // as many, or more
	busy               // fewer
)

// leave gives back a place that was taken at began; for after, unless that is 0, none
// may leave.
func (g *gate) leave(began, now time.Time, m mood, after time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inFlight--
	if until := now.Add(after); after > 0 && until.After(g.shut) {
		g.shut = until
	}
	switch m {
	case unsure:
	case calm:
		g.limit = min(g.limit+1/g.limit, float64(g.most))
	case busy:
		if !began.Before(g.cut) { // else it was under way when the limit was halved, and says nothing new
			g.limit, g.cut = max(g.limit/2, 1), now
		}
	}
	g.wakeLocked()
}

// set changes what the endpoint has. A limit that was halved stays so.
func (g *gate) set(most int, rate float64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.limit == float64(g.most) || g.limit > float64(most) {
		g.limit = float64(most)
	}
	g.most, g.rate = most, rate
	g.wakeLocked()
}

// reset forgets what answers have said: whoever sets an endpoint again has a reason.
func (g *gate) reset() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.limit, g.shut = float64(g.most), time.Time{}
	g.wakeLocked()
}

// close has all that wait, and all that come, go back.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	g.wakeLocked()
}

func (g *gate) wakeLocked() {
	close(g.news)
	g.news = make(chan struct{})
}

// present returns how many requests may be under way at once.
func (g *gate) present() float64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return float64(int(g.limit))
}
