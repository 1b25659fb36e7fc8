package push

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penguinmails/rookery/job"
)

// ledger counts as Redis does, for as long as it is not away.
type ledger struct {
	mu        sync.Mutex
	away      bool
	held      map[string]bool
	place, of int
	calls     int
	meanwhile func() // called before Attend counts; nil: nothing
	late      func() // called once Permit has counted, whose answer does not come then; nil: it comes
}

func (l *ledger) Permit(_ context.Context, _, id string, limits job.PushLimits) (bool, time.Duration, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	switch {
	case l.away:
		return false, 0, job.ErrUnavailable
	case !l.held[id] && len(l.held) >= limits.MaxInFlight:
		return false, 0, nil
	}
	l.held[id] = true
	if l.late != nil {
		l.late()
		return false, 0, job.ErrUnavailable
	}
	return true, 0, nil
}

func (l *ledger) GiveBack(_ context.Context, _, id string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.away {
		return job.ErrUnavailable
	}
	delete(l.held, id)
	return nil
}

func (l *ledger) Attend(_ context.Context, _, _ string, _ time.Duration, ids []string) (int, int, error) {
	if l.meanwhile != nil {
		l.meanwhile()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.away {
		return 0, 0, job.ErrUnavailable
	}
	for _, id := range ids {
		l.held[id] = true
	}
	return l.place, l.of, nil
}

func (l *ledger) set(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
}

// crowd has n requests enter at p, and returns how many have by now.
func crowd(t *testing.T, p *permits, n int, limits job.PushLimits) (inside func() int, leave func()) {
	var mu sync.Mutex
	count, out := 0, make(chan struct{})
	for range n {
		go func() {
			id, err := p.enter(t.Context(), func() (job.PushLimits, bool) { return limits, true })
			if err != nil {
				return
			}
			mu.Lock()
			count++
			mu.Unlock()
			select {
			case <-out:
			case <-t.Context().Done():
			}
			p.leave(t.Context(), id)
		}()
	}
	return func() int { mu.Lock(); defer mu.Unlock(); return count }, func() { out <- struct{}{} }
}

func TestPermits_TwoProcessesShareOneLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{held: map[string]bool{}, of: 2}
		limits := job.PushLimits{MaxInFlight: 3}
		a, leaveA := crowd(t, newPermits(l, "q", "a", slog.New(slog.DiscardHandler), func(int) {}), 5, limits)
		b, _ := crowd(t, newPermits(l, "q", "b", slog.New(slog.DiscardHandler), func(int) {}), 5, limits)
		<-time.After(time.Second)
		if n := a() + b(); n != 3 {
			t.Errorf("%d requests left, want 3 of both processes", n)
		}
		if a() > 0 {
			leaveA()
			<-time.After(time.Second)
			if n := a() + b(); n != 4 {
				t.Errorf("%d requests have left once one came back, want 4", n)
			}
		}
	})
}

// While Redis is away each process keeps to its share, which it heard of before; what
// left meanwhile is told when Redis is back.
func TestPermits_SharesWhileRedisIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for place, want := range []int{2, 2, 1} { // 5 among 3
			l := &ledger{held: map[string]bool{}, place: place, of: 3}
			p := newPermits(l, "q", "a", slog.New(slog.DiscardHandler), func(int) {})
			if !p.renew(t.Context()) {
				t.Fatal("renew = false")
			}
			l.set(func() { l.away = true })
			inside, leave := crowd(t, p, 9, job.PushLimits{MaxInFlight: 5})
			<-time.After(10 * time.Second)
			if n := inside(); n != want {
				t.Errorf("process %d of 3 has %d of 5 requests under way, want %d", place, n, want)
			}
			l.set(func() {
				if l.calls > 20 {
					t.Errorf("Redis was asked %d times in 10 s while it was away", l.calls)
				}
			})
			leave()
			<-time.After(5 * time.Second)
			if n := inside(); n != want+1 {
				t.Errorf("%d have left once one came back, want %d", n, want+1)
			}
			l.set(func() { l.away = false })
			<-time.After(5 * time.Second)
			l.set(func() {
				if len(l.held) != 5 {
					t.Errorf("%d requests are counted once Redis is back, want 5", len(l.held))
				}
			})
		}
	})
}

func TestPermits_RateOfAShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{held: map[string]bool{}, place: 0, of: 2}
		p := newPermits(l, "q", "a", slog.New(slog.DiscardHandler), func(int) {})
		p.renew(t.Context())
		l.set(func() { l.away = true })
		inside, _ := crowd(t, p, 50, job.PushLimits{MaxInFlight: 100, RatePerSecond: 2})
		<-time.After(9500 * time.Millisecond)
		if n := inside(); n != 10 {
			t.Errorf("%d requests left in 9.5 s, want 10: half of 2 a second", n)
		}
	})
}

// Who waits hears that the endpoint is closed, and that its attempt is over.
func TestPermits_WaitersEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{held: map[string]bool{"x": true}, of: 1}
		p := newPermits(l, "q", "a", slog.New(slog.DiscardHandler), func(int) {})
		open := true
		ended := make(chan error, 1)
		go func() {
			_, err := p.enter(t.Context(), func() (job.PushLimits, bool) {
				l.mu.Lock()
				defer l.mu.Unlock()
				return job.PushLimits{MaxInFlight: 1}, open
			})
			ended <- err
		}()
		<-time.After(time.Second)
		l.set(func() { open = false })
		if err := <-ended; !errors.Is(err, errClosed) {
			t.Errorf("enter = %v, want %v", err, errClosed)
		}
		ctx, end := context.WithCancelCause(t.Context())
		end(job.ErrShutdown)
		if _, err := p.enter(ctx, func() (job.PushLimits, bool) { return job.PushLimits{MaxInFlight: 1}, true }); !errors.Is(err, job.ErrShutdown) {
			t.Errorf("enter of an attempt that is over = %v, want %v", err, job.ErrShutdown)
		}
	})
}

func TestShareOf_AddsUp(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 7; n++ {
		for of := 1; of <= 9; of++ {
			sum := 0
			for place := range of {
				sum += shareOf(n, place, of)
			}
			if sum != n {
				t.Errorf("the shares of %d among %d add up to %d", n, of, sum)
			}
		}
	}
}

// A permit that is given back while another call renews it, or whose request was given up
// before Redis answered, takes no place that nobody has.
func TestPermits_NoneIsLeft(t *testing.T) {
	always := func() (job.PushLimits, bool) { return job.PushLimits{MaxInFlight: 1}, true }
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{held: map[string]bool{}, of: 1}
		p := newPermits(l, "q", "a", slog.New(slog.DiscardHandler), func(int) {})
		id, err := p.enter(t.Context(), always)
		if err != nil {
			t.Fatal(err)
		}
		l.meanwhile = func() { p.leave(t.Context(), id) }
		p.renew(t.Context())
		if len(l.held) != 0 {
			t.Errorf("Redis counts %v, given back while it was renewed", l.held)
		}
		clear(l.held)
		ctx, cancel := context.WithCancel(t.Context())
		l.late = cancel
		if id, err := p.enter(ctx, always); err == nil {
			t.Errorf("enter = %q, want an error", id)
		}
		if len(l.held) != 0 {
			t.Errorf("Redis counts %v, of a request that was given up", l.held)
		}
	})
}
