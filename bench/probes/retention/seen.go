package main

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// seen remembers how long statements took, and which of them met DDL.
type seen struct {
	mu    sync.Mutex
	calls map[string][]call // by kind, in order of their ends
	ddl   []call
}

type call struct {
	from, to time.Time
	failed   bool
}

func (c call) took() time.Duration { return c.to.Sub(c.from) }

func newSeen() *seen { return &seen{calls: map[string][]call{}} }

// time runs a statement.
func (s *seen) time(kind string, do func() error) error {
	c := call{from: time.Now()}
	err := do()
	c.to, c.failed = time.Now(), err != nil
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[kind] = append(s.calls[kind], c)
	return err
}

// beside runs DDL, beside which others may have to wait.
func (s *seen) beside(verb string, do func() error) error {
	err := s.time(verb, do)
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := s.calls[verb]
	s.ddl = append(s.ddl, calls[len(calls)-1])
	return err
}

// forget begins anew.
func (s *seen) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls, s.ddl = map[string][]call{}, nil
}

// longest returns the longest statement of each kind that ended since from, in ms.
func (s *seen) longest(from time.Time) map[string]float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]float64{}
	for kind, calls := range s.calls {
		for i := len(calls) - 1; i >= 0 && calls[i].to.After(from); i-- {
			out[kind] = max(out[kind], ms(calls[i].took()))
		}
	}
	return out
}

// print says how long statements of each kind took, and apart those during which DDL
// was under way or which began within 50 ms of its end: they plan anew.
func (s *seen) print() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, kind := range slices.Sorted(maps.Keys(s.calls)) {
		var all, met []time.Duration
		failed := 0
		for _, c := range s.calls[kind] {
			if c.failed {
				failed++
			}
			all = append(all, c.took())
			if slices.ContainsFunc(s.ddl, func(d call) bool { return c.from.Before(d.to.Add(50*time.Millisecond)) && c.to.After(d.from) }) {
				met = append(met, c.took())
			}
		}
		fmt.Printf("took %-9s n=%d failed=%d ms: %s", kind, len(all), failed, spread(all))
		if len(met) > 0 && len(met) < len(all) {
			fmt.Printf("; beside DDL n=%d: %s", len(met), spread(met))
		}
		fmt.Println()
	}
}

func spread(all []time.Duration) string {
	slices.Sort(all)
	at := func(share float64) float64 { return ms(all[int(share*float64(len(all)-1))]) }
	return fmt.Sprintf("p50=%.2f p99=%.2f max=%.2f", at(0.5), at(0.99), at(1))
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
