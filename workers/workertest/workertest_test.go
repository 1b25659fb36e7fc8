package workertest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/workers"
	"github.com/penguinmails/rookery/workers/workertest"
)

type welcome struct {
	To string `json:"to"`
}

func deliver(_ context.Context, _ *workers.Job, args welcome) error {
	switch args.To {
	case "":
		return job.Discard(errors.New("no address"))
	case "panic":
		panic("boom")
	case "busy":
		return job.Snooze(time.Minute)
	}
	return nil
}

func ExampleRun() {
	o, err := workertest.Run(context.Background(), workers.Typed(deliver), workertest.Attempt{
		Spec: job.Spec{Kind: "welcome", Payload: []byte(`{"to":""}`)},
	})
	fmt.Println(o.Kind, o.Error, err)
	// Output: discard no address <nil>
}

func TestRun_Outcomes(t *testing.T) {
	for payload, want := range map[string]job.OutcomeKind{
		`{"to":"a@b.c"}`: job.Succeeded, `{"to":"panic"}`: job.Failed, `{"to":"busy"}`: job.Snoozed, `{"to":7}`: job.Failed, ``: job.Discarded,
	} {
		o, err := workertest.Run(t.Context(), workers.Typed(deliver), workertest.Attempt{Spec: job.Spec{Payload: []byte(payload)}})
		if err != nil || o.Kind != want {
			t.Errorf("Run(%s) = %s %q, %v, want %s", payload, o.Kind, o.Error, err, want)
		}
	}
	var bad *job.FieldError
	if _, err := workertest.Run(t.Context(), workers.Typed(deliver), workertest.Attempt{Spec: job.Spec{QueueName: "{x}"}}); !errors.As(err, &bad) {
		t.Errorf("Run() = %v, want a FieldError", err)
	}
}

func TestRun_TimeoutAndShutdown(t *testing.T) {
	var cause error
	wait := workers.HandlerFunc(func(ctx context.Context, _ *workers.Job) error {
		<-ctx.Done()
		cause = context.Cause(ctx)
		return ctx.Err()
	})
	synctest.Test(t, func(t *testing.T) {
		o, err := workertest.Run(t.Context(), wait, workertest.Attempt{Options: workers.HandlerOptions{Timeout: time.Hour}})
		if err != nil || o.Kind != job.Failed || !errors.Is(cause, job.ErrTimeout) {
			t.Errorf("Run() = %+v, %v with cause %v, want a timeout", o, err, cause)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		o, err := workertest.Run(ctx, wait, workertest.Attempt{})
		if err != nil || o.Kind != job.Snoozed || !errors.Is(cause, job.ErrShutdown) {
			t.Errorf("Run() = %+v, %v with cause %v, want a shutdown", o, err, cause)
		}
	})
}
