package pull

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/penguinmails/rookery/job"
)

// verdictTime is how long a client is kept waiting for Postgres.
const verdictTime = 10 * time.Second

// Settle does what a client wants with a lease, and returns when Postgres has it. Errors:
// [job.ErrLeaseUnknown]; [job.ErrLeaseLost] when the attempt is over or the token is not
// that of the lease; [job.ErrLeaseElsewhere] of an extend; [job.ErrUnavailable] when
// Postgres has not answered: the same may be asked again, and has the same answer.
func (h *Hub) Settle(ctx context.Context, op job.LeaseOp) (job.LeaseResult, error) {
	name, err := job.ParseLeaseID(op.ID)
	if err != nil {
		return job.LeaseResult{}, err
	}
	ours, err := h.keys.opens(ctx, op.LeaseKey)
	if err != nil {
		return job.LeaseResult{}, fmt.Errorf("settle lease: %w", err)
	}
	if !ours {
		return job.LeaseResult{}, job.ErrLeaseLost
	}
	if op.Verb == job.LeaseExtend {
		at, err := h.extend(ctx, name, op.Lease)
		if errors.Is(err, job.ErrCancelled) {
			err = job.ErrLeaseLost
		}
		return job.LeaseResult{ExpiresAt: at.UTC()}, err
	}
	switch l, state := h.begin(name.Ref, op); state {
	case begun:
		return h.awaitVerdict(ctx, l, op)
	case over:
		return job.LeaseResult{}, job.ErrLeaseLost
	case unknown:
	}
	return h.direct(ctx, name.Ref, op)
}

// extend lets a lease live for d from now, wherever it lived until now; 0: as long as it
// was asked for.
func (h *Hub) extend(ctx context.Context, name job.LeaseName, d time.Duration) (until time.Time, err error) {
	until, err = h.extendHere(name, d)
	if errors.Is(err, job.ErrLeaseElsewhere) {
		return h.adopt(ctx, name, d, "")
	}
	return until, err
}

// extendHere extends a lease that lives here. [job.ErrLeaseElsewhere]: it does not, or not
// any more, though nobody here has ended it.
func (h *Hub) extendHere(name job.LeaseName, d time.Duration) (until time.Time, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.leases[name.Ref]
	switch {
	case l == nil:
		return until, job.ErrLeaseElsewhere
	case l.end == endCancelled:
		return until, job.ErrCancelled
	case l.verb != "":
		return until, job.ErrLeaseLost
	case l.end != "":
		return until, job.ErrLeaseElsewhere
	case l.adopted:
		if fresh, _, held := l.job.Leased(); !fresh && !held {
			return until, job.ErrLeaseElsewhere
		}
	}
	d = cmp.Or(d, name.Length)
	l.expires, l.span, l.extended = time.Now().Add(d), max(l.span, d), true
	l.poke()
	return l.expires, nil
}

// begun, over, unknown say what a lease is for somebody who wants to end it.
type standing int

const (
	unknown standing = iota // not held here, or not any more: the fence knows
	begun                   // ended by this verb, now or when it was sent before
	over                    // ended otherwise
)

// begin ends a lease that lives here as op says.
func (h *Hub) begin(ref job.Ref, op job.LeaseOp) (*lease, standing) {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.leases[ref]
	switch {
	case l == nil:
		return nil, unknown
	case l.verb == op.Verb && l.dead == op.Dead:
		return l, begun
	case l.endLocked(op.Verb, answerOf(op)):
		l.dead = op.Dead
		return l, begun
	case l.verb != "" || l.end == endCancelled:
		return nil, over
	}
	return nil, unknown // the client is late; perhaps nobody has noticed yet
}

// errNoVerdict: whether what a client said counts is not known yet.
var errNoVerdict = fmt.Errorf("no verdict after %s: %w", verdictTime, job.ErrUnavailable)

// await returns what became of what the client said of a lease that lives here.
//
// Without a verdict Postgres is away, or the worker has dropped the attempt without a
// word: the same is told to Postgres once more, whose fence takes it once. What was
// refused may have been sent before, to another server that has the lease too, or be of
// an attempt that such a server has just moved to Postgres: the job knows.
func (h *Hub) awaitVerdict(ctx context.Context, l *lease, op job.LeaseOp) (job.LeaseResult, error) {
	r, err := l.await(ctx)
	silent := errors.Is(err, errNoVerdict)
	if !silent && !errors.Is(err, job.ErrLeaseLost) {
		return r, err
	}
	r, err = h.direct(ctx, l.name.Ref, op)
	if silent && errors.Is(err, job.ErrLeaseLost) {
		return l.verdict() // it may have come meanwhile
	}
	return r, err
}

