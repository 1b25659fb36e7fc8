package workers

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/penguinmails/rookery/job"
)

// row is a ledger row of this worker's own, which holds attempts in Postgres: their
// lease while Redis is away, or while this worker cannot follow it.
//
//	leased in Redis ──── 7 s without renewal ───▶ asked ──── answer ───▶ held
//	                                                │                      │ renewed every 5 s
//	                            not in the answer: over          not in the answer: over
//
// While it is asked nobody here knows which fence its attempts have: Postgres may
// have moved them and the answer be lost. The same question is asked until it is
// answered; until then no outcome of theirs is sent, and their old leases are renewed
// in Redis, in case it comes back first, without counting as renewed.
type row struct {
	dispatch int64
	queue    *queue
	asked    []*attempt // until it is held: who is to be
	held     bool
	again    time.Time // not before: the next call
}

// holdEvery is how often hold looks.
const holdEvery = 250 * time.Millisecond

// hold moves attempts to Postgres whose lease in Redis was not renewed for a beat and
// two fifths: 7 of their 15 s, so that 6 s are left for the answer; and those of a queue
// whose next epoch, 3 s after Postgres told of it, is not open in the Redis that this
// worker reaches: it may be one that all others have left. It renews what is held. A
// held attempt stays in Postgres until its end, also when Redis is back.
func (w *Worker) hold(ctx context.Context) {
	for pause(ctx, holdEvery) {
		now := time.Now()
		for _, r := range w.held.stray(now, w.o.Beat*7/5, w.o.Beat*3/5) {
			w.log.WarnContext(ctx, "redis is silent, attempts are held in postgres", keyQueue, r.queue.name, keyCount, len(r.asked))
		}
		var all sync.WaitGroup
		asked, held := w.held.rowsDue(now)
		for _, r := range asked {
			all.Go(func() { w.ask(ctx, r) })
		}
		for part := range slices.Chunk(held, job.MaxBatch) {
			all.Go(func() { w.renewHeld(ctx, part) })
		}
		all.Wait()
	}
}

// ask has Postgres hold the attempts of r.
func (w *Worker) ask(ctx context.Context, r *row) {
	refs := w.held.refsOf(r)
	ctx, cancel := context.WithTimeout(ctx, w.o.Beat)
	defer cancel()
	sent := time.Now()
	ids, err := w.store.Hold(ctx, job.Hold{QueueName: r.queue.name, WorkerID: w.o.ID, DispatchID: r.dispatch, Lease: w.o.Lease, Refs: refs})
	var busy *job.BusyError
	switch undone := errors.Is(err, job.ErrUndone); {
	case undone && errors.As(err, &busy):
		w.held.split(r, busy.IDs, sent.Add(w.o.Beat/5))
	case undone:
		w.held.unask(r) // its attempts have the fence they had; the next look asks anew
	}
	if err != nil {
		w.holdFailed(ctx, []*row{r}, sent, err)
		return
	}
	w.postgresAnswered()
	over := w.held.answered(r, ids, sent, w.o.Beat)
	for _, a := range over {
		w.lose(a, sent)
	}
}

// renewHeld renews rows. A row that was taken back, or a job of it that is over, does
// not come back.
func (w *Worker) renewHeld(ctx context.Context, rows []*row) {
	ctx, cancel := context.WithTimeout(ctx, w.o.Beat)
	defer cancel()
	ids := make([]int64, len(rows))
	for i, r := range rows {
		ids[i] = r.dispatch
	}
	sent := time.Now()
	current, cancelled, err := w.store.Renew(ctx, w.o.ID, w.o.Lease, ids)
	if err != nil {
		w.holdFailed(ctx, rows, sent, err)
		return
	}
	w.postgresAnswered()
	over, off := w.held.renewed(rows, set(current), set(cancelled), sent, w.o.Beat)
	for _, a := range over {
		w.lose(a, sent)
	}
	for _, a := range off {
		w.end(a, sent, job.ErrCancelled)
	}
}

// holdFailed has the call for rows, sent at sent, made again: a second after that, and
// so at once when it was waited for in vain. A call that a Postgres that stood still
// did not answer in a beat leaves a second for the next.
func (w *Worker) holdFailed(ctx context.Context, rows []*row, sent time.Time, err error) {
	w.metrics.errors.WithLabelValues("hold").Inc()
	w.log.WarnContext(ctx, "cannot hold attempts in postgres", keyCount, len(rows), keyError, err)
	w.held.rest(rows, sent.Add(w.o.Beat/5))
}

