package pull

import (
	"context"
	"errors"
	"time"

	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/workers"
)

// lease is a client's right to one attempt, which a worker of this server holds.
type lease struct {
	hub    *Hub
	desk   *desk
	name   job.LeaseName
	job    *workers.Job // nil: it is being adopted
	begun  time.Time
	client string // its worker_id, as far as it is known here

	// Guarded by hub.mu.
	expires  time.Time
	span     time.Duration // the longest that its client has asked for here
	adopted  bool          // another server may have it too
	extended bool          // its client has been heard since it began
	verb     job.LeaseVerb // what the client, the first to do so, ended it by; "": nothing
	dead     bool          // of a nack: never again
	answer   error         // what the handler is to return for that
	end      string        // how it ended, one of the outcomes in metrics.go; "": it has not
	endedAt  time.Time
	status   job.Status // Postgres' verdict, once judged is closed; "": it was over

	wake   chan struct{} // to the handler: expires or answer has changed
	judged chan struct{} // closed with the verdict of verb
}

func newLease(d *desk, j *workers.Job, name job.LeaseName) *lease {
	now := time.Now()
	return &lease{
		hub: d.hub, desk: d, name: name, job: j, begun: now, expires: now.Add(name.Length), span: name.Length,
		wake: make(chan struct{}, 1), judged: make(chan struct{}),
	}
}

// live is the handler's time: it returns when the lease has ended, with what that means
// for the attempt.
func (l *lease) live(ctx context.Context) error {
	t := time.NewTimer(l.name.Length)
	defer t.Stop()
	l.poke() // it may have been extended before this
	for {
		select {
		case <-ctx.Done():
			l.hub.mu.Lock()
			defer l.hub.mu.Unlock()
			return l.hub.finishLocked(l, context.Cause(ctx))
		case <-l.wake:
		case <-t.C:
		}
		left, answer := l.hub.look(l, time.Now())
		if left <= 0 {
			return answer
		}
		t.Reset(left)
	}
}

// look returns how long l has to live, or, with nothing left, how it ended.
func (h *Hub) look(l *lease, now time.Time) (left time.Duration, answer error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	left = l.expires.Sub(now)
	if _, asked, _ := l.job.Leased(); asked {
		left += heldGrace(l.span)
	}
	if left > 0 && l.verb == "" {
		return left, nil
	}
	return 0, h.finishLocked(l, workers.ErrAbandoned)
}

// heldGrace is how much longer a lease of so much lives whose attempt is held in
// Postgres, or is about to be, as one in Redis lives on beyond the client's. There the attempt would not end
// with this server, and its client may have been told as late as this, by one that has it
// too, to come here: two beats until that one knows, and the time between two of the
// client's own.
func heldGrace(length time.Duration) time.Duration { return job.Lease + length/3 }

// finishLocked ends l: by what the client has said or, if it has said nothing, by cause.
func (h *Hub) finishLocked(l *lease, cause error) error {
	answer := l.answer
	if l.verb == "" {
		answer, l.end = cause, endOf(cause)
		if l.end == endLost || l.end == endShutdown && (l.extended || l.dueLocked(time.Now())) {
			// Its client asks another server for more, or has, and that one keeps it: a job that
			// is put back from here would run beside it.
			answer = workers.ErrAbandoned
		}
	} else {
		l.end = string(l.verb)
	}
	l.endedAt = time.Now()
	l.desk.leases--
	h.live--
	if l.verb == verbUnseen {
		delete(h.leases, l.name.Ref) // nobody knows its token
	} else {
		h.ended = append(h.ended, l)
	}
	h.forgetLocked(l.endedAt)
	h.m.ended.WithLabelValues(l.desk.queue, l.end).Inc()
	return answer
}

// dueLocked reports whether the client of a lease that it has not extended here should have
// extended it by now: it beats three times in a lease, and so has at another server.
func (l *lease) dueLocked(now time.Time) bool { return now.Sub(l.begun) >= l.name.Length/3 }

// verbUnseen ends a lease of which no client has heard.
const verbUnseen job.LeaseVerb = "unseen"

func endOf(cause error) string {
	switch {
	case errors.Is(cause, workers.ErrAbandoned):
		return endExpired
	case errors.Is(cause, job.ErrCancelled):
		return endCancelled
	case errors.Is(cause, job.ErrShutdown):
		return endShutdown
	}
	return endLost
}

// How long, and how many, ended leases are remembered, so that a heartbeat can tell a
// job that was called off from one that was lost, and an ack that is sent again has the
// same answer.
const (
	rememberFor  = 2 * time.Minute
	rememberMost = 20_000
)

// forgetLocked forgets leases that ended long ago.
func (h *Hub) forgetLocked(now time.Time) {
	n := 0
	for n < len(h.ended) && (len(h.ended)-n > rememberMost || now.Sub(h.ended[n].endedAt) >= rememberFor) {
		if ref := h.ended[n].name.Ref; h.leases[ref] == h.ended[n] {
			delete(h.leases, ref)
		}
		h.ended[n] = nil
		n++
	}
	h.ended = h.ended[n:]
}

// endLocked has the handler return answer for verb, unless the lease has ended already.
func (l *lease) endLocked(verb job.LeaseVerb, answer error) bool {
	if l.verb != "" || l.end != "" {
		return false
	}
	l.verb, l.answer = verb, answer
	l.poke()
	return true
}

func (l *lease) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// judge takes Postgres' verdict on the attempt of j.
func (h *Hub) judge(j *workers.Job, now job.Status) {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.leases[j.Ref()]
	if l == nil || l.job != j || l.verb == "" {
		return
	}
	l.status = now
	close(l.judged)
}
