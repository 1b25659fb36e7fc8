package workers

import (
	"context"
	"errors"
	"time"

	"github.com/penguinmails/rookery/job"
)

var (
	// ErrUnseen, returned by a handler, says that nobody has seen the attempt: its job
	// goes back to the taking end of its queue, as if it had not been taken. When that
	// is not possible any more it goes back through Postgres, and no failure is counted.
	ErrUnseen = errors.New("nobody has seen the attempt")
	// ErrAbandoned, returned by a handler, says that whoever ran the attempt has fallen
	// silent. Its lease is not renewed any more and ends like that of a worker that
	// crashed: a relay takes the job back and counts a loss, so that jobs that kill
	// whoever runs them are found out.
	ErrAbandoned = errors.New("the attempt was abandoned")
)

// desert ends an attempt without writing an outcome if err asks for that and it can be had; else
// the attempt is judged, as a wish to put the job back.
func (w *Worker) desert(ctx context.Context, a *attempt, err error, ran time.Duration) bool {
	if s, ok := settledOf(err); ok {
		return w.settled(a, s, ran)
	}
	switch {
	case errors.Is(err, ErrAbandoned):
		return w.held.desert(a, false)
	case errors.Is(err, ErrUnseen):
		epoch, _ := a.queue.leased()
		if epoch != a.epoch || !w.held.desert(a, true) {
			return false
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), redisTime)
		defer cancel()
		w.releaseCall(ctx, a.queue, epoch, []job.Envelope{a.job.Envelope})
		return true
	}
	return false
}

// desert gives back a's slot and forgets it: its lease in Redis is no longer renewed. It
// does nothing and returns false for an attempt that is held in Postgres, or is to be:
// its row is renewed for all that is in it, so it needs an outcome. pristine wants an
// attempt that was not marked as running either: back in the window it would be a job
// that waits and is said to run. What turns out not to be held in Postgres is forgotten then.
func (h *held) desert(a *attempt, pristine bool) bool {
	h.mu.Lock()
	touched := a.marked || a.lost
	ok := a.state == running && a.row == nil && !a.leaked && (!pristine || !touched)
	if ok {
		h.running--
		a.state = over
		if a.alone {
			h.alone = false
		}
		h.removeLocked(a)
	}
	a.left = !ok && !pristine && a.row != nil && !a.row.held
	h.mu.Unlock()
	if ok {
		signal(h.freed)
	}
	return ok
}

// owes reports whether the last round left something to be answered for: a bell that
// others have not heard because this worker has, or a take or claim without an answer,
// which may have brought jobs.
func (w *Worker) owes() bool {
	for _, q := range w.queues {
		if q.rung || q.token != "" || q.claims.id != 0 {
			return true
		}
	}
	return false
}

// settle answers for that, while nobody wants a job: it takes what it owes a take, and
// gives everything back, which rings the bell for others. With nothing owed it waits.
func (w *Worker) settle(ctx, life context.Context) {
	if w.owes() {
		w.release(life, nil)
	}
	if w.owes() { // Redis or Postgres does not answer
		short, cancel := context.WithTimeout(ctx, waitAtMost)
		defer cancel()
		ctx = short
	}
	w.awaitRoom(ctx)
}
