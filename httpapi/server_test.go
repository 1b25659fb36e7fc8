package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// patience bounds every wait. Nothing is concluded from how long one took.
const patience = 2 * time.Minute

func TestServer_ShutsDownGracefully(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan struct{}), make(chan struct{})
	jobs := &fakeJobs{before: func(context.Context) { close(entered); <-leave }}
	s := newServer(t, jobs, Options{Addr: "127.0.0.1:0"})
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(); err != nil {
		t.Errorf("Listen again = %v, want nil", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()

	type result struct {
		status int
		err    error
	}
	answered := make(chan result, 1)
	go func() {
		r, err := http.Post("http://"+s.Addr()+"/v1/jobs", "application/json", strings.NewReader(`{}`))
		if err != nil {
			answered <- result{err: err}
			return
		}
		answered <- result{status: r.StatusCode, err: r.Body.Close()}
	}()
	<-entered
	cancel()
	isClosed(t, s)
	select {
	case err := <-ran:
		t.Fatalf("Run = %v before its request was answered", err)
	default:
	}
	close(leave)
	if got := <-answered; got.status != http.StatusCreated || got.err != nil {
		t.Errorf("answer during shutdown = %+v, want 201", got)
	}
	if err := <-ran; err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
	if err := s.Run(t.Context()); err == nil {
		t.Error("Run again = nil, want an error")
	}
}

func TestServer_LetsTheAddressGo(t *testing.T) {
	t.Parallel()
	s := newServer(t, &fakeJobs{}, Options{Addr: "127.0.0.1:0"})
	if got := s.Addr(); got != "127.0.0.1:0" {
		t.Errorf("Addr before Listen = %s", got)
	}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	taken := newServer(t, &fakeJobs{}, Options{Addr: s.Addr()})
	if err := taken.Run(t.Context()); err == nil {
		t.Error("Run on a taken address = nil, want an error")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Run(ended); err != nil {
		t.Errorf("Run with an ended context = %v, want nil", err)
	}
	isClosed(t, s)
}

// isClosed waits until the server listens no more. It asks the listener: somebody else
// may have its port by now.
func isClosed(t *testing.T, s *Server) {
	t.Helper()
	if c, err := s.listener.Accept(); !errors.Is(err, net.ErrClosed) {
		if err == nil {
			_ = c.Close()
		}
		t.Errorf("Accept = %v, want %v", err, net.ErrClosed)
	}
}

// TestServer_OnTheWire sends what http.Client would not.
func TestServer_OnTheWire(t *testing.T) {
	t.Parallel()
	s := newServer(t, &fakeJobs{}, Options{Addr: "127.0.0.1:0", MaxBody: 1000})
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	const head = "POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
	for _, tt := range []struct{ name, send, want string }{
		{"fine", head + "Content-Length: 2\r\n\r\n{}", "HTTP/1.1 201"},
		{"chunked", head + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", "HTTP/1.1 201"},
		{"said to be too large", head + "Content-Length: 1001\r\n\r\n", "HTTP/1.1 413"},
		{"too large without saying", head + "Transfer-Encoding: chunked\r\n\r\n3e9\r\n" + strings.Repeat(" ", 1001) + "\r\n0\r\n\r\n", "HTTP/1.1 413"},
		{"bad chunk", head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", "HTTP/1.1 400"},
		{"two lengths", head + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", "HTTP/1.1 400"},
		{"huge header", head + "X-A: " + strings.Repeat("a", 64<<10) + "\r\n\r\n", "HTTP/1.1 431"},
		{"HEAD", "HEAD /v1/queues HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "HTTP/1.1 200"},
		{"OPTIONS", "OPTIONS /v1/jobs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "HTTP/1.1 204"},
	} {
		got, err := exchange(t.Context(), s.Addr(), tt.send)
		if err != nil || !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s = %.80q, %v, want %s", tt.name, got, err, tt.want)
		}
	}
	cancel()
	if err := <-ran; err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
}

func exchange(ctx context.Context, addr, send string) (string, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(c, send); err != nil {
		return "", fmt.Errorf("write: %w", err)
	}
	got, err := io.ReadAll(c)
	if len(got) > 0 {
		err = nil // a reset behind the answer is TCP's way to refuse the rest
	}
	return string(got), err
}
