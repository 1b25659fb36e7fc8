package workers

import "sync"

// Demand says how many attempts somebody wants from a worker, for one that runs nothing
// itself but hands its attempts on: it takes no more than that, and nothing while it is
// zero. It is for one [Worker]; its methods may be called at any time.
//
//	Add(5) ── a take brings 3 ──▶ 2 left ── Add(−2): nobody waits any more ──▶ 0
//
// What was taken has left the count: whoever cannot use an attempt and returns
// [ErrUnseen] wants one less than was counted, and says Add(1) first.
type Demand struct {
	mu     sync.Mutex
	wanted int // below 0: jobs are under way to somebody who went away
	rises  chan struct{}
}

// NewDemand returns a demand for nothing.
func NewDemand() *Demand { return &Demand{rises: make(chan struct{}, 1)} }

// Add wants n attempts more, or −n fewer.
func (d *Demand) Add(n int) {
	d.mu.Lock()
	d.wanted += n
	d.mu.Unlock()
	if n > 0 {
		signal(d.rises)
	}
}

// atMost returns how many of free slots are wanted. Without a Demand all are.
func (d *Demand) atMost(free int) int {
	if d == nil {
		return free
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return min(free, max(d.wanted, 0))
}

// took notes that n attempts are under way to those who want them; below 0, that they
// will not come after all.
func (d *Demand) took(n int) {
	if d != nil && n != 0 {
		d.Add(-n)
	}
}

// rising is ready when more may be wanted than before.
func (d *Demand) rising() <-chan struct{} {
	if d == nil {
		return nil
	}
	return d.rises
}
