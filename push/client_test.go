package push

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"go.opentelemetry.io/otel/trace"

	"github.com/penguinmails/rookery/job"
)

// receiver is somebody's HTTPS server on this machine, and a client that may reach it.
type receiver struct {
	*httptest.Server
	client *Client
	asked  atomic.Int32
}

func portOf(t *testing.T, address string) uint16 {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	return uint16(n)
}

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

func newReceiver(t *testing.T, h http.HandlerFunc) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.asked.Add(1)
		h(w, req)
	}))
	r.EnableHTTP2 = true
	r.StartTLS()
	t.Cleanup(r.Close)
	r.client = r.clientWith(t, Policy{Networks: loopback, Ports: []uint16{portOf(t, r.Listener.Addr().String())}})
	return r
}

func (r *receiver) clientWith(t *testing.T, p Policy) *Client {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(r.Certificate())
	c, err := NewClient(ClientOptions{Policy: p, RootCAs: pool, UserAgent: "Rookery/test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func (r *receiver) endpoint() job.Endpoint {
	return job.Endpoint{QueueName: "q", URL: r.URL + "/hook?token=canary", Secrets: []string{job.NewEndpointSecret(), job.NewEndpointSecret()}}.Filled()
}

func sample(t *testing.T) message {
	t.Helper()
	m, err := messageOf(&job.Envelope{
		ID: 42, QueueName: "q", Kind: "welcome", AttemptCount: 3, MaxAttempts: 25,
		CreatedAt: time.Date(2026, 11, 26, 12, 0, 0, 123456000, time.UTC),
		Payload:   json.RawMessage(`{"to": "<a&b>\u2028", "n": 12345678901234567890.10}`),
	}, time.Date(2026, 11, 26, 12, 0, 30, 0, time.UTC), nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestClient_WhatAReceiverGets(t *testing.T) {
	t.Parallel()
	var (
		header http.Header
		body   []byte
	)
	r := newReceiver(t, func(_ http.ResponseWriter, req *http.Request) {
		header = req.Header.Clone()
		body, _ = io.ReadAll(req.Body)
	})
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled, Remote: true})
	e := r.endpoint()
	a, err := r.client.send(trace.ContextWithRemoteSpanContext(t.Context(), span), &e, sample(t))
	if err != nil || a.status != http.StatusOK || a.verdict() != nil {
		t.Fatalf("send = %+v, %v, want 200", a, err)
	}
	// The payload's text is kept but for the space between: its strings and numbers are
	// those that the producer wrote.
	want := `{"type":"welcome","timestamp":"2026-11-26T12:00:00.123456Z","data":{"to":"<a&b>\u2028","n":12345678901234567890.10},` +
		`"job":{"id":42,"queue_name":"q","attempt_count":3,"max_attempts":25,"deadline":"2026-11-26T12:00:30Z"}}`
	if string(body) != want {
		t.Errorf("body = %s\nwant   %s", body, want)
	}
	for name, want := range map[string]string{
		"Webhook-Id": "42", "Rookery-Attempt": "3", "User-Agent": "Rookery/test", "Content-Type": "application/json",
		"Traceparent": "00-01000000000000000000000000000000-0200000000000000-01", "Accept-Encoding": "", "Cookie": "",
	} {
		if got := header.Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	for _, secret := range e.Secrets {
		wh, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			t.Fatal(err)
		}
		if err := wh.Verify(body, header); err != nil {
			t.Errorf("Standard Webhooks' library: %v", err)
		}
	}
}

// Whatever a receiver does, a request ends in time, and little of its answer is kept.
func TestClient_HostileReceivers(t *testing.T) {
	t.Parallel()
	plain := func(serve func(net.Conn)) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) {
			c, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				panic(err)
			}
			defer c.Close()
			serve(c)
		}
	}
	drip := func(w io.Writer, text string) {
		for {
			if _, err := io.WriteString(w, text); err != nil {
				return
			}
			<-time.After(20 * time.Millisecond) // what is tested is one who is slow
		}
	}
	for name, tt := range map[string]struct {
		h     http.HandlerFunc
		check func(answer, error) bool
	}{
		"never answers": {func(_ http.ResponseWriter, req *http.Request) {
			_, _ = io.Copy(io.Discard, req.Body) // else the server does not hear the client go
			<-req.Context().Done()
		}, timedOut},
		"answers byte by byte": {plain(func(c net.Conn) {
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\nX: ")
			drip(c, "a")
		}), timedOut},
		"has a body without an end": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(http.StatusInternalServerError)
			drip(flushing{w}, "b")
		}, func(a answer, err error) bool {
			return err == nil && a.status == 500 && len(a.text) > 0 && len(a.text) <= maxErrorBody
		}},
		"has a huge body": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			_, _ = io.Copy(w, io.LimitReader(zeros{}, 1<<30))
		}, func(a answer, err error) bool { return err == nil && a.status == 200 && len(a.text) == maxErrorBody }},
		"has huge headers": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Big", strings.Repeat("a", maxHeader+1))
		}, func(_ answer, err error) bool { return err != nil }},
		"sends header after header": {plain(func(c net.Conn) {
			w := bufio.NewWriter(c)
			fmt.Fprint(w, "HTTP/1.1 200 OK\r\n")
			for i := range 1 << 20 {
				if _, err := fmt.Fprintf(w, "X-%d: a\r\n", i); err != nil {
					return
				}
			}
		}), func(_ answer, err error) bool { return err != nil && !errors.Is(err, errTimeout) }},
		"hints without an end": {plain(func(c net.Conn) {
			drip(c, "HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n")
		}), func(_ answer, err error) bool { return err != nil }},
		"speaks another protocol": {plain(func(c net.Conn) { fmt.Fprint(c, "220 mail.example ESMTP\r\n") }),
			func(_ answer, err error) bool { return err != nil && !strings.Contains(err.Error(), "canary") }},
		"switches protocols": {plain(func(c net.Conn) {
			fmt.Fprint(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
			_, _ = io.Copy(io.Discard, c)
		}), func(a answer, err error) bool { return err == nil && a.verdict() != nil }},
		"hangs up": {plain(func(net.Conn) {}), func(_ answer, err error) bool { return err != nil && !strings.Contains(err.Error(), "canary") }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newReceiver(t, tt.h)
			r.client.http.Transport.(*http.Transport).ForceAttemptHTTP2 = false // some need the bare connection
			e := r.endpoint()
			e.TimeoutMS = 60_000 // who answers is heard, however slow this machine is
			if brief := map[string]int{"never answers": 1000, "answers byte by byte": 1000, "hints without an end": 1000, "has a body without an end": 5000}; brief[name] > 0 {
				e.TimeoutMS = brief[name]
			}
			a, err := r.client.send(t.Context(), &e, sample(t))
			if !tt.check(a, err) {
				t.Errorf("send = %+v, %v", a, err)
			}
			r.CloseClientConnections()
		})
	}
}

