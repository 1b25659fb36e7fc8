package push

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// flippingDNS is a name server whose names are first a public address and then, for
// ever, this machine: DNS rebinding.
type flippingDNS struct{ asked atomic.Int32 }

func (f *flippingDNS) resolver(t *testing.T) *net.Resolver {
	t.Helper()
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	go f.serve(c)
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp4", c.LocalAddr().String())
	}}
}

func (f *flippingDNS) serve(c net.PacketConn) {
	buffer := make([]byte, 1500)
	for {
		n, from, err := c.ReadFrom(buffer)
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(buffer[:n]) != nil || len(m.Questions) != 1 {
			continue
		}
		m.Response, m.Authoritative, m.Additionals = true, true, nil
		if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
			ip := [4]byte{127, 0, 0, 1}
			if f.asked.Add(1) == 1 {
				ip = [4]byte{93, 184, 216, 34}
			}
			m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 0}, Body: &dnsmessage.AResource{A: ip}}}
		}
		if out, err := m.Pack(); err == nil {
			_, _ = c.WriteTo(out, from)
		}
	}
}

// Asked before the dial the name is public; the dial is kept back all the same.
func TestClient_NamesThatFlip(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, func(http.ResponseWriter, *http.Request) {})
	port := portOf(t, r.Listener.Addr().String())
	dns := &flippingDNS{}
	resolver := dns.resolver(t)
	found, err := resolver.LookupHost(t.Context(), "flip.example.")
	if err != nil || len(found) != 1 || found[0] != "93.184.216.34" {
		t.Fatalf("the name is %v, %v at first, want it public", found, err)
	}
	c, err := NewClient(ClientOptions{Policy: Policy{Ports: []uint16{port}}, Resolver: resolver})
	if err != nil {
		t.Fatal(err)
	}
	e := r.endpoint()
	e.URL = fmt.Sprintf("https://flip.example.:%d/", port)
	var blocked *blockedError
	if _, err := c.send(t.Context(), &e, sample(t)); !errors.As(err, &blocked) || blocked.reason != blockedAddress {
		t.Errorf("send = %v, want it blocked", err)
	}
	if dns.asked.Load() < 2 || r.asked.Load() != 0 {
		t.Errorf("the name was asked for %d times and the receiver %d times, want 2 or more, and 0", dns.asked.Load(), r.asked.Load())
	}
}
