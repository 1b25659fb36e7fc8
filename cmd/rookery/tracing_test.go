package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/otel"
)

// Not parallel: it sets the process's environment and its provider of spans.
func TestTrace_SendsSpansWhereTheEnvironmentSays(t *testing.T) {
	var mu sync.Mutex
	var got strings.Builder
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		got.WriteString(r.URL.Path + " " + string(body))
	}))
	defer collector.Close()
	before := otel.GetTracerProvider()
	defer otel.SetTracerProvider(before)

	stop, err := trace(t.Context())
	if err != nil || otel.GetTracerProvider() != before {
		t.Fatalf("trace without an endpoint = %v, and sets a provider: %t", err, otel.GetTracerProvider() != before)
	}
	stop(t.Context())

	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	t.Setenv("OTEL_SERVICE_NAME", "mailer")
	if stop, err = trace(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, span := otel.Tracer("test").Start(t.Context(), "process mail")
	span.End()
	stop(t.Context())
	mu.Lock()
	defer mu.Unlock()
	for _, want := range []string{"/v1/traces", "process mail", "mailer"} {
		if !strings.Contains(got.String(), want) {
			t.Errorf("the collector was sent %q, want %s in it", got.String(), want)
		}
	}
}
