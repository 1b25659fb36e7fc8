package relay_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/penguinmails/rookery/db"
	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/relay"
)

// fakeGate is a source's world in memory: one gate, and producers that ask it.
type fakeGate struct {
	mu      sync.Mutex
	holder  *fakeSource
	sources []*fakeSource
	next    int
	open    map[int]bool // transactions under way
}

type fakeSource struct {
	gate  *fakeGate
	woken chan struct{}
}

func (g *fakeGate) source() relay.Source {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := &fakeSource{gate: g, woken: make(chan struct{}, 1)}
	g.sources = append(g.sources, s)
	return s
}

// produce inserts a job in a transaction of its own and returns its commit.
func (g *fakeGate) produce() (commit func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.next++
	id, notify := g.next, g.holder == nil
	g.open[id] = true
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.open, id)
		for _, s := range g.sources {
			if notify {
				s.wake()
			}
		}
	}
}

func (s *fakeSource) wake() {
	select {
	case s.woken <- struct{}{}:
	default:
	}
}

func (s *fakeSource) Run(ctx context.Context) error {
	s.wake()
	<-ctx.Done()
	return nil
}

func (s *fakeSource) Woken() <-chan struct{} { return s.woken }

func (s *fakeSource) Hold(context.Context) (bool, error) {
	s.gate.mu.Lock()
	defer s.gate.mu.Unlock()
	if s.gate.holder == nil {
		s.gate.holder = s
	}
	return s.gate.holder == s, nil
}

func (s *fakeSource) Release(context.Context) (func(context.Context) (bool, error), error) {
	s.gate.mu.Lock()
	defer s.gate.mu.Unlock()
	if s.gate.holder == s {
		s.gate.holder = nil
	}
	s.gate.next++
	horizon := s.gate.next
	return func(context.Context) (bool, error) {
		s.gate.mu.Lock()
		defer s.gate.mu.Unlock()
		for id := range s.gate.open {
			if id < horizon {
				return false, nil
			}
		}
		return true, nil
	}, nil
}

// TestSource_Conformance holds the listener and the fake to the same words.
func TestSource_Conformance(t *testing.T) {
	t.Parallel()
	t.Run("listener", func(t *testing.T) {
		t.Parallel()
		h := newHouse(t)
		source := func() relay.Source {
			l, err := db.NewListener(h.url, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			return l
		}
		produce := func() func() {
			tx := h.begin(t)
			h.insertIn(t, tx, "q")
			return func() { commit(t, tx) }
		}
		testSource(t, source, produce)
	})
	t.Run("fake", func(t *testing.T) {
		t.Parallel()
		g := &fakeGate{open: map[int]bool{}}
		testSource(t, g.source, g.produce)
	})
}

func testSource(t *testing.T, source func() relay.Source, produce func() (commit func())) {
	ctx, cancel := context.WithCancel(t.Context())
	a, b := source(), source()
	ended := make(chan error, 2)
	for _, s := range []relay.Source{a, b} {
		go func() { ended <- s.Run(ctx) }()
	}
	woken := func(s relay.Source, within time.Duration) bool {
		select {
		case <-s.Woken():
			return true
		default:
		}
		select {
		case <-s.Woken():
			return true
		case <-time.After(within):
			return false
		}
	}
	hold := func(s relay.Source, want bool) {
		t.Helper()
		if held, err := s.Hold(t.Context()); held != want || err != nil {
			t.Errorf("Hold = %v, %v; want %v", held, err, want)
		}
	}
	release := func(s relay.Source) func(context.Context) (bool, error) {
		t.Helper()
		passed, err := s.Release(t.Context())
		if err != nil {
			t.Fatalf("Release = %v", err)
		}
		return passed
	}
	if !woken(a, patience) || !woken(b, patience) {
		t.Fatal("a source does not wake its relay when it begins")
	}
	produce()()
	if !woken(a, patience) || !woken(b, patience) {
		t.Error("an insert while the gate is open does not wake everybody")
	}
	hold(a, true)
	hold(b, false)
	late := produce() // sees the gate closed
	passedB := release(b)
	for woken(b, 0) { // what is left of earlier inserts: it came before the answer to Release
	}
	produce()()
	release(b) // and so would what this insert had sent
	if woken(b, 0) {
		t.Error("releasing a gate that another holds opened it")
	}
	passed := release(a)
	if yes, err := passed(t.Context()); yes || err != nil {
		t.Errorf("passed = %v, %v while a producer is open who saw the gate closed", yes, err)
	}
	produce()()
	if !woken(a, patience) {
		t.Error("an insert after Release wakes nobody")
	}
	late()
	for _, p := range []func(context.Context) (bool, error){passed, passedB} {
		devtest.Until(t, patience, "the horizon to pass", func() (bool, error) { return p(t.Context()) })
	}
	hold(b, true)
	cancel()
	for range 2 {
		if err := <-ended; err != nil {
			t.Errorf("Run = %v", err)
		}
	}
}

// The fake wakes a real relay, and a producer who saw its gate closed is found.
func TestSource_RelayOnTheFake(t *testing.T) {
	t.Parallel()
	h, g := newHouse(t), &fakeGate{open: map[int]bool{}}
	h.start(t, wiring{source: g.source(), poll: never})
	committed := g.produce()
	h.insert(t, "q", 2000) // full batches: it goes hot, and closes the gate
	committed()
	h.await(t, 2000, "dispatched", dispatched)
	devtest.Until(t, patience, "the gate open again", func() (bool, error) {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.holder == nil, nil
	})
	var took []time.Duration
	for id := int64(2001); id < 2006; id++ {
		began := time.Now()
		done := g.produce()
		h.insert(t, "q", 1)
		done()
		took = append(took, h.latency(t, began, id))
	}
	p50, most := summary(took)
	t.Logf("woken by the fake: p50 %s max %s", p50, most)
}
