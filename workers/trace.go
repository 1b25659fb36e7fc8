package workers

import (
	"context"
	"slices"

	"go.opentelemetry.io/otel/trace"

	"github.com/penguinmails/rookery/internal/tracing"
)

const tracerName = "github.com/penguinmails/rookery/workers"

// startSpan returns ctx with the span of an attempt: a trace of its own, with a link
// to the producer's span, or, with Options.TraceAsChild, a part of the producer's
// trace. Without an SDK in the process ctx has the producer's span itself, so that
// what the handler calls is traced all the same. The span is nil when nobody sees it.
func (w *Worker) startSpan(ctx context.Context, a *attempt) (context.Context, trace.Span) {
	options := a.route.options
	producer := tracing.Remote(ctx, a.job.Headers)
	switch {
	case producer.IsValid():
		ctx = trace.ContextWithRemoteSpanContext(ctx, producer)
		if !w.o.TraceAsChild {
			options = append(slices.Clip(options), trace.WithNewRoot(), trace.WithLinks(trace.Link{SpanContext: producer}))
		}
	case w.tracing.Idle():
		return ctx, nil
	}
	ctx, span := w.tracing.Start(ctx, a.route.span, options...)
	if span != nil && span.IsRecording() {
		span.SetAttributes(tracing.Attempt(a.job.ID, a.job.AttemptCount)...)
	}
	return ctx, span
}

// traceBatch returns ctx with the span of a batch of outcomes.
func (w *Worker) traceBatch(ctx context.Context, b batch) (context.Context, trace.Span) {
	if w.tracing.Idle() {
		return ctx, nil
	}
	name, options := tracing.Reconcile(len(b.outcomes))
	return w.tracing.Start(ctx, name, options...)
}