// await waits for Postgres' verdict on what the client said.
func (l *lease) await(ctx context.Context) (job.LeaseResult, error) {
	t := time.NewTimer(verdictTime)
	defer t.Stop()
	select {
	case <-l.judged:
	case <-t.C:
		return job.LeaseResult{}, errNoVerdict
	case <-ctx.Done():
		return job.LeaseResult{}, ctx.Err()
	}
	return l.verdict()
}

// verdict is what Postgres has said; without a word from it the attempt is over.
func (l *lease) verdict() (job.LeaseResult, error) {
	l.hub.mu.Lock()
	defer l.hub.mu.Unlock()
	if l.status == "" {
		return job.LeaseResult{}, job.ErrLeaseLost
	}
	return job.LeaseResult{Status: l.status}, nil
}

// answerOf is what a handler returns for op.
func answerOf(op job.LeaseOp) error {
	switch op.Verb {
	case job.LeaseNack:
		err := errors.New(op.Error)
		switch {
		case op.Dead:
			return job.Discard(err)
		case op.RetryIn != nil:
			return job.RetryIn(*op.RetryIn, err)
		}
		return err
	case job.LeaseRelease:
		return job.Snooze(0)
	case job.LeaseAck, job.LeaseExtend:
	}
	return nil
}

// direct tells Postgres what became of an attempt that this server does not hold. The
// fence decides: it is accepted if the attempt is current, as it is while the server
// that gave the lease lives, and until a relay has taken the job back when it does not.
// That server hears of it by what Redis and Postgres say of the attempt, and what it
// still has to say is refused.
//
// A release is the same: it draws no new fence by itself, but the job's next dispatch
// does. An attempt that has moved to another fence, because that server holds it in
// Postgres with Redis away, ends by that one: the job says which it had before.
func (h *Hub) direct(ctx context.Context, ref job.Ref, op job.LeaseOp) (job.LeaseResult, error) {
	r, err := h.tell(ctx, ref, op)
	switch {
	case err == nil:
		h.m.elsewhere.WithLabelValues("accepted").Inc()
	case errors.Is(err, job.ErrLeaseLost):
		h.m.elsewhere.WithLabelValues("refused").Inc()
	}
	return r, err
}

// tell has Postgres record op under the fence, whoever holds the attempt.
// [job.ErrLeaseLost]: it is over, and not by the same being said before, as far as
// Postgres can tell. It can of an ack until the job is sent again by hand, of a nack as
// long as the job is kept, and of a release not at all.
//
// What is refused was over or moved between the look and the outcome: the next look says
// which. It may be the same, sent before, that another server was writing just then.
func (h *Hub) tell(ctx context.Context, ref job.Ref, op job.LeaseOp) (job.LeaseResult, error) {
	for range 3 { // it is moved once at most
		s, err := h.store.LeaseStanding(ctx, ref)
		switch {
		case errors.Is(err, job.ErrNotFound): // deleted meanwhile
			return job.LeaseResult{}, job.ErrLeaseLost
		case err != nil:
			return job.LeaseResult{}, fmt.Errorf("settle lease: %w", err)
		}
		o := outcomeOf(s.Job, op)
		if !s.Current() {
			now, sentBefore := s.Made(o.Kind)
			if !sentBefore {
				return job.LeaseResult{}, job.ErrLeaseLost
			}
			return job.LeaseResult{Status: now}, nil
		}
		verdicts, err := h.store.Reconcile(ctx, h.o.ID, []job.Outcome{o})
		switch {
		case err != nil:
			return job.LeaseResult{}, fmt.Errorf("settle lease: %w", err)
		case len(verdicts) == 1:
			return job.LeaseResult{Status: verdicts[0].Status}, nil
		}
	}
	return job.LeaseResult{}, fmt.Errorf("settle lease: it is moved again and again: %w", job.ErrUnavailable)
}

// outcomeOf is what op means for the present attempt of j.
func outcomeOf(j job.Job, op job.LeaseOp) job.Outcome {
	var ran time.Duration
	if j.Status == job.Running && j.StartedAt != nil {
		ran = max(time.Since(*j.StartedAt), 0) // two clocks: for people
	}
	return job.OutcomeOf(job.Ref{ID: j.ID, DispatchID: j.DispatchID}, answerOf(op), ran, job.Backoff(int(j.FailureCount)+1))
}
