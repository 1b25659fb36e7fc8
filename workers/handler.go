package workers

import (
	"context"
	"encoding/json"
	"fmt"
)

// Handler runs attempts. It is called from many goroutines at once.
type Handler interface {
	// Work runs one attempt. nil completes the job; job.Snooze, job.Discard and
	// job.Cancel say otherwise; any other error, and a panic, is a failed attempt.
	//
	// ctx ends with job.ErrTimeout, job.ErrLeaseLost, job.ErrCancelled or
	// job.ErrShutdown as its context.Cause. A plain error returned after one of the
	// last three counts as no failure: the job goes back. A handler that has not
	// returned 30 s after its ctx ended is given up: its result is ignored, and its
	// slot stays taken until it does return.
	//
	// Attempts share goroutines, one after another: what a handler does to its own
	// (runtime.LockOSThread, pprof.SetGoroutineLabels) it must undo.
	Work(ctx context.Context, j *Job) error
}

// HandlerFunc is a function as a [Handler].
type HandlerFunc func(ctx context.Context, j *Job) error

// Work calls f.
func (f HandlerFunc) Work(ctx context.Context, j *Job) error { return f(ctx, j) }

// Middleware wraps a handler. It runs inside the attempt: its panics and errors
// count as the handler's.
type Middleware func(next Handler) Handler

// Typed returns a handler that decodes the payload into an A first. A payload that
// cannot be decoded is a failed attempt, not a discarded job: the next deploy may
// know how.
func Typed[A any](fn func(ctx context.Context, j *Job, args A) error) Handler {
	return HandlerFunc(func(ctx context.Context, j *Job) error {
		var args A
		if len(j.Payload) > 0 {
			if err := json.Unmarshal(j.Payload, &args); err != nil {
				return fmt.Errorf("decode payload: %w", err)
			}
		}
		return fn(ctx, j, args)
	})
}
