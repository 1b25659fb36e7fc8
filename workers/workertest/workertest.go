// Package workertest runs one handler against one job without Postgres, Redis or a
// relay, for the tests of those who write handlers. It is the real worker on stores
// that hold a single job: timeouts, panics, snoozes, middleware and broken error
// texts mean exactly what they mean in production. What a relay or Postgres adds
// (retries, dead or not) is left out: [Run] returns the outcome the worker reports.
package workertest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/workers"
)

// Attempt is the job to run and how. Only Spec matters for most tests.
type Attempt struct {
	Spec         job.Spec // as it would be inserted; RunAt is only shown to the handler
	ID           int64    // 0 means 1
	AttemptCount int32    // 0 means FailureCount + 1
	FailureCount int16    // failures before this attempt
	Options      workers.HandlerOptions
	Middleware   []workers.Middleware
}

// Run runs h once and returns what the worker would report to Postgres. When ctx
// ends, so does the handler's, with job.ErrShutdown. The error is a
// [*job.FieldError] when no such job could be inserted, or says that the handler
// did not return.
func Run(ctx context.Context, h workers.Handler, a Attempt) (job.Outcome, error) {
	spec, err := a.Spec.Filled()
	if err != nil {
		return job.Outcome{}, err
	}
	one := &one{envelope: envelope(spec, a), done: make(chan struct{})}
	registry := workers.NewRegistry()
	registry.HandleQueue(spec.QueueName, h, a.Options)
	w, err := workers.New(one, one, leases{}, registry, workers.Options{
		ID:          "workertest",
		Queues:      []workers.QueueWeight{{Name: spec.QueueName}},
		Concurrency: 1,
		Middleware:  a.Middleware,
		DrainTime:   -1,
		FlushEvery:  time.Nanosecond,
	})
	if err != nil {
		return job.Outcome{}, err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1) // one: the run's end is not waited for twice
	go func() { ended <- w.Run(ctx) }()
	select {
	case <-one.done:
		stop()
		err = <-ended
	case err = <-ended:
	}
	o, ok := one.final()
	if ok {
		return o, nil
	}
	return o, fmt.Errorf("the attempt has no outcome: %w", errOr(err, context.Cause(ctx)))
}

func errOr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

func envelope(spec job.Spec, a Attempt) job.Envelope {
	now := time.Now()
	e := job.Envelope{
		ID: max(a.ID, 1), DispatchID: 1, Version: job.EnvelopeVersion,
		AttemptCount: a.AttemptCount, FailureCount: a.FailureCount,
		QueueName: spec.QueueName, Kind: spec.Kind, Priority: int16(*spec.Priority), MaxAttempts: int16(spec.MaxAttempts),
		CreatedAt: now, RunAt: spec.RunAt, DispatchedAt: now, Headers: spec.Headers, Payload: spec.Payload,
	}
	if e.AttemptCount == 0 {
		e.AttemptCount = int32(e.FailureCount) + 1
	}
	if e.RunAt.IsZero() {
		e.RunAt = now
	}
	return e
}

// one is a Store and a Queue with a single job.
type one struct {
	envelope job.Envelope
	done     chan struct{} // closed with the outcome

	mu      sync.Mutex
	taken   bool
	outcome job.Outcome
	ended   bool
}

func (o *one) final() (job.Outcome, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.outcome, o.ended
}

// Hold is never needed: the leases never end.
func (o *one) Hold(context.Context, job.Hold) ([]int64, error) { return nil, nil }

// Renew renews nothing, since nothing is held.
func (o *one) Renew(context.Context, string, time.Duration, []int64) (current, cancelled []job.Ref, err error) {
	return nil, nil, nil
}

// Claim finds nothing.
func (o *one) Claim(context.Context, job.Claim) (job.Batch, error) { return job.Batch{}, nil }

// Take hands out the job once.
func (o *one) Take(context.Context, job.Take) (job.Taken, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.taken {
		return job.Taken{}, nil
	}
	o.taken = true
	return job.Taken{Jobs: []job.Envelope{o.envelope}}, nil
}

// Wait waits for ctx, as there is never another job.
func (o *one) Wait(ctx context.Context, _ []string, d time.Duration) ([]string, error) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
	return nil, ctx.Err()
}

// Release takes the job back.
func (o *one) Release(context.Context, string, int64, []job.Envelope) error { return nil }

// Register does nothing.
func (o *one) Register(context.Context, job.Process) error { return nil }

// Reconcile keeps the final outcome.
func (o *one) Reconcile(_ context.Context, _ string, outcomes []job.Outcome) ([]job.Verdict, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var verdicts []job.Verdict
	for _, out := range outcomes {
		verdicts = append(verdicts, job.Verdict{Ref: out.Ref})
		if out.Kind != job.Started && !o.ended {
			o.outcome, o.ended = out, true
			close(o.done)
		}
	}
	return verdicts, nil
}

// Verify finds everything current.
func (o *one) Verify(_ context.Context, refs []job.Ref) ([]job.Ref, error) { return refs, nil }

// Beat knows no epochs.
func (o *one) Beat(context.Context, job.Process) (job.Heard, error) { return job.Heard{}, nil }

// Retire does nothing.
func (o *one) Retire(context.Context, string) error { return nil }

// leases never end.
type leases struct{}

// Beat renews everything.
func (leases) Beat(context.Context, string, int64, time.Duration, []job.Ref) (gone, cancelled []job.Ref, err error) {
	return nil, nil, nil
}

// Announce refuses nothing.
func (leases) Announce(context.Context, string, int64, time.Duration, []job.Ref) ([]job.Ref, error) {
	return nil, nil
}

// Ack does nothing.
func (leases) Ack(context.Context, string, int64, []job.Ref) error { return nil }
