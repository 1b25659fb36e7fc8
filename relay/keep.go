package relay

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/penguinmails/rookery/job"
)

// tend sees to every queue once a second: is its epoch the present one, is it
// paused, has a lease ended, did an ended epoch leave something behind, is Redis away.
func (r *Relay) tend(ctx context.Context) error {
	if err := r.refresh(ctx); err != nil {
		return err
	}
	others, err := r.store.Unrecorded(ctx, r.o.ID)
	if err != nil {
		return err
	}
	queues := r.all()
	errs := make([]error, len(queues))
	// Without a context: one queue's trouble is not the others'. Those whose Redis is
	// silent are asked beside the others, or a dead shard of many queues would keep
	// the turn so long that contact with the living ones counts as broken.
	var answering, silent errgroup.Group
	answering.SetLimit(queuesAtOnce)
	for i, q := range queues {
		q.mu.Lock()
		q.others = others[q.name]
		g := &answering
		if q.window.silent {
			g = &silent
		}
		q.mu.Unlock()
		g.Go(func() error {
			if errs[i] = r.census(ctx, q); errs[i] == nil {
				errs[i] = errors.Join(r.reap(ctx, q), r.settle(ctx, q))
			}
			return nil
		})
	}
	_, _ = answering.Wait(), silent.Wait() // the errors are in errs
	var unheard []*queue
	for i, q := range queues {
		if errors.Is(errs[i], job.ErrUnavailable) {
			unheard = append(unheard, q)
		}
	}
	return errors.Join(append(errs, r.giveUp(ctx, unheard))...)
}

// carryCancels takes cancel orders to Redis: a copy that waits there is dropped at
// take, and a handler that runs is told by its worker's next heartbeat.
func (r *Relay) carryCancels(ctx context.Context) error {
	orders, err := r.store.Cancels(ctx)
	if err != nil || len(orders) == 0 {
		return err
	}
	byQueue := map[string][]job.Ref{}
	for _, o := range orders {
		byQueue[o.QueueName] = append(byQueue[o.QueueName], o.Ref)
	}
	return eachQueue(byQueue, func(name string, refs []job.Ref) error {
		q := r.known(name)
		if q == nil {
			return nil
		}
		q.mu.Lock()
		b, reachable := q.believeLocked(), q.window.reachable()
		q.mu.Unlock()
		if !reachable || !b.open {
			return nil
		}
		telling, cancel := context.WithTimeout(ctx, askLimit)
		defer cancel()
		if err := r.redis.Cancel(telling, name, b.epoch, refs); err != nil {
			return err
		}
		// A crash here repeats the order.
		return r.store.DropCancels(ctx, refs)
	})
}

// sweep deletes ledger rows of which no job is current, oldest first, going on from
// page to page while it finds some.
func (r *Relay) sweep(ctx context.Context) error {
	var from job.Cursor
	for range 400 { // 20,000 rows a turn
		s, err := r.store.Sweep(ctx, from)
		if err != nil {
			return err
		}
		r.metrics.swept.Add(float64(s.Swept))
		if s.Seen == 0 {
			return nil
		}
		from = s.Next
	}
	return nil
}

// walk is the belt: a thousand jobs every ten seconds, and it must find nothing.
func (r *Relay) walk(ctx context.Context) error {
	w, err := r.store.Walk(ctx, r.walked.Load())
	if err != nil {
		return err
	}
	r.walked.Store(w.LastID) // 0 at the end: from the start again
	if n := len(w.Strays) + len(w.Orphans); n > 0 {
		r.metrics.strays.Add(float64(n))
		r.log.ErrorContext(ctx, "jobs stood where nobody looks and were filed again; please report this", "strays", w.Strays, "orphans", w.Orphans)
	}
	return nil
}

// beat says that this relay lives, and whether it reaches Redis.
func (r *Relay) beat(ctx context.Context) error {
	r.tracing.Again()
	now := time.Now()
	p := job.Process{ID: r.o.ID, Role: "relay", Host: r.host, PID: r.pid, Epochs: map[string]int64{}}
	for _, q := range r.all() {
		q.mu.Lock()
		p.RedisOK = p.RedisOK || !q.window.contact.since.IsZero() && now.Sub(q.window.contact.last) <= job.Beat
		p.Epochs[q.name] = q.Epoch
		q.mu.Unlock()
	}
	_, err := r.store.Beat(ctx, p)
	return err
}
