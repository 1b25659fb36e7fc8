package workers

import (
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
)

// However many attempts block, the next one has a goroutine.
func TestCrew_NobodyWaitsForAGoroutine(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, mostParked - 1, mostParked, mostParked + 1, 3 * mostParked} {
		synctest.Test(t, func(t *testing.T) {
			var wg sync.WaitGroup
			block := make(chan struct{})
			c := newCrew(func(*attempt) { wg.Done(); <-block })
			for round := range 2 { // with new goroutines, then with those that are parked
				wg.Add(n)
				for range n {
					c.begin(&attempt{})
				}
				wg.Wait() // all at once, or synctest finds a deadlock
				close(block)
				synctest.Wait()
				if c.parked != min(n, mostParked) {
					t.Fatalf("%d at once, round %d: %d parked, want %d", n, round, c.parked, min(n, mostParked))
				}
				block = make(chan struct{})
			}
			c.close()
			synctest.Wait()
			if c.parked != 0 {
				t.Errorf("%d at once: %d parked after close", n, c.parked)
			}
		})
	}
}

// One after another they share a goroutine, and one that a handler ends is replaced.
func TestCrew_GoroutinesAreUsedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ran, end := 0, false
		c := newCrew(func(*attempt) {
			ran++
			if end {
				runtime.Goexit()
			}
		})
		defer c.close()
		for i := range 10 {
			end = i == 5
			c.begin(&attempt{})
			synctest.Wait()
			want := 1
			if end {
				want = 0
			}
			if c.parked != want || ran != i+1 {
				t.Fatalf("after %d: %d ran, %d parked, want %d", i+1, ran, c.parked, want)
			}
		}
	})
}

// A handler that returns after close ends its goroutine; close does not wait for it.
func TestCrew_CloseLeavesHandlersAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		block := make(chan struct{})
		c := newCrew(func(*attempt) { <-block })
		c.begin(&attempt{})
		synctest.Wait()
		c.close()
		close(block)
		synctest.Wait()
		if c.parked != 0 {
			t.Errorf("%d parked after close", c.parked)
		}
	})
}
