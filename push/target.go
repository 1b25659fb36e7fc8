package push

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/workers"
)

// closedDelay is how soon a job that found its gate closed may be taken by somebody
// else. Its queue is paused, without an endpoint, or this process is stopping.
const closedDelay = time.Second

// unsignedDelay is how long a job waits for seal keys that cannot be read.
const unsignedDelay = 5 * time.Second

// target delivers the jobs of one queue: the handler of its worker.
type target struct {
	endpoint atomic.Pointer[job.Endpoint] // as it was last seen
	gate     *gate
	client   *Client
	metrics  *metrics
	calls    *calls
	permits  *permits // over all push workers
	disable  func(ctx context.Context, e *job.Endpoint, reason string)

	failpoint func(name string) // nil: nothing
}

// change has t deliver as e says from now on.
func (t *target) change(e *job.Endpoint) {
	before := t.endpoint.Swap(e)
	t.gate.set(e.MaxInFlight, e.RatePerSecond)
	if !before.UpdatedAt.Equal(e.UpdatedAt) {
		t.gate.reset()
	}
}

// Work delivers one attempt. It waits for its turn with the lease alive, so that a
// receiver that wants less makes the worker take less. The place at the gate is the
// attempt's until it is over, though the receiver answer that it will call back.
func (t *target) Work(ctx context.Context, j *workers.Job) error {
	permit, err := t.enter(ctx)
	if errors.Is(err, errClosed) {
		return job.Snooze(closedDelay)
	}
	if err != nil {
		return err
	}
	e, began := t.endpoint.Load(), time.Now()
	feels, pause := unsure, time.Duration(0)
	defer func() {
		t.permits.leave(ctx, permit)
		t.gate.leave(began, time.Now(), feels, pause)
	}()
	deadline := began.Add(e.Timeout())
	a, err := t.ask(ctx, e, j, deadline)
	if err != nil {
		return err
	}
	if t.failpoint != nil {
		t.failpoint(FailAfterAnswer)
	}
	feels, pause = a.mood(), a.pause()
	switch {
	case a.wantsAsync() && t.calls.taken():
		feels = calm
		return t.calls.await(ctx, j, deadline)
	case a.gone():
		t.disable(ctx, e, a.err().Error())
	}
	return a.verdict()
}

// enter takes a place at the gate and a permit. While it waited for the permit the
// receiver may have said that it wants nothing for a while: then it waits again.
func (t *target) enter(ctx context.Context) (permit string, err error) {
	for {
		if err := t.gate.enter(ctx); err != nil {
			return "", err
		}
		permit, err = t.permits.enter(ctx, t.limits)
		if err == nil && !t.gate.resting(time.Now()) {
			return permit, nil
		}
		t.permits.leave(ctx, permit)
		now := time.Now()
		t.gate.leave(now, now, unsure, 0)
		if err != nil {
			return "", err
		}
	}
}

// limits are those of the endpoint over all push workers, as it was last seen; open:
// anything may leave at all.
func (t *target) limits() (l job.PushLimits, open bool) {
	e := t.endpoint.Load()
	return job.PushLimits{MaxInFlight: e.MaxInFlight, RatePerSecond: e.RatePerSecond, Lease: permitLease}, t.gate.open()
}

// ask makes the request of one attempt.
func (t *target) ask(ctx context.Context, e *job.Endpoint, j *workers.Job, deadline time.Time) (answer, error) {
	began := time.Now()
	back, err := t.calls.invite(ctx, j, began)
	if err != nil { // no fault of the job's
		t.calls.log.WarnContext(ctx, "job waits: it cannot be given a callback", keyQueue, e.QueueName, keyError, err)
		return answer{}, job.Snooze(unsignedDelay)
	}
	m, err := messageOf(&j.Envelope, deadline, back)
	if err != nil {
		return answer{}, job.Discard(err) // it will be no better next time
	}
	a, err := t.client.send(ctx, e, m)
	t.metrics.answered(e.QueueName, a, err, time.Since(began))
	if errors.Is(err, errTimeout) {
		return a, errors.New("no answer within " + e.Timeout().String())
	}
	return a, err
}

// mood is what the answer says of how many requests the receiver wants at once.
func (a answer) mood() mood {
	switch {
	case a.good():
		return calm
	case a.busy():
		return busy
	}
	return unsure
}

// pause is for how long the receiver wants nothing at all.
func (a answer) pause() time.Duration {
	if !a.busy() {
		return 0
	}
	return a.retryAfter
}
