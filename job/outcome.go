package job

import (
	"errors"
	"time"
)

// OutcomeKind is what a worker reports of an attempt. Its text is what the
// Reconcile statement reads.
type OutcomeKind string

// The outcomes. Started is the lazy mark that the handler is still running after
// 250 ms; all others end the attempt.
const (
	Started   OutcomeKind = "start"
	Succeeded OutcomeKind = "complete"
	Failed    OutcomeKind = "fail"
	Snoozed   OutcomeKind = "snooze"
	Discarded OutcomeKind = "discard"
	CalledOff OutcomeKind = "cancel"
)

// Outcome is one line of a worker's report to Postgres.
type Outcome struct {
	Ref   Ref
	Kind  OutcomeKind
	Delay time.Duration // until the next attempt, for Failed and Snoozed; clamped to 0 … 1 year
	Ran   time.Duration // how long the handler has run, by the worker's monotonic clock
	Error string        // made storable by [ErrorText]
	Stack string        // of a panic, made storable likewise
}

// Verdict is Postgres' answer to one Outcome it accepted.
type Verdict struct {
	Ref    Ref
	Status Status // what the job is now
}

// OutcomeOf translates what a handler returned. backoff is the delay that a plain
// failure waits for.
func OutcomeOf(ref Ref, err error, ran, backoff time.Duration) Outcome {
	o := Outcome{Ref: ref, Kind: Succeeded, Ran: ran}
	if err == nil {
		return o
	}
	// The outermost wish counts: Discard of an error that asks for a snooze discards.
	var wish interface {
		wish() (OutcomeKind, time.Duration)
	}
	o.Kind, o.Delay = Failed, ClampDelay(backoff)
	if errors.As(err, &wish) {
		o.Kind, o.Delay = wish.wish()
	}
	if o.Kind != Snoozed {
		o.Error = ErrorText(err.Error())
	}
	return o
}
