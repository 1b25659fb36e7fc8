package relay

import (
	"context"

	"go.opentelemetry.io/otel/trace"

	"github.com/penguinmails/rookery/internal/tracing"
	"github.com/penguinmails/rookery/job"
)

const tracerName = "github.com/penguinmails/rookery/relay"

// traceBatch returns ctx with the span of a batch on its way to Redis, with links to
// the spans of those who inserted its jobs.
func (r *Relay) traceBatch(ctx context.Context, batch job.Batch) (context.Context, trace.Span) {
	if r.tracing.Idle() {
		return ctx, nil
	}
	name, options := tracing.Dispatch(batch.QueueName, len(batch.Jobs))
	ctx, span := r.tracing.Start(ctx, name, options...)
	if span == nil || !span.IsRecording() {
		return ctx, span
	}
	links := 0
	for i := range batch.Jobs {
		if producer := tracing.Remote(ctx, batch.Jobs[i].Headers); producer.IsValid() && links < tracing.MaxLinks {
			span.AddLink(trace.Link{SpanContext: producer})
			links++
		}
	}
	return ctx, span
}
