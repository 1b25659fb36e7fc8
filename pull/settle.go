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
	_, ref, err := job.ParseLeaseID(op.ID)
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
		at, err := h.extend(op.ID, op.Lease)
		return job.LeaseResult{ExpiresAt: at.UTC()}, err
	}
	switch l, state := h.begin(op); state {
	case begun:
		return l.await(ctx)
	case over:
		return job.LeaseResult{}, job.ErrLeaseLost
	case unknown:
	}
	return h.direct(ctx, ref, op)
}

// extend lets a lease live for d from now; 0: as long as it was asked for.
func (h *Hub) extend(id string, d time.Duration) (until time.Time, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.leases[id]
	switch {
	case l == nil:
		return until, job.ErrLeaseElsewhere
	case l.end != "" || l.verb != "":
		return until, job.ErrLeaseLost
	}
	l.expires = time.Now().Add(cmp.Or(d, l.length))
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
func (h *Hub) begin(op job.LeaseOp) (*lease, standing) {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.leases[op.ID]
	switch {
	case l == nil:
		return nil, unknown
	case l.verb == op.Verb || l.endLocked(op.Verb, answerOf(op)):
		return l, begun
	case l.verb != "" || l.end == endCancelled:
		return nil, over
	}
	return nil, unknown // the client is late; perhaps nobody has noticed yet
}

// await waits for Postgres' verdict on what the client said.
func (l *lease) await(ctx context.Context) (job.LeaseResult, error) {
	t := time.NewTimer(verdictTime)
	defer t.Stop()
	select {
	case <-l.judged:
	case <-t.C:
		return job.LeaseResult{}, fmt.Errorf("settle lease: no verdict after %s: %w", verdictTime, job.ErrUnavailable)
	case <-ctx.Done():
		return job.LeaseResult{}, ctx.Err()
	}
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
// Postgres with Redis away, is refused here, although it is current there.
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
// [job.ErrLeaseLost]: it is over, and not by the same ack being sent before.
func (h *Hub) tell(ctx context.Context, ref job.Ref, op job.LeaseOp) (job.LeaseResult, error) {
	row, err := h.store.Job(ctx, ref.ID)
	switch {
	case errors.Is(err, job.ErrNotFound): // deleted meanwhile
		return job.LeaseResult{}, job.ErrLeaseLost
	case err != nil:
		return job.LeaseResult{}, fmt.Errorf("settle lease: %w", err)
	}
	if row.DispatchID != ref.DispatchID {
		return job.LeaseResult{}, job.ErrLeaseLost
	}
	var ran time.Duration
	if row.Status == job.Running && row.StartedAt != nil {
		ran = max(time.Since(*row.StartedAt), 0) // two clocks: for people
	}
	o := job.OutcomeOf(ref, answerOf(op), ran, job.Backoff(int(row.FailureCount)+1))
	verdicts, err := h.store.Reconcile(ctx, h.o.ID, []job.Outcome{o})
	if err != nil {
		return job.LeaseResult{}, fmt.Errorf("settle lease: %w", err)
	}
	if len(verdicts) == 1 {
		return job.LeaseResult{Status: verdicts[0].Status}, nil
	}
	if row.Status == job.Completed && op.Verb == job.LeaseAck { // it was sent before
		return job.LeaseResult{Status: job.Completed}, nil
	}
	return job.LeaseResult{}, job.ErrLeaseLost
}

// Beat extends leases, each by the time it was asked for, and says which of them are
// over. The error is that of Postgres, when the tokens cannot be read without it.
func (h *Hub) Beat(ctx context.Context, leases []job.LeaseKey) (job.LeaseReport, error) {
	r := job.LeaseReport{Cancelled: []string{}, Lost: []string{}, Elsewhere: []string{}}
	for _, k := range leases {
		ours, err := h.keys.opens(ctx, k)
		if err != nil {
			return r, fmt.Errorf("beat leases: %w", err)
		}
		if !ours {
			r.Lost = append(r.Lost, k.ID)
			continue
		}
		switch _, err := h.extend(k.ID, 0); {
		case err == nil:
		case errors.Is(err, job.ErrLeaseElsewhere):
			r.Elsewhere = append(r.Elsewhere, k.ID)
		default:
			h.report(&r, k.ID)
		}
	}
	return r, nil
}

// report puts a lease that has ended into its list. One that its client is ending at
// this moment is in none.
func (h *Hub) report(r *job.LeaseReport, id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch l := h.leases[id]; {
	case l != nil && l.end == endCancelled:
		r.Cancelled = append(r.Cancelled, id)
	case l != nil && l.verb != "" && l.end == "":
	default:
		r.Lost = append(r.Lost, id)
	}
}
