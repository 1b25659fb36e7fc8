package workers

import (
	"bytes"
	"context"
	"encoding/json"
	"sync/atomic"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

const tracerName = "github.com/penguinmails/rookery/workers"

// spanOptions names the consumer span of a route, as in
// https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/.
func spanOptions(queue, kind string) (name string, options []trace.SpanStartOption) {
	name = "process " + queue
	return name, []trace.SpanStartOption{
		trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithAttributes(
			attribute.String("messaging.system", "rookery"),
			attribute.String("messaging.operation.type", "process"),
			attribute.String("messaging.destination.name", queue),
			attribute.String("rookery.kind", kind),
		),
	}
}

// tracing starts spans. Without a tracing SDK in the process it gives up until it is
// told to try again, because even a span that goes nowhere costs a third of a job.
type tracing struct {
	tracer trace.Tracer
	idle   atomic.Bool // no SDK when last tried
}

func newTracing() *tracing { return &tracing{tracer: otel.Tracer(tracerName)} }

// again tries anew: an SDK may have been installed meanwhile.
func (t *tracing) again() { t.idle.Store(false) }

// start returns ctx with a consumer span, which continues the trace that the
// producer left in the job's headers. The span is nil when there is nobody to see it.
func (t *tracing) start(ctx context.Context, a *attempt) (context.Context, trace.Span) {
	remote := remoteSpan(ctx, a.job.Headers)
	if remote.IsValid() {
		ctx = trace.ContextWithRemoteSpanContext(ctx, remote)
	} else if t.idle.Load() {
		return ctx, nil
	}
	ctx, span := t.tracer.Start(ctx, a.route.span, a.route.options...)
	if !span.SpanContext().IsValid() {
		t.idle.Store(true)
	}
	if span.IsRecording() {
		span.SetAttributes(
			attribute.Int64("rookery.job_id", a.job.ID),
			attribute.Int64("rookery.attempt_count", int64(a.job.AttemptCount)),
		)
	}
	return ctx, span
}

// endSpan ends the span of an attempt whose handler returned err.
func endSpan(span trace.Span, err error) {
	if span == nil {
		return
	}
	if err != nil && span.IsRecording() {
		span.RecordError(err)
		span.SetStatus(codes.Error, "attempt did not complete")
	}
	span.End()
}

// remoteSpan reads the W3C trace context out of a job's headers; most have none.
func remoteSpan(ctx context.Context, headers json.RawMessage) trace.SpanContext {
	if !bytes.Contains(headers, []byte(`"traceparent"`)) {
		return trace.SpanContext{}
	}
	var carrier struct {
		Traceparent string `json:"traceparent"`
		Tracestate  string `json:"tracestate"`
	}
	if json.Unmarshal(headers, &carrier) != nil {
		return trace.SpanContext{}
	}
	ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{
		"traceparent": carrier.Traceparent, "tracestate": carrier.Tracestate,
	})
	span := trace.SpanContextFromContext(ctx)
	if !span.IsRemote() {
		return trace.SpanContext{} // this process's own: the header was no good
	}
	return span
}
