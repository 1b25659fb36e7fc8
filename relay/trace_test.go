package relay_test

import (
	"testing"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/penguinmails/rookery/relay"
)

func TestTrace_ABatchIsLinkedToItsProducers(t *testing.T) {
	t.Parallel()
	h, recorder := newHouse(t), tracetest.NewSpanRecorder()
	const producer = "0af7651916cd43dd8448eb211c80319c"
	h.exec(t, `INSERT INTO outbox.jobs (queue_name, headers) SELECT 'mail', CASE WHEN n <= 200 THEN jsonb_build_object('traceparent', $1::text) END FROM generate_series(1, 210) AS n`,
		"00-"+producer+"-b7ad6b7169203331-01")
	_, stop := h.start(t, wiring{Options: relay.Options{TracerProvider: sdk.NewTracerProvider(sdk.WithSpanProcessor(recorder))}})
	h.await(t, 210, "all dispatched", dispatched)
	h.await(t, 0, "pushes recorded", unrecorded)
	stop()
	jobs, links := int64(0), 0
	for _, s := range recorder.Ended() {
		if s.Name() != "dispatch mail" {
			t.Errorf("a span is called %s", s.Name())
		}
		for _, a := range s.Attributes() {
			if a.Key == "messaging.batch.message_count" {
				jobs += a.Value.AsInt64()
			}
		}
		if len(s.Links()) > 128 {
			t.Errorf("a batch has %d links, want at most 128", len(s.Links()))
		}
		for _, l := range s.Links() {
			if links++; l.SpanContext.TraceID().String() != producer {
				t.Errorf("a link to %s, want the producer", l.SpanContext.TraceID())
			}
		}
	}
	if jobs != 210 || links < 128 {
		t.Errorf("the spans are of %d jobs with %d links, want 210 with 128 or more", jobs, links)
	}
}
