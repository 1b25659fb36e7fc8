package workers

import (
	"maps"
	"math/rand/v2"
	"testing"
	"time"
)

// slots is who comes first in the next n rounds, and how often each; refill is called
// before each round.
func (r *rig) slots(n int, refill func()) map[string]int {
	got := map[string]int{}
	for range n {
		refill()
		f := fetcher{}
		r.w.round(r.t.Context(), &f)
		got[f.waiting[0].queue.name]++
	}
	return got
}

// chain keeps one job in a queue, and rings for it: each enqueues its successor.
func (r *rig) chain(id int64, names ...string) func() {
	return func() {
		for _, name := range names {
			if len(r.memory.window[name]) == 0 {
				id++
				r.memory.push(name, envelopes("k", id, 1)...)
				r.w.ring([]string{name})
			}
		}
	}
}

// heavy is a worker of one slot and of q0 with a backlog and this weight, beside n queues
// of weight 1. Whoever is due only is asked in an hour.
func heavy(t *testing.T, n, weight int, draw func() float64) *rig {
	t.Helper()
	m := newMemory()
	m.push("q0", envelopes("k", 1, 10_000)...)
	change := crowded(m, n+1, 1, 1)
	r := roundOf(t, m, func(o *Options, reg *Registry) {
		change(o, reg)
		o.Queues[0].Weight = weight
	})
	for _, q := range r.w.queues[1:] {
		q.due = time.Now().Add(time.Hour)
	}
	r.w.order.draw = draw
	return r
}

// The draws below let the highest weight win each time: then nobody loses more often than
// they may, and that is what the others get.
func always() float64 { return 0.5 }

// A job beside a backlog has a slot after the rounds that it may lose, and so has one
// whose bell got lost.
func TestOrder_NobodyLosesForEver(t *testing.T) {
	for name, rings := range map[string]bool{"its bell rang": true, "it is due": false} {
		t.Run(name, func(t *testing.T) {
			r := heavy(t, 1, 2, always)
			next := r.chain(20_000, "q1")
			if !rings {
				next = func() {
					if q := r.w.queues[1]; len(r.memory.window["q1"]) == 0 {
						r.memory.push("q1", envelopes("k", int64(20_000+len(r.memory.rows)), 1)...)
						q.due = time.Time{}
					}
				}
			}
			// Weights 2 and 1: the share of q1 is one in three, so it loses nine and wins one.
			if got, want := r.slots(100, next), map[string]int{"q0": 90, "q1": 10}; !maps.Equal(got, want) {
				t.Errorf("100 slots went to %v, want %v", got, want)
			}
		})
	}
}

// Queues with one job each, however many, do not take a backlog's share, and lose no more
// than they may.
func TestOrder_WeightsHoldBesideChains(t *testing.T) {
	r := heavy(t, 2, 98, always)
	if got, want := r.slots(1000, r.chain(20_000, "q1", "q2")), map[string]int{"q0": 994, "q1": 3, "q2": 3}; !maps.Equal(got, want) {
		t.Errorf("when the heaviest wins each draw, 1000 slots went to %v, want %v", got, want)
	}
	r = heavy(t, 4, 4, rand.New(rand.NewPCG(1, 2)).Float64) // always the same
	got := r.slots(8000, r.chain(20_000, "q1", "q2", "q3", "q4"))
	for name, n := range got {
		want := 1000
		if name == "q0" {
			want = 4000
		}
		if n < want*93/100 || n > want*107/100 {
			t.Errorf("8000 slots of weights 4, 1, 1, 1, 1 went to %v, want %s to have %d", got, name, want)
		}
	}
}

// A backlog that comes second finds only slots that are not for backlogs: it has lost too.
func TestOrder_SparedSlotsAreLost(t *testing.T) {
	m := newMemory()
	change := crowded(m, 3, 1, 16)
	m.push("q0", envelopes("k", 1, 20_000)...)
	m.push("q1", envelopes("k", 100_001, 1_000)...)
	r := roundOf(t, m, func(o *Options, reg *Registry) {
		change(o, reg)
		o.Queues[0].Weight = 98
	})
	r.w.queues[2].due = time.Now().Add(time.Hour)
	r.w.order.draw = always
	if got, want := r.slots(1000, func() {}), map[string]int{"q0": 997, "q1": 3}; !maps.Equal(got, want) {
		t.Errorf("1000 rounds began with %v, want %v", got, want)
	}
}

// So it is with a backlog that is claimed from Postgres because its Redis is away.
func TestTurns_BacklogInPostgresIsOne(t *testing.T) {
	m := newMemory()
	r := roundOf(t, m, crowded(m, 2, 1, 4))
	m.insert("q0", envelopes("k", 1, 100)...)
	q := r.w.queues[0]
	q.unanswered(time.Now().Add(-time.Hour))
	q.lost = 1
	f := fetcher{}
	if r.w.round(t.Context(), &f); len(f.waiting) == 0 || !q.hot || q.lost != 0 {
		t.Errorf("after %d jobs of 100: hot %t, lost %d, want a backlog that was served", len(f.waiting), q.hot, q.lost)
	}
}
