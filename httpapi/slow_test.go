package httpapi

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener whose connections stay in memory, so that a test's clock may
// be a bubble's.
type pipes struct {
	conns chan net.Conn
	gone  chan struct{}
	once  sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.gone:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.gone) })
	return nil
}

func (*pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

func (p *pipes) dial() net.Conn {
	ours, theirs := net.Pipe()
	p.conns <- theirs
	return ours
}

// within runs test in a bubble with a server, which must have ended afterwards.
func within(t *testing.T, test func(t *testing.T, p *pipes)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := &pipes{conns: make(chan net.Conn), gone: make(chan struct{})}
		s := newServer(t, &fakeJobs{}, Options{})
		s.listener = p
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error)
		go func() { ran <- s.Run(ctx) }()
		test(t, p)
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
	})
}

// drip sends text a byte a second until somebody hangs up.
func drip(c net.Conn, text string) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for i := range len(text) {
		if _, err := io.WriteString(c, text[i:i+1]); err != nil {
			return
		}
		<-tick.C
	}
}

const slowHead = "POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"

// TestSlow_HeadAndBody: a client that sends a byte a second (slowloris) is cut off
// at the limits of server.go, to the second.
func TestSlow_HeadAndBody(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, at1, slowly string
		after             time.Duration
		want              string
	}{
		{"nothing", "", "", readHeaderTimeout, ""},
		{"half a head", "POST /v1/", strings.Repeat("a", 1000), readHeaderTimeout, ""},
		{"a head without end", slowHead + "X-A: ", strings.Repeat("a", 1000), readHeaderTimeout, ""},
		{"a body", slowHead + "Content-Length: 1000\r\n\r\n", strings.Repeat(" ", 1000), readTimeout, "408"},
		{"a body in chunks", slowHead + "Transfer-Encoding: chunked\r\n\r\n", strings.Repeat("1\r\n \r\n", 1000), readTimeout, "408"},
		{"a chunk's extension", slowHead + "Transfer-Encoding: chunked\r\n\r\n", "1;" + strings.Repeat("a", 1000), readTimeout, "40"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			within(t, func(t *testing.T, p *pipes) {
				c, start := p.dial(), time.Now()
				sent := make(chan struct{})
				go func() {
					defer close(sent)
					if _, err := io.WriteString(c, tt.at1); err == nil {
						drip(c, tt.slowly)
					}
				}()
				got, _ := io.ReadAll(c) // until the server hangs up
				if took := time.Since(start); took < tt.after || took > tt.after+time.Second {
					t.Errorf("cut off after %s, want %s", took, tt.after)
				}
				if !strings.HasPrefix(strings.TrimPrefix(string(got), "HTTP/1.1 "), tt.want) {
					t.Errorf("answer = %.100q, want %s", got, tt.want)
				}
				_ = c.Close()
				<-sent
			})
		})
	}
}

// TestSlow_IdleAndUnread: neither a connection that is kept and not used, nor one
// whose answers nobody reads, stays for good.
func TestSlow_IdleAndUnread(t *testing.T) {
	t.Parallel()
	within(t, func(t *testing.T, p *pipes) {
		c, start := p.dial(), time.Now()
		if _, err := io.WriteString(c, slowHead+"Content-Length: 2\r\n\r\n{}"); err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(c)
		if took := time.Since(start); !strings.HasPrefix(string(got), "HTTP/1.1 201") || took < idleTimeout || took > idleTimeout+time.Second {
			t.Errorf("idle: answer = %.20q, hung up after %s, want %s", got, took, idleTimeout)
		}
		unread := p.dial()
		if _, err := io.WriteString(unread, slowHead+"Content-Length: 2\r\n\r\n{}"); err != nil {
			t.Fatal(err)
		}
		<-time.After(writeTimeout + time.Second)
		if got, err := io.ReadAll(unread); len(got) > 0 || err != nil {
			t.Errorf("unread: got %.20q, %v after %s, want it hung up", got, err, writeTimeout)
		}
	})
}

// TestSlow_OthersAreServed: five hundred slow clients are in nobody's way.
func TestSlow_OthersAreServed(t *testing.T) {
	t.Parallel()
	within(t, func(t *testing.T, p *pipes) {
		var slow sync.WaitGroup
		for i := range 500 {
			c := p.dial()
			slow.Go(func() {
				head := slowHead
				if i%2 == 0 {
					head += "Content-Length: 1000\r\n\r\n"
				}
				if _, err := io.WriteString(c, head); err == nil {
					slow.Go(func() { drip(c, strings.Repeat(" ", 1000)) })
				}
				_, _ = io.Copy(io.Discard, c)
				_ = c.Close()
			})
		}
		for range 5 {
			c, start := p.dial(), time.Now()
			if _, err := io.WriteString(c, slowHead+"Content-Length: 2\r\n\r\n{}"); err != nil {
				t.Fatal(err)
			}
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil || res.StatusCode != http.StatusCreated || time.Since(start) > 0 {
				t.Fatalf("answer beside slow clients = %v, %v after %s, want 201 at once", res, err, time.Since(start))
			}
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
			_ = c.Close()
			<-time.After(time.Second)
		}
		slow.Wait()
	})
}
