package tracing

import (
	"encoding/json"
	"errors"
	"testing"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace/noop"
)

func TestTracer_GivesUpWithoutAnSDK(t *testing.T) {
	tracer := New(noop.NewTracerProvider(), "test")
	if tracer.Idle() {
		t.Error("idle before the first span")
	}
	if _, span := tracer.Start(t.Context(), "x"); span != nil || !tracer.Idle() {
		t.Errorf("Start without an SDK = %v, idle %t, want nil and idle", span, tracer.Idle())
	}
	End(nil, errors.New("x"))
	if tracer.Again(); tracer.Idle() {
		t.Error("idle after Again")
	}
}

// An error may repeat a payload: a span has its type only.
func TestEnd_TellsNoErrorText(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	tracer := New(sdk.NewTracerProvider(sdk.WithSpanProcessor(recorder)), "test")
	_, span := tracer.Start(t.Context(), "x")
	End(span, errors.New("Marked-Payload"))
	ended := recorder.Ended()
	if len(ended) != 1 || len(ended[0].Events()) != 0 || ended[0].Status().Description != "" {
		t.Fatalf("spans = %+v, want one without events", ended)
	}
	if got := ended[0].Attributes(); len(got) != 1 || got[0].Key != errorType || got[0].Value.AsString() != "*errors.errorString" {
		t.Errorf("attributes = %v, want the error's type", got)
	}
}

func TestRemote_OfHeaders(t *testing.T) {
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for _, c := range []struct {
		headers string
		want    bool
	}{
		{``, false}, {`null`, false}, {`{}`, false}, {`{"traceparent":"rubbish"}`, false}, {`{"traceparent":1}`, false},
		{`{"x":"\"traceparent\""}`, false}, {`{"traceparent":"` + parent + `"}`, true}, {`{"traceparent":"` + parent + `","tracestate":"a=1"}`, true},
	} {
		got := Remote(t.Context(), json.RawMessage(c.headers))
		if got.IsValid() != c.want || c.want && got.TraceID().String() != parent[3:35] {
			t.Errorf("Remote(%s) = %v, want valid %t", c.headers, got, c.want)
		}
	}
}
