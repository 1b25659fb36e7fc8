// Package tracing has the names of Rookery's spans, in one file, because the
// conventions they follow are still in development:
// https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/ (1.44).
//
//	producer's span ┄┄ headers.traceparent ┄┄ link ┐
//	  dispatch QUEUE    a relay hands Redis a batch ┤  at most 128 links
//	  process QUEUE     a worker runs an attempt   ◀┘  a trace of its own
//	  reconcile         a worker's batch of outcomes to Postgres
//
// An attempt has a trace of its own, with a link to the producer's: it may run hours
// later, and again. No span has a payload, a header, or what a handler said.
package tracing

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// MaxLinks is how many producers a batch's span is linked to: what an SDK keeps.
const MaxLinks = 128

// The names of attributes.
const (
	system      = attribute.Key("messaging.system")
	operation   = attribute.Key("messaging.operation.name")
	kindOf      = attribute.Key("messaging.operation.type") // process, send or settle
	destination = attribute.Key("messaging.destination.name")
	messages    = attribute.Key("messaging.batch.message_count")
	messageID   = attribute.Key("messaging.message.id")
	errorType   = attribute.Key("error.type")
	jobKind     = attribute.Key("rookery.kind")
	attempt     = attribute.Key("rookery.attempt_count")
)

// Process names the span of one attempt.
func Process(queue, kind string) (name string, options []trace.SpanStartOption) {
	return "process " + queue, []trace.SpanStartOption{
		trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithAttributes(system.String("rookery"), operation.String("process"), kindOf.String("process"), destination.String(queue), jobKind.String(kind)),
	}
}

// Attempt is what a span of [Process] says of the one attempt.
func Attempt(jobID int64, attemptCount int32) []attribute.KeyValue {
	return []attribute.KeyValue{messageID.String(fmt.Sprint(jobID)), attempt.Int(int(attemptCount))}
}

// Dispatch names the span of a batch on its way to Redis.
func Dispatch(queue string, jobs int) (name string, options []trace.SpanStartOption) {
	return "dispatch " + queue, []trace.SpanStartOption{
		trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(system.String("rookery"), operation.String("dispatch"), kindOf.String("send"), destination.String(queue), messages.Int(jobs)),
	}
}

// Reconcile names the span of a batch of outcomes on its way to Postgres.
func Reconcile(outcomes int) (name string, options []trace.SpanStartOption) {
	return "reconcile", []trace.SpanStartOption{
		trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(system.String("rookery"), operation.String("reconcile"), kindOf.String("settle"), messages.Int(outcomes)),
	}
}

// Tracer starts spans. Without a tracing SDK in the process it gives up until it is
// told to try again, because even a span that goes nowhere costs a third of a job.
type Tracer struct {
	tracer trace.Tracer
	idle   atomic.Bool // no SDK when last tried
}

// New returns a Tracer of provider; nil means the process's own (otel.SetTracerProvider).
func New(provider trace.TracerProvider, scope string) *Tracer {
	if provider == nil {
		provider = otel.GetTracerProvider()
	}
	return &Tracer{tracer: provider.Tracer(scope)}
}

// Again tries anew: an SDK may have been installed meanwhile.
func (t *Tracer) Again() { t.idle.Store(false) }

// Idle reports whether nobody sees a span, as far as is known.
func (t *Tracer) Idle() bool { return t.idle.Load() }

// Start returns ctx with a span; without anybody to see it the span is nil.
func (t *Tracer) Start(ctx context.Context, name string, options ...trace.SpanStartOption) (context.Context, trace.Span) {
	ctx, span := t.tracer.Start(ctx, name, options...)
	if !span.SpanContext().IsValid() {
		t.idle.Store(true)
		return ctx, nil
	}
	return ctx, span
}

// End ends a span, which may be nil, of what returned err. An error is named by its
// type: its text may repeat a payload.
func End(span trace.Span, err error) {
	if span == nil {
		return
	}
	if err != nil && span.IsRecording() {
		span.SetAttributes(errorType.String(fmt.Sprintf("%T", err)))
		span.SetStatus(codes.Error, "")
	}
	span.End()
}

// Remote reads the producer's span out of a job's headers; it is not valid when there
// is none, as in most.
func Remote(ctx context.Context, headers json.RawMessage) trace.SpanContext {
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
