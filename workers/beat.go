package workers

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/penguinmails/rookery/job"
)

// beat renews, every beat, the leases of all that is held: running, not begun,
// finished and not yet judged. After a failed round the next one comes soon: two
// and a half beats are all a lease has.
func (w *Worker) beat(ctx context.Context) {
	next := w.o.Beat
	w.register(ctx)
	for pause(ctx, next) {
		next = w.o.Beat
		w.tracing.Again()
		if !w.renewAll(ctx) {
			next = w.o.Beat / 5
		}
		w.register(ctx)
	}
}

// renewAll renews every queue's leases, all at once: in a cluster one dead shard
// must not cost the leases on the others.
func (w *Worker) renewAll(ctx context.Context) bool {
	ok := make([]bool, len(w.queues))
	var all sync.WaitGroup
	for i, q := range w.queues {
		all.Go(func() { ok[i] = w.renewQueue(ctx, q) })
	}
	all.Wait()
	return !slices.Contains(ok, false)
}

func (w *Worker) renewQueue(ctx context.Context, q *queue) bool {
	for part := range slices.Chunk(w.held.of(q), job.MaxBatch) {
		epoch, ok := q.leased()
		if !ok {
			signal(w.joining) // another life: announcing is what renews now
			return false
		}
		if err := w.renew(ctx, q, epoch, part); err != nil {
			if !w.stale(ctx, q, epoch, err) {
				q.unanswered(time.Now())
				w.metrics.errors.WithLabelValues("beat").Inc()
				w.log.WarnContext(ctx, "cannot renew leases", keyQueue, q.name, keyCount, len(part), keyError, err)
			}
			return false
		}
	}
	return true
}

// renew renews one part. What is gone is over; what was cancelled stays leased until
// its handler has returned and Postgres has refused its outcome.
func (w *Worker) renew(ctx context.Context, q *queue, epoch int64, part []*attempt) error {
	ctx, cancel := context.WithTimeout(ctx, redisTime)
	defer cancel()
	sent := time.Now()
	gone, cancelled, err := w.leases.Beat(ctx, q.name, epoch, w.o.Lease, refs(part))
	if err != nil {
		return err
	}
	w.redisAnswered()
	q.accepted(epoch)
	if q.present(epoch) {
		w.held.renew(part, sent)
	}
	if len(gone)+len(cancelled) == 0 {
		return nil
	}
	over, off := set(gone), set(cancelled)
	for _, a := range part {
		switch {
		case over[a.ref()]:
			w.loseLeased(a, sent)
		case off[a.ref()]:
			w.end(a, sent, job.ErrCancelled)
		}
	}
	return nil
}

// register shows the worker in Redis' registry, for people.
func (w *Worker) register(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, redisTime)
	defer cancel()
	if err := w.redis.Register(ctx, w.process()); err != nil {
		w.metrics.errors.WithLabelValues("register").Inc()
		return
	}
	w.redisAnswered()
}
