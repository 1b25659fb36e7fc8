package workers

import (
	"context"
	"fmt"
	"time"

	"github.com/penguinmails/rookery/job"
)

// Adopt holds an attempt that another worker has leased, and perhaps still holds: from
// now on this one renews its lease in Redis too, and calls the handler of e, whose lease
// that makes no longer than its own attempt's. It is for workers whose handlers wait for
// somebody else, who has come here from there.
//
//	Redis    the lease is renewed, if it is there: no relay takes it back from now on
//	Postgres the attempt is current: none has taken it back before
//
// Both may say how the attempt ended; the fence believes the first, and the other finds
// its lease gone, or Postgres says so at its next look (see doubt). Errors: [job.ErrLeaseLost], the attempt is over; [job.ErrCancelled], it
// was called off; [job.ErrTooManyLeases], no slot is free; [job.ErrUnavailable], Redis or
// Postgres does not answer, the lease is not in Redis at this moment, or the worker does
// not run: the same may be asked again.
func (w *Worker) Adopt(ctx context.Context, e *job.Envelope) error {
	a, err := w.adoptLease(ctx, e)
	if err != nil {
		return fmt.Errorf("adopt: %w", err)
	}
	current, err := w.verifyCall(ctx, []job.Ref{a.ref()})
	switch {
	case err != nil:
		err = fmt.Errorf("%w: %w", job.ErrUnavailable, err)
	case len(current) == 0:
		err = job.ErrLeaseLost
	default:
		err = w.beginAdopted(ctx, a)
	}
	if err != nil {
		w.held.drop(a, time.Now())
		return fmt.Errorf("adopt: %w", err)
	}
	return nil
}

// adoptLease renews the lease in Redis and holds its attempt. A take excludes a join, and
// so does this: what it brings is held before a join lists what is held, or leased in
// the new epoch.
func (w *Worker) adoptLease(ctx context.Context, e *job.Envelope) (*attempt, error) {
	q := w.queueOf(e.QueueName)
	if q == nil {
		return nil, fmt.Errorf("%w: it is of queue %s, which this worker does not take from", job.ErrUnavailable, e.QueueName)
	}
	q.taking.Lock()
	defer q.taking.Unlock()
	epoch, ok := q.open()
	if !ok || epoch == 0 || w.postgresAt.Load() == 0 {
		return nil, fmt.Errorf("%w: the queue's epoch is not known yet", job.ErrUnavailable)
	}
	a := newAttempt(e, q, w.routes.find(q.name, e.Kind), nil)
	a.epoch, a.adopted = epoch, true
	ctx, cancel := context.WithTimeout(ctx, redisTime)
	defer cancel()
	sent := time.Now()
	gone, cancelled, err := w.leases.Beat(ctx, q.name, epoch, w.o.Lease, []job.Ref{a.ref()})
	if err != nil {
		if !w.stale(ctx, q, epoch, err) {
			q.unanswered(sent)
			w.metrics.errors.WithLabelValues("beat").Inc()
		}
		return nil, fmt.Errorf("%w: %w", job.ErrUnavailable, err)
	}
	w.redisAnswered()
	q.accepted(epoch)
	switch {
	case len(cancelled) > 0:
		return nil, job.ErrCancelled
	case len(gone) > 0:
		return nil, w.whyGone(ctx, a)
	}
	w.held.add([]*attempt{a}, sent)
	return a, nil
}

// whyGone says what it means that an attempt has no lease in Redis. Postgres may still
// have it as current: its worker is yet to announce it in a new epoch, or a relay is
// about to take it back.
func (w *Worker) whyGone(ctx context.Context, a *attempt) error {
	switch current, err := w.verifyCall(ctx, []job.Ref{a.ref()}); {
	case err != nil:
		return fmt.Errorf("%w: %w", job.ErrUnavailable, err)
	case len(current) == 0:
		return job.ErrLeaseLost
	}
	return fmt.Errorf("%w: it is not leased at this moment", job.ErrUnavailable)
}

// beginAdopted calls a's handler. Once Run has begun to stop nothing is adopted.
func (w *Worker) beginAdopted(ctx context.Context, a *attempt) error {
	w.adopting.Lock()
	defer w.adopting.Unlock()
	if w.ending {
		return fmt.Errorf("%w: the worker is stopping", job.ErrUnavailable)
	}
	now := time.Now()
	w.prepare(context.WithoutCancel(ctx), a, now)
	ok, gone := w.held.admit(a, now)
	switch {
	case ok:
		w.handlers.Add(1)
		w.crew.begin(a)
		return nil
	case gone:
		a.cancel(job.ErrLeaseLost)
		return fmt.Errorf("%w: its lease was not renewed in time", job.ErrUnavailable)
	}
	a.cancel(job.ErrLeaseLost)
	return job.ErrTooManyLeases
}

// adoptNoMore returns when nothing is being adopted, and nothing will be.
func (w *Worker) adoptNoMore() {
	w.adopting.Lock()
	defer w.adopting.Unlock()
	w.ending = true
}

// Leased says what the lease of the attempt is worth, for a handler that waits for
// somebody else. fresh: it was renewed about as lately as a beat makes it. asked: with Redis
// away the worker has asked Postgres to hold it. held: and Postgres does; nobody else has it then.
func (j *Job) Leased() (fresh, asked, held bool) {
	a := j.attempt
	if a == nil {
		return false, false, false
	}
	h := a.queue.held
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Since(a.renewed) < h.limit*6/13, a.row != nil, a.row != nil && a.row.held
}

func (w *Worker) queueOf(name string) *queue {
	for _, q := range w.queues {
		if q.name == name {
			return q
		}
	}
	return nil
}
