package workers

import (
	"maps"
	"slices"
	"testing"
	"time"
)

// The last free slot goes by weights, but a queue that lost it to a backlog once has the
// next one, and so has one whose bell got lost.
func TestTurns_QueueThatWasPassedOverIsNext(t *testing.T) {
	for name, rings := range map[string]bool{"its bell rang": true, "it is due": false} {
		t.Run(name, func(t *testing.T) {
			for range 50 {
				m := newMemory()
				m.push("q0", envelopes("k", 1, 100)...)
				r := roundOf(t, m, crowded(m, 2, 1, 1))
				waits := r.w.queues[1]
				for _, q := range r.w.queues {
					q.due = time.Now().Add(time.Hour)
				}
				r.w.queues[0].due = time.Time{}
				r.w.round(t.Context(), &fetcher{})
				m.push("q1", envelopes("k", 201, 1)...)
				if rings {
					r.w.ring([]string{"q1"})
				} else {
					waits.due = time.Time{}
				}
				var order []string
				for range 3 {
					f := fetcher{}
					r.w.round(t.Context(), &f)
					order = append(order, f.waiting[0].queue.name)
				}
				if i := slices.Index(order, "q1"); i < 0 || i > 1 {
					t.Fatalf("slots went to %v, want q1 among the first two", order)
				}
			}
		})
	}
}

// Two queues that always have one job, and no backlog, take turns with one that has a
// backlog and the higher weight: it would be starved if whoever was passed over came first
// in every round. And both are served, though they would lose every draw.
func TestTurns_BacklogIsNotStarvedByThosePassedOver(t *testing.T) {
	m := newMemory()
	m.push("q0", envelopes("k", 1, 100)...)
	change := crowded(m, 3, 1, 1)
	r := roundOf(t, m, func(o *Options, reg *Registry) {
		change(o, reg)
		o.Queues[0].Weight = 98
	})
	r.w.order.draw = func() float64 { return 0.5 } // the highest weight comes first
	got := map[string]int{}
	for id := int64(1000); id < 1020; id++ {
		for i, name := range []string{"q1", "q2"} {
			if len(m.window[name]) == 0 {
				m.push(name, envelopes("k", id+int64(1000*i), 1)...)
				r.w.ring([]string{name})
			}
		}
		f := fetcher{}
		r.w.round(t.Context(), &f)
		got[f.waiting[0].queue.name]++
	}
	if want := map[string]int{"q0": 10, "q1": 5, "q2": 5}; !maps.Equal(got, want) {
		t.Errorf("20 slots went to %v, want %v", got, want)
	}
}

// So it is with a backlog that is claimed from Postgres because its Redis is away.
func TestTurns_BacklogInPostgresIsOne(t *testing.T) {
	m := newMemory()
	r := roundOf(t, m, crowded(m, 2, 1, 4))
	m.insert("q0", envelopes("k", 1, 100)...)
	q := r.w.queues[0]
	q.unanswered(time.Now().Add(-time.Hour))
	q.passed = 1
	f := fetcher{}
	if r.w.round(t.Context(), &f); len(f.waiting) == 0 || !q.hot || q.passed != 0 {
		t.Errorf("after %d jobs of 100: hot %t, passed over in round %d, want a backlog that was served", len(f.waiting), q.hot, q.passed)
	}
}
