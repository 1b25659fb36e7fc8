package workers

import (
	"context"
	"slices"
	"time"

	"github.com/penguinmails/rookery/job"
)

// begin starts what was taken, as far as there are slots, and returns the rest.
// Jobs that may be poison pills start last and alone: what they take with them when
// they kill the process is nobody else's.
func (w *Worker) begin(base context.Context, waiting []*attempt) []*attempt {
	if len(waiting) == 0 {
		return waiting
	}
	slices.SortStableFunc(waiting, func(a, b *attempt) int { return aloneLast(a) - aloneLast(b) })
	now := time.Now()
	for i, a := range waiting {
		w.prepare(base, a, now)
		switch ok, gone := w.held.admit(a, now); {
		case ok:
			w.handlers.Add(1)
			w.crew.begin(a)
		case gone:
			a.cancel(job.ErrLeaseLost)
			w.o.Demand.took(-1)
		default:
			rest := copy(waiting, waiting[i:])
			clear(waiting[rest:])
			return waiting[:rest]
		}
	}
	clear(waiting)
	return waiting[:0]
}

func aloneLast(a *attempt) int {
	if a.alone {
		return 1
	}
	return 0
}

// prepare makes the handler's context, before anybody can want to end it.
func (w *Worker) prepare(base context.Context, a *attempt, now time.Time) {
	if a.cancel == nil {
		a.ctx.Context, a.cancel = context.WithCancelCause(base)
	}
	if a.route.timeout > 0 {
		a.ctx.at = now.Add(a.route.timeout)
	}
}

// release gives back what was taken and not begun, and what a take without an
// answer may have brought, so that others have it now and not after a lease. What is
// held in Postgres goes back there, and so does what an ended epoch brought: its ledger
// row is of that epoch, so a copy in the present window would be settled where it lies,
// and run all the same.
func (w *Worker) release(life context.Context, waiting []*attempt) {
	f := fetcher{waiting: waiting}
	for _, q := range w.queues {
		if q.token != "" || q.rung {
			q.again = time.Time{}
			w.take(life, q, 1, &f)
		}
		if q.claims.id != 0 {
			q.claims.again = time.Time{}
			w.claim(life, q, 1, &f)
		}
	}
	type window struct {
		queue *queue
		epoch int64
	}
	back := map[window][]job.Envelope{}
	now := time.Now()
	for _, a := range f.waiting {
		if epoch, _ := a.queue.leased(); epoch == a.epoch {
			if _, lost := w.held.dropLeased(a, now); lost {
				to := window{a.queue, a.epoch}
				back[to] = append(back[to], a.job.Envelope)
				continue
			}
		}
		o := job.OutcomeOf(a.ref(), job.Snooze(0), 0, 0)
		w.held.finishUnrun(a, &o)
	}
	for to, jobs := range back {
		for part := range slices.Chunk(jobs, job.MaxBatch) {
			w.releaseCall(life, to.queue, to.epoch, part)
		}
	}
}

// releaseCall names the epoch of the take: in a newer one, begun this moment, the
// jobs are refused and left to their leases.
func (w *Worker) releaseCall(ctx context.Context, q *queue, epoch int64, jobs []job.Envelope) {
	ctx, cancel := context.WithTimeout(ctx, redisTime)
	defer cancel()
	if err := w.redis.Release(ctx, q.name, epoch, jobs); err != nil {
		w.metrics.errors.WithLabelValues("release").Inc()
		w.log.WarnContext(ctx, "jobs not begun are left to their leases", keyQueue, q.name, keyCount, len(jobs), keyError, err)
	}
}