func timedOut(_ answer, err error) bool { return errors.Is(err, errTimeout) }

type flushing struct{ w http.ResponseWriter }

func (f flushing) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	f.w.(http.Flusher).Flush()
	return n, err
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '0'
	}
	return len(p), nil
}

func TestClient_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{}, 1)
	r := newReceiver(t, func(_ http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body)
		arrived <- struct{}{}
		<-req.Context().Done()
	})
	ctx, stop := context.WithCancelCause(t.Context())
	go func() { <-arrived; stop(job.ErrCancelled) }()
	e := r.endpoint()
	if _, err := r.client.send(ctx, &e, sample(t)); !errors.Is(err, job.ErrCancelled) {
		t.Errorf("send = %v, want the cause of its ctx's end", err)
	}
}

// Where requests go is what the URL says, and nowhere else.
func TestClient_GoesNowhereElse(t *testing.T) {
	other := newReceiver(t, func(http.ResponseWriter, *http.Request) {})
	proxied := 0
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { proxied++ }))
	defer proxy.Close()
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"} {
		t.Setenv(name, proxy.URL)
	}
	// A name that nobody has: only a proxy would take a request for it.
	e := other.endpoint()
	e.URL = "http://a.invalid/"
	open := other.clientWith(t, Policy{AllowHTTP: true, Networks: loopback, Ports: []uint16{portOf(t, proxy.Listener.Addr().String())}})
	if a, err := open.send(t.Context(), &e, sample(t)); err == nil || proxied > 0 {
		t.Errorf("send to %s = %+v, and a proxy got %d requests, want no answer and none", e.URL, a, proxied)
	}
	for _, status := range []int{301, 302, 303, 307, 308} {
		r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", other.URL)
			w.WriteHeader(status)
		})
		e := r.endpoint()
		a, err := r.client.send(t.Context(), &e, sample(t))
		if o := job.OutcomeOf(job.Ref{}, a.verdict(), 0, 0); err != nil || o.Kind != job.Failed || strings.Contains(o.Error, other.URL) {
			t.Errorf("send to one that answers %d = %+v, %v, want a failure", status, o, err)
		}
	}
	if other.asked.Load() != 0 {
		t.Errorf("%d requests went where a redirect said", other.asked.Load())
	}
}

