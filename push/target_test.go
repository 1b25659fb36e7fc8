package push

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/workers"
)

// targetAt is what delivers to r; whatever disables it is counted.
func targetAt(r *receiver, e job.Endpoint) (t *target, disabled *[]string) {
	m, _ := newMetrics(nil)
	disabled = &[]string{}
	t = &target{gate: newGate(e.MaxInFlight, e.RatePerSecond), client: r.client, metrics: m,
		disable: func(_ context.Context, _ *job.Endpoint, reason string) { *disabled = append(*disabled, reason) }}
	t.endpoint.Store(&e)
	return t, disabled
}

func outcome(t *testing.T, target *target, id int64) job.Outcome {
	t.Helper()
	err := target.Work(t.Context(), &workers.Job{Envelope: job.Envelope{ID: id, QueueName: "q", AttemptCount: 1, MaxAttempts: 25}})
	return job.OutcomeOf(job.Ref{}, err, 0, 0)
}

func TestTarget_MapsAnswers(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]job.OutcomeKind{
		200: job.Succeeded, 204: job.Succeeded, 302: job.Failed, 404: job.Failed, 410: job.Snoozed, 422: job.Discarded, 429: job.Snoozed, 500: job.Failed, 503: job.Snoozed,
	} {
		r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(status)
		})
		target, disabled := targetAt(r, r.endpoint())
		if o := outcome(t, target, 1); o.Kind != want {
			t.Errorf("%d makes the job %s (%s), want %s", status, o.Kind, o.Error, want)
		}
		if gone := status == 410; (len(*disabled) == 1) != gone {
			t.Errorf("%d disables the endpoint %d times: %q", status, len(*disabled), *disabled)
		}
		if target.gate.inFlight != 0 {
			t.Errorf("%d leaves %d requests at the gate", status, target.gate.inFlight)
		}
		if slower := status == 429 || status == 503; (target.gate.present() == 5) != slower || target.gate.shut.IsZero() == slower {
			t.Errorf("%d leaves a limit of %g and a gate that is shut until %v", status, target.gate.present(), target.gate.shut)
		}
	}
}

// An endpoint that is set again is asked at once, whatever the receiver had said.
func TestTarget_SetAgain(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, func(http.ResponseWriter, *http.Request) {})
	e := r.endpoint()
	target, _ := targetAt(r, e)
	now := time.Now()
	if err := target.gate.enter(t.Context()); err != nil {
		t.Fatal(err)
	}
	target.gate.leave(now, now, busy, time.Hour)
	same := e
	target.change(&same)
	if target.gate.shut.IsZero() || target.gate.present() != 5 {
		t.Error("an endpoint that is as it was has its gate opened")
	}
	e.UpdatedAt = now
	target.change(&e)
	if o := outcome(t, target, 1); o.Kind != job.Succeeded || target.gate.present() != 10 {
		t.Errorf("set again the job is %s and the limit %g, want it delivered, and 10", o.Kind, target.gate.present())
	}
}

func TestTarget_WithoutAnAnswer(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() })
	e := r.endpoint()
	e.TimeoutMS = 50
	target, _ := targetAt(r, e)
	if o := outcome(t, target, 1); o.Kind != job.Failed || o.Error != "no answer within 50ms" {
		t.Errorf("no answer makes the job %s: %s", o.Kind, o.Error)
	}
	if n := counted(t, target.metrics.requests.WithLabelValues("q", "timeout")); n != 1 || target.gate.inFlight != 0 || target.gate.present() != 10 {
		t.Errorf("%g timeouts are counted and the gate has %d requests and a limit of %g", n, target.gate.inFlight, target.gate.present())
	}
	e.URL = "https://10.0.0.1/"
	target.endpoint.Store(&e)
	if o := outcome(t, target, 1); o.Kind != job.Failed || o.Error != "blocked: the URL leads to an address that is not public" {
		t.Errorf("an address that is not public makes the job %s: %s", o.Kind, o.Error)
	}
	if n := counted(t, target.metrics.blocked.WithLabelValues(blockedAddress)); n != 1 {
		t.Errorf("%g blocked requests are counted, want 1", n)
	}
	asked := r.asked.Load() // 1, or none when the handshake took too long already
	target.gate.close()
	if o := outcome(t, target, 1); o.Kind != job.Snoozed || r.asked.Load() != asked {
		t.Errorf("behind a closed gate the job is %s and the receiver was asked %d times, want it put back and no more than %d", o.Kind, r.asked.Load(), asked)
	}
}
