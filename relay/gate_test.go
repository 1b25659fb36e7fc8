package relay_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/relay"
)

func newGate() *fakeGate { return &fakeGate{open: map[int]bool{}} }

func (g *fakeGate) heldBy(s relay.Source) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.holder != nil && relay.Source(g.holder) == s
}

// busy is a source whose session does not answer the first orders to release.
type busy struct {
	relay.Source
	left atomic.Int32
}

func (b *busy) Release(ctx context.Context) (func(context.Context) (bool, error), error) {
	if b.left.Add(-1) >= 0 {
		return nil, job.ErrUnavailable
	}
	return b.Source.Release(ctx)
}

// A relay that fell asleep behind a gate it had not managed to open would mute all
// producers until its next busy spell.
func TestGate_OpeningIsRepeatedUntilAnswered(t *testing.T) {
	t.Parallel()
	h, g := newHouse(t), newGate()
	inner := g.source()
	source := &busy{Source: inner}
	source.left.Store(3)
	h.insert(t, "q", 600) // a full batch: hot
	h.start(t, wiring{source: source})
	h.await(t, 600, "dispatched", dispatched)
	devtest.Until(t, patience, "the gate opened again, after three orders without an answer", func() (bool, error) {
		return source.left.Load() < 0 && !g.heldBy(inner), nil
	})
}

// A relay that is hot while another holds the gate closes it itself when that one is
// gone.
func TestGate_IsTakenOverByAHotRelay(t *testing.T) {
	t.Parallel()
	h, g := newHouse(t), newGate()
	other, own := g.source(), g.source()
	if held, err := other.Hold(t.Context()); !held || err != nil {
		t.Fatalf("Hold = %v, %v", held, err)
	}
	// A backlog behind a full window keeps a relay hot.
	if err := h.store.SetWindow(t.Context(), "q", 10); err != nil {
		t.Fatal(err)
	}
	h.insert(t, "q", 100)
	h.start(t, wiring{source: own})
	h.await(t, 9, "the window full but for its reserve", dispatched)
	if g.heldBy(own) {
		t.Fatal("the gate has two holders")
	}
	if _, err := other.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	devtest.Until(t, patience, "the gate held by the relay that is hot", func() (bool, error) { return g.heldBy(own), nil })
}

func TestRun_RecordsItsPushesAndLeavesTheLiving(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	r, stop := h.start(t, wiring{})
	h.insert(t, "q", 3)
	h.take(t, "q", 3)
	h.await(t, 1, "among the living", `SELECT count(*) FROM outbox.processes WHERE id = $1`, r.ID())
	stop()
	if n := h.count(t, `SELECT count(*) FROM outbox.processes WHERE id = $1`, r.ID()); n != 0 {
		t.Error("a relay that has stopped is still among the living")
	}
	if n := h.count(t, unrecorded); n != 0 {
		t.Errorf("%d pushes of a relay that has stopped are not recorded", n)
	}
}
