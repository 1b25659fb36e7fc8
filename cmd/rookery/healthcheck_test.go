package main

import (
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
		err := askReady(t.Context(), strings.TrimPrefix(server.URL, "http://"))
		server.Close()
		switch {
		case c.want == "" && err != nil:
			t.Errorf("askReady of %d %s = %v", c.status, c.body, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("askReady of %d %s = %v, want %q", c.status, c.body, err, c.want)
		}
	}
	if err := askReady(t.Context(), "127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "nobody answers") {
		t.Errorf("askReady of a closed port = %v", err)
	}
}
