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

// target delivers the jobs of one queue: the handler of its worker.
type target struct {
	endpoint atomic.Pointer[job.Endpoint] // as it was last seen
	gate     *gate
	client   *Client
	metrics  *metrics
	disable  func(ctx context.Context, e *job.Endpoint, reason string)
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
// receiver that wants less makes the worker take less.
func (t *target) Work(ctx context.Context, j *workers.Job) error {
	if err := t.gate.enter(ctx); err != nil {
		if errors.Is(err, errClosed) {
			return job.Snooze(closedDelay)
		}
		return err
	}
	e := t.endpoint.Load()
	a, err := t.ask(ctx, e, j)
	if err != nil {
		return err
	}
	if a.gone() {
		t.disable(ctx, e, a.err().Error())
	}
	return a.verdict()
}

// ask makes the request of one attempt, and gives its place at the gate back.
func (t *target) ask(ctx context.Context, e *job.Endpoint, j *workers.Job) (a answer, err error) {
	began, feels := time.Now(), unsure
	defer func() { t.gate.leave(began, time.Now(), feels, a.pause()) }()
	m, err := messageOf(&j.Envelope, began.Add(e.Timeout()))
	if err != nil {
		return a, job.Discard(err) // it will be no better next time
	}
	a, err = t.client.send(ctx, e, m)
	t.metrics.answered(e.QueueName, a, err, time.Since(began))
	switch {
	case err != nil:
	case a.good():
		feels = calm
	case a.busy():
		feels = busy
	}
	if errors.Is(err, errTimeout) {
		return a, errors.New("no answer within " + e.Timeout().String())
	}
	return a, err
}

// pause is for how long the receiver wants nothing at all.
func (a answer) pause() time.Duration {
	if !a.busy() {
		return 0
	}
	return a.retryAfter
}
