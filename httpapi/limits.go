package httpapi

import (
	"math"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// How often clients may ask.
const (
	DefaultRate = 1_000 // requests a second of each key that people made; a second's worth may come at once

	callbackRate  = 5      // callbacks a second about one attempt, by whoever has its token
	callbackBurst = 20     // that may come at once
	strangerRate  = 1      // unknown keys a second from one address
	strangerBurst = 20     // that may come at once
	maxBuckets    = 10_000 // addresses or keys that have a bucket of their own
)

// limiter gives everybody a bucket of tokens of their own, by a name. It is per process:
// two servers let through twice as much.
type limiter struct {
	rate  rate.Limit
	burst int

	mu      sync.Mutex
	buckets map[string]*rate.Limiter
	swept   time.Time // when full buckets were thrown away last
}

func newLimiter(perSecond float64, burst int) *limiter {
	return &limiter{rate: rate.Limit(perSecond), burst: burst, buckets: map[string]*rate.Limiter{}}
}

// take takes a token, or returns how long it is until there is one. now is this process'
// clock: the monotonic one.
func (l *limiter) take(name string, now time.Time) (wait time.Duration) {
	return l.ask(name, now, true)
}

// peek is take that leaves the token there.
func (l *limiter) peek(name string, now time.Time) (wait time.Duration) {
	return l.ask(name, now, false)
}

func (l *limiter) ask(name string, now time.Time, take bool) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buckets[name]
	if b == nil {
		b = l.newcomerLocked(name, now)
	}
	r := b.ReserveN(now, 1)
	if wait = r.DelayFrom(now); wait > 0 || !take {
		r.CancelAt(now)
	}
	return wait
}

// newcomerLocked makes a bucket. When there are too many, those that are full again are
// thrown away, at most once a second, for it takes a look at each; while there is no room
// all newcomers share one.
func (l *limiter) newcomerLocked(name string, now time.Time) *rate.Limiter {
	const shared = "\x00"
	if len(l.buckets) >= maxBuckets && now.Sub(l.swept) >= time.Second {
		l.swept = now
		for n, b := range l.buckets {
			if b.TokensAt(now) >= float64(l.burst) {
				delete(l.buckets, n)
			}
		}
	}
	if len(l.buckets) >= maxBuckets {
		name = shared
	}
	b := l.buckets[name]
	if b == nil {
		b = rate.NewLimiter(l.rate, l.burst)
		l.buckets[name] = b
	}
	return b
}

// tooMany asks a client to come again later.
func tooMany(what string, wait time.Duration) *problem {
	p := newProblem(http.StatusTooManyRequests, codeRateLimited, what+"; slow down")
	p.retryAfter = max(1, int(math.Ceil(wait.Seconds())))
	return p
}