// stray makes rows for the attempts whose lease was not renewed for silence, or whose
// epoch ended patience ago. One whose outcome is on its way to Postgres needs no lease
// there, and must keep its fence until the verdict. One that is being adopted is not this
// worker's to move, nor is one whose lease is not trusted any more: this process stood
// still, perhaps, and Redis did not; somebody else may have it there.
func (h *held) stray(now time.Time, silence, patience time.Duration) (rows []*row) {
	h.mu.Lock()
	defer h.mu.Unlock()
	open := map[*queue]*row{}
	for _, a := range h.attempts {
		if now.Sub(a.renewed) >= h.limit || a.row != nil || a.lost || a.adopted && a.state == taken || a.waiting || a.sending || a.state != taken && a.state != running || now.Sub(a.renewed) < silence && !a.queue.left(now, patience) {
			continue
		}
		r := open[a.queue]
		if r == nil || len(r.asked) == job.MaxBatch {
			r = &row{dispatch: job.NewDispatchID(), queue: a.queue}
			open[a.queue], rows = r, append(rows, r)
		}
		a.row, r.asked = r, append(r.asked, a)
	}
	h.rows = append(h.rows, rows...)
	return rows
}

// rowsDue returns the rows whose call is due, and forgets those that hold nothing any
// more: relays sweep them away.
func (h *held) rowsDue(now time.Time) (asked, held []*row) {
	h.mu.Lock()
	defer h.mu.Unlock()
	used := make(map[*row]bool, len(h.rows))
	for _, a := range h.attempts {
		used[a.row] = true
	}
	h.rows = slices.DeleteFunc(h.rows, func(r *row) bool { return !used[r] })
	for _, r := range h.rows {
		switch {
		case now.Before(r.again):
		case r.held:
			held = append(held, r)
		default:
			asked = append(asked, r)
		}
	}
	return asked, held
}

func (h *held) refsOf(r *row) []job.Ref {
	h.mu.Lock()
	defer h.mu.Unlock()
	return refs(r.asked)
}

// answered takes Postgres' answer to a row that was asked by a call sent at sent. It
// returns the attempts that are over.
func (h *held) answered(r *row, ids []int64, sent time.Time, beat time.Duration) (over []*attempt) {
	holds := make(map[int64]bool, len(ids))
	for _, id := range ids {
		holds[id] = true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range r.asked {
		if holds[a.job.ID] {
			a.fence.Store(r.dispatch)
			a.renewed = sent
		} else {
			a.row = nil
			over = append(over, a)
		}
	}
	r.held, r.again = true, sent.Add(beat)
	h.unparkLocked(r)
	return over
}

// unask gives up a question that Postgres has certainly not acted on.
func (h *held) unask(r *row) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range r.asked {
		a.row = nil
	}
	h.unparkLocked(r)
}

// split gives the attempts of r whose jobs somebody has locked a row of their own, which
// is asked again at until; the others are asked again without them, at once. Postgres
// has certainly not acted on the question.
func (h *held) split(r *row, locked []int64, until time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	own := &row{dispatch: job.NewDispatchID(), queue: r.queue, again: until}
	r.asked = slices.DeleteFunc(r.asked, func(a *attempt) bool {
		if !slices.Contains(locked, a.job.ID) {
			return false
		}
		a.row, own.asked = own, append(own.asked, a)
		return true
	})
	h.rows = append(h.rows, own)
}

// unparkLocked lets outcomes go whose fence is known again.
func (h *held) unparkLocked(r *row) {
	for _, a := range r.asked {
		if a.parked {
			a.parked = false
			h.parked--
			if a.left && a.row == nil {
				a.state = over
				h.removeLocked(a)
				continue
			}
			h.putLocked(a, &a.outcome)
		}
	}
	r.asked = nil
}

// renewed takes Postgres' answer to a renewal of rows that was sent at sent. What has
// an outcome is left to its verdict.
func (h *held) renewed(rows []*row, current, cancelled map[job.Ref]bool, sent time.Time, beat time.Duration) (over, off []*attempt) {
	h.mu.Lock()
	defer h.mu.Unlock()
	mine := make(map[*row]bool, len(rows))
	for _, r := range rows {
		mine[r], r.again = true, sent.Add(beat)
	}
	for _, a := range h.attempts {
		if !mine[a.row] || a.state != taken && a.state != running {
			continue
		}
		switch ref := a.ref(); {
		case current[ref]:
			a.renewed = sent
		case cancelled[ref]:
			a.renewed, off = sent, append(off, a)
		default:
			over = append(over, a)
		}
	}
	return over, off
}

// rest has the next call for rows wait until then.
func (h *held) rest(rows []*row, until time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range rows {
		r.again = until
	}
}
