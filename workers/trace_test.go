package workers

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

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
