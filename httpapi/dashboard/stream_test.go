package dashboard_test

import (
	"bufio"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/penguinmails/rookery"
)

// The stream says when the figures have changed.
func TestStream_TicksAndEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	server := httptest.NewServer(w.handler)
	t.Cleanup(server.Close)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/ui/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if got := res.Header.Get("Content-Type"); res.StatusCode != http.StatusOK || got != "text/event-stream" {
		t.Fatalf("stream = %d %s", res.StatusCode, got)
	}
	lines := bufio.NewScanner(res.Body)
	tick := func() {
		t.Helper()
		for lines.Scan() {
			if lines.Text() == "event: tick" {
				return
			}
		}
		t.Fatalf("the stream ended without a tick: %v", lines.Err())
	}
	tick() // the first look is a change
	w.insert("mail", "welcome")
	tick()
}

// A page that is open somewhere does not keep a server from ending.
func TestStream_DoesNotHoldUpShutdown(t *testing.T) {
	t.Parallel()
	var log lines
	w := newWorld(t, func(c *rookery.Config) {
		c.HTTPAddr, c.Logger = "127.0.0.1:0", slog.New(slog.NewTextHandler(&log, nil))
	})
	if err := w.api.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1) // 1: the server's goroutine ends even if the test has failed
	go func() { ended <- w.api.Run(ctx) }()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+w.api.Addr()+"/ui/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	stop()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("Run = %v", err)
		}
	case <-time.After(patience):
		t.Fatal("the server does not end")
	}
	if strings.Contains(log.String(), "cut off") {
		t.Errorf("the stream had to be cut off:\n%s", log.String())
	}
}

// lines keeps a log.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write adds to it.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String returns all of it.
func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
