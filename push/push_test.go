package push

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/workers"
)

// fakeStore has the endpoints that a test gives it.
type fakeStore struct {
	mu        sync.Mutex
	endpoints []job.Endpoint
	err       error
	disabled  []string
	states    map[int64]job.OpenState
	asked     int    // times, about attempts that are open
	slow      func() // called once it has an answer about them; nil: nothing
}

func (f *fakeStore) set(endpoints ...job.Endpoint) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.endpoints = endpoints
}

func (f *fakeStore) SignedEndpoints(context.Context) ([]job.Endpoint, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.endpoints, f.err
}

func (f *fakeStore) DisableEndpoint(_ context.Context, queue, url, reason string) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.disabled = append(f.disabled, queue+" "+url+" "+reason)
	return true, f.err
}

func (f *fakeStore) SealKeys(context.Context) ([]job.SealKey, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return nil, f.err
	}
	return []job.SealKey{{ID: 1, Secret: bytes.Repeat([]byte{7}, 32), Signs: true}}, nil
}

// OpenAttempts says what a test has put into states; an attempt of which it says nothing
// is open.
func (f *fakeStore) OpenAttempts(_ context.Context, open []job.OpenAttempt) ([]job.OpenState, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []job.OpenState
	for _, a := range open {
		s, told := f.states[a.Ref.ID]
		if s.Ref = a.Ref; !told {
			s.Open = true
		}
		out = append(out, s)
	}
	f.asked++
	if f.slow != nil {
		f.slow()
	}
	return out, f.err
}

// crew counts the workers of each queue: how many were made, and how many run.
type crew struct {
	mu      sync.Mutex
	made    map[string]int // by "queue slots"
	running map[string]int
	drain   time.Duration
	fails   bool
}

type fakeWorker struct {
	c     *crew
	queue string
}

func (c *crew) make(queue string, slots int, _ workers.Handler) (Runner, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.made[fmt.Sprint(queue, " ", slots)]++
	if c.fails {
		return nil, errors.New("no worker")
	}
	return fakeWorker{c, queue}, nil
}

func (w fakeWorker) Run(ctx context.Context) error {
	w.c.add(w.queue, 1)
	<-ctx.Done()
	<-time.After(w.c.drain)
	w.c.add(w.queue, -1)
	return nil
}

func (c *crew) add(queue string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running[queue] += n; c.running[queue] > 1 {
		panic("two workers of one queue at once")
	}
}

func (c *crew) is(t *testing.T, what string, running map[string]int, made map[string]int) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	now := maps.Clone(c.running)
	maps.DeleteFunc(now, func(_ string, n int) bool { return n == 0 })
	if !maps.Equal(now, running) || !maps.Equal(c.made, made) {
		t.Errorf("%s: running %v, made %v, want %v and %v", what, now, c.made, running, made)
	}
}

func TestPush_FollowsEndpoints(t *testing.T) {
	t.Parallel()
	client, err := NewClient(ClientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		store, c := &fakeStore{}, &crew{made: map[string]int{}, running: map[string]int{}, drain: time.Minute}
		registry := prometheus.NewRegistry()
		p, err := New(store, client, c.make, Options{Registerer: registry})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- p.Run(ctx) }()
		steps := func(n int) {
			<-time.After(time.Duration(n)*lookEvery + time.Millisecond)
			synctest.Wait()
		}
		at := func(queue string, most int) job.Endpoint {
			return job.Endpoint{QueueName: queue, URL: "https://a.example", MaxInFlight: most}.Filled()
		}
		steps(1)
		c.is(t, "without endpoints", map[string]int{}, map[string]int{})

		store.set(at("a", 1), at("b", 2))
		steps(1)
		c.is(t, "two endpoints", map[string]int{"a": 1, "b": 1}, map[string]int{"a 1": 1, "b 2": 1})
		target := p.lines["a"].target

		moved := at("a", 1)
		moved.URL, moved.RatePerSecond = "https://b.example", 7
		store.set(moved, at("b", 2))
		steps(1)
		if e := target.endpoint.Load(); e.URL != moved.URL || target.gate.rate != 7 {
			t.Errorf("the endpoint is %+v, its rate %g, want what was set", e, target.gate.rate)
		}
		c.is(t, "another URL", map[string]int{"a": 1, "b": 1}, map[string]int{"a 1": 1, "b 2": 1})

		store.set(at("a", 5), at("b", 2))
		steps(1)
		c.is(t, "more at once, the old worker drains", map[string]int{"a": 1, "b": 1}, map[string]int{"a 1": 1, "b 2": 1})
		<-time.After(c.drain)
		synctest.Wait()
		c.is(t, "more at once", map[string]int{"a": 1, "b": 1}, map[string]int{"a 1": 1, "b 2": 1, "a 5": 1})
		if p.lines["a"].target != target || target.gate.closed {
			t.Error("another number of slots has made another gate, or closed it")
		}

		now := time.Now()
		off := at("a", 5)
		off.DisabledAt = &now
		store.set(off)
		steps(1)
		<-time.After(c.drain)
		synctest.Wait()
		c.is(t, "one disabled, one deleted", map[string]int{}, map[string]int{"a 1": 1, "b 2": 1, "a 5": 1})
		if !target.gate.closed {
			t.Error("the gate of a disabled endpoint is open")
		}
		if n := counted(t, p.metrics.disabled.WithLabelValues("a")); n != 1 {
			t.Errorf("rookery_push_disabled = %g, want 1", n)
		}

		store.set(at("a", 5))
		steps(1)
		c.is(t, "enabled again", map[string]int{"a": 1}, map[string]int{"a 1": 1, "b 2": 1, "a 5": 2})
		if p.lines["a"].target.gate.closed {
			t.Error("the gate of an enabled endpoint is closed")
		}
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "rookery_push_disabled" && len(f.GetMetric()) != 1 {
				t.Errorf("%d queues have rookery_push_disabled, want none of a deleted endpoint", len(f.GetMetric()))
			}
		}

		store.mu.Lock()
		store.err = job.ErrUnavailable
		store.mu.Unlock()
		store.set()
		steps(3)
		c.is(t, "Postgres away", map[string]int{"a": 1}, map[string]int{"a 1": 1, "b 2": 1, "a 5": 2})

		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run = %v", err)
		}
		c.is(t, "stopped", map[string]int{}, map[string]int{"a 1": 1, "b 2": 1, "a 5": 2})
		if err := p.Run(t.Context()); err == nil {
			t.Error("Run a second time = nil, want an error")
		}
	})
}

// A worker that cannot be made is made again, and nothing spins.
func TestPush_TriesAgain(t *testing.T) {
	t.Parallel()
	client, _ := NewClient(ClientOptions{})
	synctest.Test(t, func(t *testing.T) {
		store, c := &fakeStore{}, &crew{made: map[string]int{}, running: map[string]int{}, fails: true}
		store.set(job.Endpoint{QueueName: "a", MaxInFlight: 1})
		p, err := New(store, client, c.make, Options{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- p.Run(ctx) }()
		<-time.After(10*againAfter + time.Millisecond)
		c.is(t, "failing", map[string]int{}, map[string]int{"a 1": 11})
		c.mu.Lock()
		c.fails = false
		c.mu.Unlock()
		<-time.After(againAfter)
		synctest.Wait()
		c.is(t, "mended", map[string]int{"a": 1}, map[string]int{"a 1": 12})
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
}
