package job

import (
	"errors"
	"fmt"
	"time"
)

// What Redis may answer instead of doing what a script was asked. A refused
// script has changed nothing.
var (
	// ErrStale: this Redis is another process than the one the epoch was opened
	// in, or holds another epoch. See [StaleError] for the epoch it does hold.
	ErrStale = errors.New("redis holds another life or epoch")
	// ErrBehind: this Redis has accepted fewer batches than it once had, so it has
	// lost some.
	ErrBehind = errors.New("redis is behind what it had accepted")
	// ErrLate: the push came after its deadline on Redis' clock.
	ErrLate = errors.New("push came after its deadline")
	// ErrFull: Redis has reached maxmemory and refuses writes that need more.
	ErrFull = errors.New("redis is out of memory")
)

// StaleError is an [ErrStale] that says which epoch Redis knows; 0 is none.
type StaleError struct{ Epoch int64 }

// Error says which epoch was found.
func (e *StaleError) Error() string {
	return fmt.Sprintf("%s (redis knows epoch %d)", ErrStale, e.Epoch)
}

// Is reports whether target is [ErrStale].
func (e *StaleError) Is(target error) bool { return target == ErrStale }

// What Postgres may answer.
var (
	// ErrNotFound: there is no job with that id.
	ErrNotFound = errors.New("no such job")
	// ErrNoSchema: the database has no schema outbox, or an older one.
	ErrNoSchema = errors.New("schema outbox is missing or too old: run rookery migrate up")
	// ErrState: the job is in a status from which the wanted change is impossible.
	ErrState = errors.New("the job's status does not allow this")
	// ErrConflict: another transaction was in the way (SQLSTATE 40001, 40P01 or
	// 55P03); the same statement may be sent again.
	ErrConflict = errors.New("another transaction was in the way")
	// ErrUndone, beside another, says that the call has certainly changed nothing;
	// without it nobody knows.
	ErrUndone = errors.New("nothing was changed")
	// ErrDenied: Postgres does not know the user, or does not let it do this.
	ErrDenied = errors.New("the user may not do this")
	// ErrUnavailable: the server cannot be reached, or refuses work for now.
	ErrUnavailable = errors.New("the server is unavailable")
)

// BusyError is an [ErrConflict] that says whose rows other transactions have locked:
// without those jobs the same statement would do.
type BusyError struct{ IDs []int64 }

// Error returns how many jobs are locked.
func (e *BusyError) Error() string {
	return fmt.Sprintf("%s: it has locked %d jobs", ErrConflict, len(e.IDs))
}

// Is reports whether target is [ErrConflict].
func (e *BusyError) Is(target error) bool { return target == ErrConflict }

// DataError says that Postgres refused a statement because of a value in it
// (SQLSTATE class 22 or 23): sent again it fails again, so its batch must be halved.
type DataError struct {
	SQLState string // five characters, as in the Postgres manual, appendix A
	Message  string
}

// Error returns the message and the SQLSTATE.
func (e *DataError) Error() string { return fmt.Sprintf("%s (SQLSTATE %s)", e.Message, e.SQLState) }

// FieldError says which field of a job is wrong, and what the limit is. It is the
// one error for bad input at every door.
type FieldError struct {
	Field   string // the column's name: queue_name, payload, …
	Problem string // "is 2000, must be 0 to 1000"
}

// Error returns the field and its problem.
func (e *FieldError) Error() string { return e.Field + " " + e.Problem }

// Why a handler's context ended: context.Cause returns one of these.
var (
	// ErrTimeout: the job ran longer than its kind may.
	ErrTimeout = errors.New("job timed out")
	// ErrCancelled: somebody cancelled the job; whatever the handler returns, it stays cancelled.
	ErrCancelled = errors.New("job was cancelled")
	// ErrLeaseLost: the attempt is over; the job may be running elsewhere.
	ErrLeaseLost = errors.New("lease was lost")
	// ErrShutdown: the worker is stopping and the drain time has passed.
	ErrShutdown = errors.New("worker is shutting down")
)

type snoozeError struct{ delay time.Duration }

func (e *snoozeError) Error() string { return "snoozed for " + e.delay.String() }

func (e *snoozeError) wish() (OutcomeKind, time.Duration) { return Snoozed, e.delay }

// Snooze, returned by a handler, puts the job back for d without counting a
// failure. d is brought into 100 ms … 1 year.
func Snooze(d time.Duration) error {
	return &snoozeError{delay: min(max(d, 100*time.Millisecond), MaxDelay)}
}

type retryError struct {
	delay time.Duration
	err   error
}

func (e *retryError) Error() string { return e.err.Error() }

func (e *retryError) Unwrap() error { return e.err }

func (e *retryError) wish() (OutcomeKind, time.Duration) { return Failed, e.delay }

// RetryIn, returned by a handler, fails the attempt with err, which is not nil, and has
// the next one wait for d instead of the backoff of its kind. d is brought into 0 … 1 year.
func RetryIn(d time.Duration, err error) error { return &retryError{ClampDelay(d), err} }

// RetryDelay returns the delay that err asks for with [RetryIn], and whether it does.
func RetryDelay(err error) (time.Duration, bool) {
	var r *retryError
	if errors.As(err, &r) {
		return r.delay, true
	}
	return 0, false
}

type endError struct {
	outcome OutcomeKind
	err     error
}

func (e *endError) Error() string {
	if e.err == nil {
		return string(e.outcome)
	}
	return e.err.Error()
}

func (e *endError) Unwrap() error { return e.err }

func (e *endError) wish() (OutcomeKind, time.Duration) { return e.outcome, 0 }

// Discard, returned by a handler, makes the job dead at once: err will not be
// better next time.
func Discard(err error) error { return &endError{outcome: Discarded, err: err} }

// Cancel, returned by a handler, cancels the job: there is nothing left to do.
func Cancel(err error) error { return &endError{outcome: CalledOff, err: err} }

// ErrTooMany: as many are running as may at a time.
var ErrTooMany = fmt.Errorf("%d operations are running; wait for one to end", MaxRunningOperations)
