package main

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestReach(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ addr, want string }{
		{"127.0.0.1:8080", "127.0.0.1:8080"},
		{"0.0.0.0:8080", "127.0.0.1:8080"},
		{":8080", "127.0.0.1:8080"},
		{"[::]:8080", "[::1]:8080"},
		{"10.1.2.3:80", "10.1.2.3:80"},
		{"api.local:80", "api.local:80"},
		{"8080", ""},
		{"http://127.0.0.1:8080", ""},
	} {
		got, err := reach(c.addr)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("reach(%q) = %q, %v, want %q", c.addr, got, err, c.want)
		}
	}
}

func TestAskReady(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status     int
		body, want string
	}{
		{200, `{"ready": true, "checks": [{"name": "redis", "state": "degraded", "detail": "does not answer"}]}`, ""},
		{503, `{"ready": false, "checks": [{"name": "postgres", "state": "down", "detail": "does not answer"}, {"name": "redis", "state": "ok"}]}`,
			"not ready\npostgres is down: does not answer"},
		{200, `<html>`, "is no Rookery"},
		{301, ``, "is no Rookery"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/readyz" {
				t.Errorf("healthcheck asks %s", r.URL.Path)
			}
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(c.status)
			_, _ = w.Write([]byte(c.body))
		}))
		err := askReady(t.Context(), server.URL)
		server.Close()
		switch {
		case c.want == "" && err != nil:
			t.Errorf("askReady of %d %s = %v", c.status, c.body, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("askReady of %d %s = %v, want %q", c.status, c.body, err, c.want)
		}
	}
	if err := askReady(t.Context(), "http://127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "nobody answers") {
		t.Errorf("askReady of a closed port = %v", err)
	}
}

// An API that speaks TLS is asked by TLS, and a worker beside it is not.
func TestHealthcheck_WithTLS(t *testing.T) {
	ready := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"ready": true}`)) })
	t.Setenv("ROOKERY_TLS_CERT", "cert.pem")
	t.Setenv("ROOKERY_TLS_KEY", "key.pem")
	for _, start := range []func(*httptest.Server){(*httptest.Server).StartTLS, (*httptest.Server).Start} {
		server := httptest.NewUnstartedServer(ready)
		server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0) // of the handshake that fails
		start(server)
		ask := program()
		ask.SetArgs([]string{"healthcheck", "--addr", server.Listener.Addr().String()})
		if err := ask.ExecuteContext(t.Context()); err != nil {
			t.Errorf("healthcheck of %s = %v", server.URL, err)
		}
		server.Close()
	}
}
