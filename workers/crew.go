package workers

import "sync"

// mostParked is how many goroutines without an attempt are kept for the next ones.
const mostParked = 256

// crew runs attempts, each in a goroutine of its own, which stays for another: a new
// one for every attempt costs a short handler more than all the rest of its way
// through the worker. An attempt never waits for a goroutine.
type crew struct {
	run  func(*attempt)
	next chan *attempt // to a goroutine that is parked

	mu     sync.Mutex // guards what follows
	parked int
	closed bool
	gone   sync.WaitGroup // those that are parked
}

func newCrew(run func(*attempt)) *crew { return &crew{run: run, next: make(chan *attempt)} }

// begin runs a.
func (c *crew) begin(a *attempt) {
	select {
	case c.next <- a:
	default:
		go c.work(a)
	}
}

// work runs a, and then what it is handed. A handler that ends its goroutine
// (runtime.Goexit) ends just that: it is not parked.
func (c *crew) work(a *attempt) {
	for a != nil {
		c.run(a)
		if !c.park() {
			return
		}
		a = <-c.next // nil: closed
		c.unpark()
	}
}

func (c *crew) park() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.parked == mostParked {
		return false
	}
	c.parked++
	c.gone.Add(1)
	return true
}

func (c *crew) unpark() {
	c.mu.Lock()
	c.parked--
	c.mu.Unlock()
	c.gone.Done()
}

// close ends the goroutines that are parked, and waits for them. Nothing may be begun
// any more; a handler that still runs ends its goroutine when it returns.
func (c *crew) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	close(c.next)
	c.gone.Wait()
}
