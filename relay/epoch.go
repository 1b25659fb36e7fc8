package relay

import (
	"context"
	"errors"
	"time"

	"github.com/penguinmails/rookery/job"
)

// beginPatience is how long a relay that finds a fresh epoch not opened yet leaves
// it to the relay that began it.
const beginPatience = time.Second

// queue returns what is believed of a queue, registering and opening it when it is
// new.
func (r *Relay) queue(ctx context.Context, name string) (*queue, error) {
	if q := r.known(name); q != nil {
		return q, nil
	}
	if err := r.store.Register(ctx, []string{name}); err != nil {
		return nil, err
	}
	if err := r.refresh(ctx); err != nil {
		return nil, err
	}
	q := r.known(name)
	if q == nil {
		return nil, job.ErrNotFound // dropped by hand this very moment
	}
	return q, r.census(ctx, q)
}

func (r *Relay) known(name string) *queue {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.queues[name]
}

func (r *Relay) all() []*queue {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]*queue, 0, len(r.queues))
	for _, q := range r.queues {
		out = append(out, q)
	}
	return out
}

// refresh takes over what Postgres says of all queues. One that it does not list any
// more is forgotten: when a job of it comes, it is registered anew.
func (r *Relay) refresh(ctx context.Context) error {
	asked := time.Now()
	rows, life, clock, err := r.store.Queues(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	offset := clock.Sub(now)
	if life != r.life || now.Sub(r.heard) > postgresGap || (offset-r.offset).Abs() > contactJump {
		r.steady = now
	}
	r.life, r.heard, r.clock, r.offset = life, now, clock, offset
	r.keeps.Store(int64(shortestOwn(rows)))
	listed := make(map[string]bool, len(rows))
	for _, row := range rows {
		listed[row.Name] = true
		q := r.queues[row.Name]
		if q == nil {
			r.queues[row.Name] = newQueue(row, now)
			continue
		}
		q.mu.Lock()
		q.adoptLocked(row, life, asked, now)
		q.mu.Unlock()
	}
	for name, q := range r.queues {
		q.mu.Lock()
		if !listed[name] && asked.After(q.adopted) {
			delete(r.queues, name)
		}
		q.mu.Unlock()
	}
	return nil
}

// postgresGap is how long Postgres may leave a relay without an answer before the
// relay must think that it left the workers without one, too.
const postgresGap = 5 * time.Second

// counted reports whether the workers that Postgres lists as living are all there
// are: for one lease it was there for them to say so.
func (r *Relay) counted(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return now.Sub(r.heard) <= postgresGap && now.Sub(r.steady) >= r.o.Lease
}

// census asks Redis for a queue's state, tells it what it must know, and begins a
// new epoch when this Redis, or this Postgres, is not the one the epoch belongs to.
func (r *Relay) census(ctx context.Context, q *queue) error {
	r.mu.Lock()
	life := r.life
	r.mu.Unlock()
	sent := time.Now()
	q.mu.Lock()
	b, forget, otherLife := q.believeLocked(), q.batches.forgettable(sent), life != "" && q.Life != life
	q.mu.Unlock()
	asking, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	w, err := r.redis.Census(asking, job.Census{QueueName: b.name, Epoch: b.epoch, KnownSeq: b.seq, Paused: b.paused, Forget: forget})
	// Redis is asked even when the epoch must end anyway: the next one must be above
	// what this Redis holds, of a Postgres that has lost its tail or is another.
	if errors.Is(err, job.ErrStale) || errors.Is(err, job.ErrBehind) || err == nil && (b.epoch == 0 || otherLife) {
		r.answered(q)
		return r.renew(ctx, q, b.epoch, err)
	}
	now := time.Now()
	if err == nil {
		r.answered(q)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if err != nil {
		if ctx.Err() == nil { // else it was our caller who hung up
			q.window.contact.broken()
			q.window.silent = errors.Is(err, job.ErrUnavailable)
		}
		return err
	}
	if q.Epoch == b.epoch {
		q.window.answered(sent, now, w.Seq, w.Depth(), w.Now)
		q.batches.forgotten(forget)
	}
	return nil
}

// answered notes that a queue's Redis has answered; after a silence the dispatch loop
// looks at once what it may hand it.
func (r *Relay) answered(q *queue) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.window.silent {
		q.window.silent = false
		r.lookAgainSoon()
	}
}

// renew ends the epoch the relay believed in: Redis, or Postgres, is not the one it
// belongs to. The window is thrown away, never compared; workers announce what they
// run; the rest is settled. Only the relay that begins an epoch opens it: another
// one cannot know whether it was open in a Redis that has since gone.
func (r *Relay) renew(ctx context.Context, q *queue, believed int64, cause error) error {
	if err := r.refresh(ctx); err != nil {
		return err
	}
	r.mu.Lock()
	life := r.life
	r.mu.Unlock()
	q.mu.Lock()
	seen, fresh := q.Epoch, q.EpochAge < beginPatience && q.Epoch > 0 && q.Life == life
	q.mu.Unlock()
	if seen != believed {
		return nil // another relay has begun one; the next look uses it
	}
	var stale *job.StaleError
	redisEpoch := int64(0)
	if errors.As(cause, &stale) {
		redisEpoch = stale.Epoch
	}
	if fresh && redisEpoch < seen {
		return nil // its opening is under way
	}
	// Two rounds: the Redis half may find a Redis that knows a higher epoch still.
	for range 2 {
		epoch, paused, begun, err := r.store.BeginEpoch(ctx, q.name, seen, redisEpoch)
		if err != nil || !begun {
			return err
		}
		r.metrics.epochs.Inc()
		// A crash here leaves an epoch that is open nowhere: nothing is claimed or
		// taken in it, and after a moment another relay begins the next.
		r.o.Failpoint("relay.after_begin_epoch")
		_, err = r.redis.OpenEpoch(ctx, q.name, epoch, paused)
		if errors.As(err, &stale) {
			seen, redisEpoch = epoch, stale.Epoch
			continue
		}
		if err != nil {
			return err
		}
		r.log.InfoContext(ctx, "epoch began", "queue_name", q.name, "epoch", epoch, "cause", causeText(cause, believed))
		return r.refresh(ctx)
	}
	return job.ErrStale
}

func causeText(cause error, believed int64) string {
	switch {
	case believed == 0:
		return "new queue"
	case cause != nil:
		return cause.Error()
	}
	return "another postgres"
}
