package workers

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/penguinmails/rookery/job"
)

// attempt is one leased attempt, from its take to its verdict.
type attempt struct {
	job     Job
	queue   *queue
	route   *route
	alone   bool         // nothing is to run beside it here
	adopted bool         // from another worker, which may hold it too
	doubted bool         // Postgres did not have it as current when it was last asked; doubt's alone
	epoch   int64        // in which it was taken, or an earlier one: that of its take's token
	fence   atomic.Int64 // the dispatch_id it has now: holding it in Postgres gives it another

	ctx    deadlineContext
	cancel context.CancelCauseFunc

	// Guarded by held.mu.
	state   state
	place   int       // in held.attempts; −1: not there any more
	renewed time.Time // when the last call that renewed the lease was sent
	began   time.Time
	ended   time.Time // when the worker ended ctx; zero: it has not
	marked  bool      // an outcome Started was given
	leaked  bool      // its handler was given up
	lost    bool      // no longer ours: its lease is not renewed
	waiting bool      // outcome lies in held.waiting
	sending bool      // an outcome is in the writer's hands
	row     *row      // that holds it in Postgres, or is to; nil: its lease is in Redis
	parked  bool      // outcome waits for row's answer: nobody knows the fence
	left    bool      // abandoned while row was asked: if that holds nothing, nothing is said of it
	outcome job.Outcome
}

// newAttempt makes one of what was taken; r holds it in Postgres, nil: it is leased in
// Redis.
func newAttempt(e *job.Envelope, q *queue, to *route, r *row) *attempt {
	a := &attempt{job: Job{Envelope: *e}, queue: q, route: to, epoch: q.tokenEpoch, row: r}
	a.fence.Store(e.DispatchID)
	a.job.attempt = a
	return a
}

type state uint8

const (
	taken    state = iota // leased, not begun
	running               // its handler has not returned
	finished              // the final outcome is known, Postgres' verdict is not
	over                  // nothing is owed any more
)

// ref names the attempt by the fence it has at this moment.
func (a *attempt) ref() job.Ref { return job.Ref{ID: a.job.ID, DispatchID: a.fence.Load()} }

// deadlineContext shows the deadline that watch keeps, so that drivers can derive
// theirs from it, without a timer for each attempt.
type deadlineContext struct {
	context.Context
	at time.Time // zero: none
}

// Deadline returns when watch ends the context with job.ErrTimeout.
func (c *deadlineContext) Deadline() (time.Time, bool) { return c.at, !c.at.IsZero() }

var errGoexit = errors.New("handler ended its goroutine (runtime.Goexit)")

// panicError is what a handler panicked with.
type panicError struct {
	value any
	stack []byte
}

// Error returns the value of the panic.
func (e *panicError) Error() string { return fmt.Sprint("panic: ", e.value) }

func caught(value any) *panicError { return &panicError{value: value, stack: debug.Stack()} }

// judge turns what a handler returned into the outcome of its attempt. It runs
// users' code (Error methods, Backoff), whose panics are failures too.
func (a *attempt) judge(err error, ran time.Duration) (o job.Outcome) {
	defer func() {
		if v := recover(); v != nil {
			p := caught(v)
			o = job.OutcomeOf(a.ref(), errors.New("panic in the error or the backoff of the handler"), ran, job.Backoff(a.failures()))
			o.Stack = job.ErrorText(string(p.stack))
		}
	}()
	if err == nil {
		return job.Outcome{Ref: a.ref(), Kind: job.Succeeded, Ran: ran}
	}
	if _, settled := settledOf(err); settled || errors.Is(err, ErrUnseen) || errors.Is(err, ErrAbandoned) {
		return job.OutcomeOf(a.ref(), job.Snooze(0), ran, 0) // see desert
	}
	cause := a.endedBy()
	o = job.OutcomeOf(a.ref(), err, ran, 0)
	if o.Kind != job.Failed {
		return o
	}
	switch {
	case errors.Is(cause, job.ErrLeaseLost), errors.Is(cause, job.ErrShutdown), errors.Is(cause, job.ErrCancelled):
		// It was told to stop and did: no failure of the job's. If the attempt is
		// still current it is given back, if not the fence refuses this.
		return job.OutcomeOf(a.ref(), job.Snooze(0), ran, 0)
	case errors.Is(cause, job.ErrTimeout) && !errors.Is(err, job.ErrTimeout):
		o.Error = job.ErrorText(fmt.Sprintf("%s after %s: %s", job.ErrTimeout, a.route.timeout, err))
	}
	if _, own := job.RetryDelay(err); !own {
		o.Delay = job.ClampDelay(a.route.backoff(a.failures()))
	}
	var p *panicError
	if errors.As(err, &p) {
		o.Stack = job.ErrorText(string(p.stack))
	}
	return o
}

// failures returns the failure_count after a failure of this attempt.
func (a *attempt) failures() int { return int(a.job.FailureCount) + 1 }

// endedBy returns why the worker ended the handler's context; nil: it did not.
func (a *attempt) endedBy() error {
	if a.ctx.Context == nil {
		return nil
	}
	return context.Cause(a.ctx.Context)
}
