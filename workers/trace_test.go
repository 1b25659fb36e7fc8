package workers

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

func TestTrace_ContinuesTheProducers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		var seen []trace.SpanContext
		jobs := envelopes("k", 1, 3)
		jobs[0].Headers = []byte(`{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","x":"1"}`)
		jobs[1].Headers = []byte(`{"traceparent":"rubbish"}`)
		m.push("q", jobs...)
		r := start(t, m, func(ctx context.Context, _ *Job) error {
			seen = append(seen, trace.SpanContextFromContext(ctx))
			return nil
		}, func(o *Options, _ *Registry) { o.Concurrency = 1 })
		r.sleep(3 * time.Second)
		r.end()
		if len(seen) != 3 || seen[0].TraceID().String() != "0af7651916cd43dd8448eb211c80319c" || seen[1].IsValid() || seen[2].IsValid() {
			t.Errorf("spans = %v, want the producer's trace for the first alone", seen)
		}
	})
}

func TestJob_Header(t *testing.T) {
	var j Job
	j.Headers = []byte(`{"tenant":"a","n":1}`)
	for name, want := range map[string]string{"tenant": "a", "n": "", "none": ""} {
		if got := j.Header(name); got != want {
			t.Errorf("Header(%q) = %q, want %q", name, got, want)
		}
	}
}

// traced runs one job that has a producer's span, and one that has none, and returns
// the spans.
func traced(t *testing.T, child bool) map[string]sdk.ReadOnlySpan {
	t.Helper()
	spans := map[string]sdk.ReadOnlySpan{}
	synctest.Test(t, func(t *testing.T) {
		m, recorder := newMemory(), tracetest.NewSpanRecorder()
		jobs := envelopes("k", 1, 2)
		jobs[0].Headers = []byte(`{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}`)
		m.push("q", jobs...)
		r := start(t, m, func(_ context.Context, j *Job) error {
			if j.ID == 2 {
				return errors.New("Marked-Payload")
			}
			return nil
		}, func(o *Options, _ *Registry) {
			o.TracerProvider, o.TraceAsChild = sdk.NewTracerProvider(sdk.WithSpanProcessor(recorder)), child
		})
		r.sleep(3 * time.Second)
		r.end()
		for _, s := range recorder.Ended() {
			name := s.Name()
			for _, a := range s.Attributes() {
				if a.Key == "messaging.message.id" {
					name += " " + a.Value.AsString()
				}
				if strings.Contains(a.Value.String(), "Marked") {
					t.Errorf("span %s has %s", name, a.Value.String())
				}
			}
			spans[name] = s
		}
	})
	return spans
}

func TestTrace_LinksToTheProducer(t *testing.T) {
	spans := traced(t, false)
	one, two := spans["process q 1"], spans["process q 2"]
	if one == nil || two == nil || spans["reconcile"] == nil || len(spans) != 3 {
		t.Fatalf("spans = %v, want two attempts and their outcomes", spans)
	}
	const producer = "0af7651916cd43dd8448eb211c80319c"
	if one.Parent().IsValid() || one.SpanContext().TraceID().String() == producer || len(one.Links()) != 1 || one.Links()[0].SpanContext.TraceID().String() != producer {
		t.Errorf("the first attempt: parent %v, links %v, want a trace of its own with a link", one.Parent(), one.Links())
	}
	if len(two.Links()) != 0 || two.Status().Code != codes.Error || len(two.Events()) != 0 {
		t.Errorf("the second attempt: links %v, status %v, events %v, want an error without text", two.Links(), two.Status(), two.Events())
	}
}

func TestTrace_AsChildContinuesTheProducers(t *testing.T) {
	one := traced(t, true)["process q 1"]
	if one == nil || one.Parent().SpanID().String() != "b7ad6b7169203331" || len(one.Links()) != 0 {
		t.Errorf("the attempt's span = %v, want a child of the producer's", one)
	}
}