// The address is looked at when it is dialled, in whatever way it was written.
func TestClient_DialsNoPrivateAddress(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, func(http.ResponseWriter, *http.Request) {})
	port := portOf(t, r.Listener.Addr().String())
	strict := r.clientWith(t, Policy{Ports: []uint16{port}})
	for _, host := range []string{
		"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0x7f.1", "0.0.0.0", "[::]", "[::1]", "127.0.0.1.",
	} {
		e := r.endpoint()
		e.URL = fmt.Sprintf("https://%s:%d/", host, port)
		a, err := strict.send(t.Context(), &e, sample(t))
		if err == nil {
			t.Errorf("send to %s = %d, want it kept back", e.URL, a.status)
		}
		if err != nil && strings.Contains(err.Error(), ":53") {
			t.Errorf("send to %s = %v, which names the name server", e.URL, err)
		}
	}
	var blocked *blockedError
	e := r.endpoint()
	e.URL = strings.Replace(e.URL, "https:", "http:", 1)
	if _, err := strict.send(t.Context(), &e, sample(t)); !errors.As(err, &blocked) || blocked.reason != blockedScheme {
		t.Errorf("send by http = %v, want it blocked", err)
	}
	e = r.endpoint()
	if _, err := r.clientWith(t, Policy{Networks: loopback}).send(t.Context(), &e, sample(t)); !errors.As(err, &blocked) || blocked.reason != blockedPort {
		t.Errorf("send to port %d = %v, want it blocked", port, err)
	}
	if r.asked.Load() != 0 {
		t.Errorf("%d requests have arrived", r.asked.Load())
	}
}

// A certificate that nobody vouches for, and TLS 1.1, get no job.
func TestClient_TrustsNobodyElse(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, func(http.ResponseWriter, *http.Request) {})
	c, err := NewClient(ClientOptions{Policy: r.client.policy})
	if err != nil {
		t.Fatal(err)
	}
	e := r.endpoint()
	if _, err := c.send(t.Context(), &e, sample(t)); err == nil {
		t.Error("send to a server of an unknown authority = nil, want an error")
	}
	if r.asked.Load() != 0 {
		t.Error("it has got the request")
	}
	old := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("TLS 1.1 has got the request") }))
	old.StartTLS()
	defer old.Close()
	old.TLS.MinVersion, old.TLS.MaxVersion = 0x0301, 0x0302
	u, _ := url.Parse(old.URL)
	e.URL = old.URL
	if _, err := r.clientWith(t, Policy{Networks: loopback, Ports: []uint16{portOf(t, u.Host)}}).send(t.Context(), &e, sample(t)); err == nil {
		t.Error("send by TLS 1.1 = nil, want an error")
	}
}

func TestClient_TestSaysNothingOfTheAnswer(t *testing.T) {
	t.Parallel()
	status := http.StatusOK
	r := newReceiver(t, func(w http.ResponseWriter, req *http.Request) {
		var d document
		if err := json.NewDecoder(req.Body).Decode(&d); err != nil || d.Type != TestKind || d.Job != nil || !strings.HasPrefix(req.Header.Get(HeaderID), "test_") {
			t.Errorf("a test request has %+v, %v", d, err)
		}
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(status)
		fmt.Fprint(w, "canary")
	})
	got, err := r.client.Test(t.Context(), r.endpoint())
	if err != nil || !got.Delivered || got.Status != 200 || got.Problem != "" {
		t.Errorf("Test = %+v, %v, want it delivered", got, err)
	}
	status = http.StatusForbidden
	if got, err = r.client.Test(t.Context(), r.endpoint()); err != nil || got.Delivered || got.Status != 403 || strings.Contains(got.Problem, "canary") {
		t.Errorf("Test = %+v, %v, want 403 without what the receiver wrote", got, err)
	}
	e := r.endpoint()
	e.URL = "https://127.0.0.1:9/"
	if got, err = r.client.Test(t.Context(), e); err != nil || got.Delivered || got.Status != 0 || !strings.Contains(got.Problem, "blocked") {
		t.Errorf("Test = %+v, %v, want it blocked", got, err)
	}
}
