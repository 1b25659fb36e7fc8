package workers

import (
	"sync"
	"time"

	"github.com/penguinmails/rookery/job"
)

// held is every attempt this worker has a lease for, the slots they run in, and
// the outcomes that wait for Postgres. One mutex guards it all, so that of all who
// may end an attempt (its handler, watch, a heartbeat) exactly one does.
type held struct {
	slots int
	limit time.Duration // a lease not renewed for this long is not trusted
	full  int           // outcomes at which the writer is to look

	mu       sync.Mutex
	attempts []*attempt // in no order; attempt.place is the index
	running  int        // handlers that have not returned, the leaked ones included
	leaked   int        // of those: given up
	wanted   int        // free slots at which finish signals
	alone    bool       // the running one wants nothing beside it
	waiting  []*attempt // with an outcome for Postgres
	sending  int        // outcomes in the writer's hands
	since    time.Time  // when the first of waiting came
	rows     []*row     // ledger rows of this worker's own, in Postgres
	parked   int        // outcomes that wait for a row's answer

	freed chan struct{} // a slot, or room for outcomes, may be free
	due   chan struct{} // the writer should look
}

func newHeld(slots, buffer int, limit time.Duration) *held {
	return &held{slots: slots, limit: limit, full: fullBatch(buffer), wanted: 1, freed: make(chan struct{}, 1), due: make(chan struct{}, 1)}
}

// add begins to hold attempts, of one take or claim, whose lease was renewed by a call
// sent at renewed.
func (h *held) add(attempts []*attempt, renewed time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range attempts {
		a.renewed, a.place = renewed, len(h.attempts)
		h.attempts = append(h.attempts, a)
	}
	if r := attempts[0].row; r != nil {
		h.rows = append(h.rows, r)
	}
}

// removeLocked forgets a. Doing it twice is harmless.
func (h *held) removeLocked(a *attempt) {
	if a.place < 0 {
		return
	}
	last := len(h.attempts) - 1
	moved := h.attempts[last]
	h.attempts[a.place], moved.place = moved, a.place
	h.attempts[last] = nil
	h.attempts = h.attempts[:last]
	a.place = -1
}

// admit takes one slot for a at now. ok is false when it has to wait, for a slot or
// to be alone; gone is true when its lease ended before it began.
func (h *held) admit(a *attempt, now time.Time) (ok, gone bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if a.state == over {
		return false, true
	}
	if now.Sub(a.renewed) >= h.limit {
		// Frozen between take and run: somebody else may be running it by now.
		a.state = over
		h.removeLocked(a)
		return false, true
	}
	if h.running >= h.slots || h.alone || a.alone && h.running > h.leaked {
		return false, false
	}
	h.running++
	h.alone = a.alone
	a.state, a.began = running, now
	return true, false
}

// finish gives back a's slot and, if nobody ended the attempt before, has its
// outcome written. It reports whether that was so.
func (h *held) finish(a *attempt, o *job.Outcome) bool {
	h.mu.Lock()
	h.running--
	won := a.state == running
	switch {
	case won && a.left && a.row == nil:
		a.state = over
		h.removeLocked(a)
	case won:
		a.state = finished
		h.putLocked(a, o)
	}
	if a.leaked {
		h.leaked--
	}
	if a.alone && !a.leaked {
		h.alone = false
	}
	enough := h.slots-h.running >= h.wanted || h.running == h.leaked
	h.mu.Unlock()
	if enough {
		signal(h.freed)
	}
	return won
}

// want says at how many free slots finish is to signal, and reports whether fewer
// are free now.
func (h *held) want(free int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wanted = free
	return h.slots-h.running < free
}

// finishUnrun gives an attempt that is not run at all its outcome.
func (h *held) finishUnrun(a *attempt, o *job.Outcome) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if a.state == taken {
		a.state = finished
		h.putLocked(a, o)
	}
}

// dropLeased is drop for whoever heard of it from Redis: of an attempt that is held in
// Postgres, or is being moved there, Redis knows nothing.
func (h *held) dropLeased(a *attempt, now time.Time) (tell, lost bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if a.row != nil {
		return false, false
	}
	return h.dropLocked(a, now)
}

// drop: a is no longer this worker's. Its lease is not renewed any more; a final
// outcome that is known, or that a handler still returns, is sent all the same: the
// fence decides. It reports whether a handler must be told, and whether the attempt
// had no outcome yet.
func (h *held) drop(a *attempt, now time.Time) (tell, lost bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.dropLocked(a, now)
}

func (h *held) dropLocked(a *attempt, now time.Time) (tell, lost bool) {
	if a.lost || a.state == over {
		return false, false
	}
	a.lost = true
	switch a.state {
	case running:
		return h.endLocked(a, now), true
	case taken:
		a.state = over
		h.removeLocked(a)
		signal(h.freed) // fetch takes nothing while this one waits to begin
		return false, true
	case finished, over:
	}
	return false, false
}

// endLocked notes when a's handler was told to stop; it reports whether that is news.
func (h *held) endLocked(a *attempt, now time.Time) bool {
	if a.state != running || !a.ended.IsZero() {
		return false
	}
	a.ended = now
	return true
}

// of returns what is held of q in Redis: all whose lease is to be renewed there. What
// Postgres was asked to hold is among it until the answer: it may say no.
func (h *held) of(q *queue) []*attempt {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []*attempt
	for _, a := range h.attempts {
		if a.queue == q && !a.lost && (a.row == nil || !a.row.held) {
			list = append(list, a)
		}
	}
	return list
}

// renew notes that the leases of attempts were renewed, in Redis, by a call sent at
// sent.
func (h *held) renew(attempts []*attempt, sent time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range attempts {
		if a.row == nil && sent.After(a.renewed) {
			a.renewed = sent
		}
	}
}

// handlers returns the attempts whose handler has not returned and is waited for.
func (h *held) handlers() []*attempt {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []*attempt
	for _, a := range h.attempts {
		if a.state == running {
			list = append(list, a)
		}
	}
	return list
}

type counts struct{ attempts, running, leaked, outcomes, holding int }

func (h *held) counts() counts {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := counts{attempts: len(h.attempts), running: h.running, leaked: h.leaked, outcomes: len(h.waiting) + h.sending + h.parked}
	if len(h.rows) > 0 {
		for _, a := range h.attempts {
			if a.row != nil {
				c.holding++
			}
		}
	}
	return c
}
