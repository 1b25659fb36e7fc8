package relay

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// One queue's Redis may hang while the others' answers: in a cluster they are
// different servers. So a look around hands the queues their batches one after the
// other, and does not wait for one that takes long: it goes on without the look, and
// what came of it counts in a later one.
//
// Nor does it wait for a queue whose last batch was full: to claim five hundred jobs
// takes ten times as long as to claim one, and the next job of every other queue would
// wait for it.
const (
	patience   = 500 * time.Millisecond // of one look around, for all its queues
	impatience = 10 * time.Millisecond  // for each of the others, when that is used up
	aheadMost  = 3                      // full queues that are not waited for: each needs a connection
)

// Limits of calls to Redis that others may have to wait for.
const (
	askLimit  = contactReply // a later reply would break the contact anyway
	pushLimit = 5 * time.Second
)

// queuesAtOnce is how many queues whose Redis answers are seen to at a time.
const queuesAtOnce = 16

// eachQueue does something for every queue at once, and waits for all of them.
func eachQueue[T any](byQueue map[string]T, do func(name string, what T) error) error {
	var mu sync.Mutex
	var errs []error
	var g errgroup.Group // without a context: one queue's trouble is not the others'
	g.SetLimit(queuesAtOnce)
	for name, what := range byQueue {
		g.Go(func() error {
			if err := do(name, what); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
			return nil
		})
	}
	_ = g.Wait() // the errors are in errs
	return errors.Join(errs...)
}

// handed is what came of handing one queue a batch.
type handed struct {
	jobs          int
	full, blocked bool
	err           error
}

func (f *find) add(h handed) error {
	f.jobs += h.jobs
	f.full = f.full || h.full
	f.blocked = f.blocked || h.blocked
	return h.err
}

// handOut hands every queue one batch, except those that an earlier look is still
// handing one.
func (r *Relay) handOut(ctx context.Context, names []string) (f find, err error) {
	var errs []error
	count := func(name string, h handed) {
		r.look.full[name] = h.full || h.blocked
		errs = append(errs, f.add(h))
	}
	for name, done := range r.look.late {
		select {
		case h := <-done:
			delete(r.look.late, name)
			count(name, h)
		default:
		}
	}
	end := time.Now().Add(patience)
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for _, name := range names {
		if r.look.late[name] != nil {
			continue
		}
		done, late := make(chan handed, 1), new(atomic.Bool)
		r.look.out.Go(func() {
			h := r.attend(ctx, name)
			done <- h
			if late.Load() && (h.jobs > 0 || h.full) { // else the next look would be as vain, and so on without a pause
				r.lookAgainSoon()
			}
		})
		if len(names) > 1 && r.look.full[name] && len(r.look.late) < aheadMost {
			late.Store(true)
			r.look.late[name] = done
			continue
		}
		timer.Reset(max(time.Until(end), impatience))
		select {
		case h := <-done:
			count(name, h)
		case <-timer.C:
			late.Store(true) // whoever does not see this has answered before
			r.look.late[name] = done
			select {
			case h := <-done:
				delete(r.look.late, name)
				count(name, h)
			default:
			}
		}
	}
	f.busy = len(r.look.late) > 0
	return f, errors.Join(errs...)
}

// attend hands one queue a batch.
func (r *Relay) attend(ctx context.Context, name string) (h handed) {
	q, err := r.queue(ctx, name)
	if err != nil {
		return handed{err: err}
	}
	h.jobs, h.full, h.blocked, h.err = r.dispatch(ctx, q)
	return h
}

// lookAgainSoon ends the dispatch loop's present wait.
func (r *Relay) lookAgainSoon() {
	select {
	case r.nudge <- struct{}{}:
	default:
	}
}
