package workers

import (
	"context"
	"fmt"
	"time"

	"github.com/penguinmails/rookery/job"
)

// drain waits for the handlers: for DrainTime undisturbed, then for stopGrace with
// their contexts ended. Leaked ones are not waited for.
func (w *Worker) drain(ctx context.Context) {
	w.draining.Store(true)
	if w.idleWithin(w.o.DrainTime) {
		return
	}
	now := time.Now()
	for _, a := range w.held.handlers() {
		w.end(a, now, job.ErrShutdown)
	}
	if !w.idleWithin(stopGrace) {
		c := w.held.counts()
		w.log.WarnContext(ctx, "handlers are left behind", keyCount, c.running-c.leaked)
	}
}

// idleWithin waits until no handler is running but leaked ones, at most for d. After
// fetch has returned it is the only reader of freed.
func (w *Worker) idleWithin(d time.Duration) bool {
	t := time.NewTimer(max(d, 0))
	defer t.Stop()
	for {
		if c := w.held.counts(); c.running == c.leaked {
			return true
		}
		select {
		case <-w.held.freed:
		case <-t.C:
			return false
		}
	}
}

// flush has the last outcomes written and acked, and says what is left behind.
func (w *Worker) flush(ctx context.Context, acked <-chan struct{}) error {
	close(w.closing)
	t := time.NewTimer(flushTime)
	defer t.Stop()
	select {
	case <-acked:
	case <-t.C:
	}
	c := w.held.counts()
	if c.running == 0 {
		w.handlers.Wait() // they have given back their slots and are returning
	}
	if c.running == 0 && c.outcomes == 0 {
		return nil
	}
	w.log.ErrorContext(ctx, "worker leaves jobs to their leases", "handlers", c.running, "outcomes", c.outcomes)
	return fmt.Errorf("stop worker: %d handlers did not return and %d outcomes were not recorded; their jobs run again when their leases end", c.running, c.outcomes)
}

// retire takes the process out of Postgres' list of the living, so that no relay
// waits for it.
func (w *Worker) retire(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := w.store.Retire(ctx, w.o.ID); err != nil {
		w.log.WarnContext(ctx, "worker stays in the list of processes until it is stale", keyError, err)
	}
}
