package workers

import (
	"slices"
	"time"

	"github.com/penguinmails/rookery/job"
)

// batch is what one Reconcile carries: attempts[i] is the one outcomes[i] is about.
type batch struct {
	attempts []*attempt
	outcomes []job.Outcome
}

func (b batch) halves() (batch, batch) {
	n := len(b.attempts) / 2
	return batch{b.attempts[:n], b.outcomes[:n]}, batch{b.attempts[n:], b.outcomes[n:]}
}

// divide returns the part of b that is about the jobs of ids, and the other. Unlike
// halves they are copies.
func (b batch) divide(ids []int64) (of, others batch) {
	for i, a := range b.attempts {
		part := &others
		if slices.Contains(ids, a.job.ID) {
			part = &of
		}
		part.attempts, part.outcomes = append(part.attempts, a), append(part.outcomes, b.outcomes[i])
	}
	return of, others
}

// putLocked has an outcome written with the next batch. There is one place for
// each attempt, so a batch never holds two of its outcomes: a final outcome
// replaces a waiting start (Postgres would apply one arbitrary row of the two, and
// might leave a finished job running), and nothing replaces a final one.
func (h *held) putLocked(a *attempt, o *job.Outcome) {
	if a.row != nil && !a.row.held {
		if !a.parked {
			a.parked = true
			h.parked++
		}
		a.outcome = *o
		return
	}
	if a.waiting {
		if o.Kind != job.Started {
			a.outcome = *o
		}
		return
	}
	a.waiting, a.outcome = true, *o
	h.waiting = append(h.waiting, a)
	switch len(h.waiting) {
	case 1:
		h.since = time.Now()
		signal(h.due)
	case h.full, job.MaxBatch:
		signal(h.due)
	}
}

// take moves up to job.MaxBatch outcomes into b, whose arrays are used again.
func (h *held) take(b batch) batch {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := min(len(h.waiting), job.MaxBatch)
	b.attempts = append(b.attempts[:0], h.waiting[:n]...)
	b.outcomes = b.outcomes[:0]
	for _, a := range b.attempts {
		a.waiting, a.sending = false, true
		a.outcome.Ref = a.ref() // the fence it has now
		b.outcomes = append(b.outcomes, a.outcome)
	}
	rest := copy(h.waiting, h.waiting[n:])
	clear(h.waiting[rest:])
	h.waiting = h.waiting[:rest]
	h.sending += n
	return b
}

// putBack returns a batch whose fate is not known. Sent again it does no harm: what
// was applied the first time is refused the second.
func (h *held) putBack(b batch) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sending -= len(b.attempts)
	for i, a := range b.attempts {
		a.sending = false
		if !a.waiting { // else a final outcome has come in place of this start
			h.putLocked(a, &b.outcomes[i])
		}
	}
}

// conclude lets go of a batch that Postgres has judged, or that is given up. What
// was only marked as running is held on.
func (h *held) conclude(b batch) {
	h.mu.Lock()
	h.sending -= len(b.attempts)
	for i, a := range b.attempts {
		a.sending = false
		if b.outcomes[i].Kind == job.Started {
			continue
		}
		if a.state == finished {
			a.state = over
		}
		h.removeLocked(a)
	}
	h.mu.Unlock()
	signal(h.freed)
}

// ripe returns how many outcomes wait, and for how long the first has.
func (h *held) ripe() (n int, waited time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.waiting) == 0 {
		return 0, 0
	}
	return len(h.waiting), time.Since(h.since)
}
