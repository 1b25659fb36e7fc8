package push

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/workers"
)

// What Svix tests its own filter with (server/svix-server, is_allowed), what others have
// let through, and what is nobody's business: none is dialled.
var private = []string{
	"0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.254", "127.0.0.1", "127.255.0.1",
	"169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.19.255.255",
	"198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
	"::", "::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "100::1", "2001::1", "2001:2::1", "2001:db8::1",
	"2002:a00:1::", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1",
}

func TestPolicy_NoAddressButPublicOnes(t *testing.T) {
	t.Parallel()
	control := Policy{}.control()
	for _, ip := range private {
		var blocked *blockedError
		network := "tcp4"
		if strings.Contains(ip, ":") {
			network = "tcp6"
		}
		address := netip.AddrPortFrom(netip.MustParseAddr(ip), 443).String()
		if err := control(network, address, nil); !errors.As(err, &blocked) || blocked.reason != blockedAddress || strings.Contains(err.Error(), ip) {
			t.Errorf("dial %s: %v, want it blocked and not repeated", address, err)
		}
		if err := (Policy{}).CheckURL("https://" + hostOf(ip)); err == nil && ip != "::ffff:8.8.8.8" {
			t.Errorf("CheckURL of %s = nil, want it refused where it stands", ip)
		}
	}
	for _, address := range []string{"8.8.8.8:443", "93.184.216.34:8443", "[2606:4700::1111]:443"} {
		network := "tcp4"
		if address[0] == '[' {
			network = "tcp6"
		}
		if err := control(network, address, nil); err != nil {
			t.Errorf("dial %s: %v, want it let out", address, err)
		}
	}
	for _, address := range []string{"8.8.8.8:22", "8.8.8.8:80", "8.8.8.8:6379"} {
		var blocked *blockedError
		if err := control("tcp4", address, nil); !errors.As(err, &blocked) || blocked.reason != blockedPort {
			t.Errorf("dial %s: %v, want the port blocked", address, err)
		}
	}
	if err := control("unix", "/run/x.sock", nil); err == nil {
		t.Error("a socket of this machine is dialled")
	}
}

func hostOf(ip string) string {
	if strings.Contains(ip, ":") {
		return "[" + ip + "]"
	}
	return ip
}

func TestPolicy_WhatMayBeSet(t *testing.T) {
	t.Parallel()
	strict := Policy{}
	open := Policy{AllowHTTP: true, Ports: []uint16{3000}, Networks: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00:1::/32")}}
	for _, tt := range []struct {
		url          string
		strict, open bool
	}{
		{"https://a.example/x", true, true},
		{"https://a.example:8443", true, true},
		{"http://a.example", false, true},
		{"http://a.example:3000", false, true},
		{"https://a.example:3000", false, true},
		{"https://a.example:22", false, false},
		{"https://a.example:80", false, true},
		{"https://10.1.2.3", false, true},
		{"https://10.2.2.3", false, false},
		{"https://[::ffff:10.1.2.3]", false, true}, // dialled as 10.1.2.3
		{"https://[fd00:1::1]", false, true},
		{"https://[fd00:2::1]", false, false},
		{"https://127.0.0.1", false, false},
		{"https://2130706433", true, true}, // a name, as far as is known; the dial knows better
		{"ftp://a.example", false, false},
	} {
		for name, c := range map[string]struct {
			p    Policy
			want bool
		}{"strict": {strict, tt.strict}, "open": {open, tt.open}} {
			err := c.p.CheckURL(tt.url)
			var field *job.FieldError
			if (err == nil) != c.want || err != nil && (!errors.As(err, &field) || field.Field != "url") {
				t.Errorf("%s.CheckURL(%s) = %v, want let through %t", name, tt.url, err, c.want)
			}
		}
	}
	for _, bad := range []Policy{{Ports: []uint16{0}}, {Networks: []netip.Prefix{{}}}, {Networks: []netip.Prefix{netip.MustParsePrefix("::ffff:10.0.0.0/104")}}} {
		if _, err := NewClient(ClientOptions{Policy: bad}); err == nil {
			t.Errorf("NewClient(%+v) = nil, want an error", bad)
		}
	}
}

// Tokens travel to the callback URL: in the clear only within this machine, or where
// somebody has said so.
func TestPolicy_CheckCallbackURL(t *testing.T) {
	t.Parallel()
	for url, allowed := range map[string][2]bool{ // strict, and with AllowHTTP
		"": {true, true}, "https://rookery.example": {true, true}, "https://10.0.0.1:8443/base": {true, true},
		"http://localhost:8080": {true, true}, "http://127.0.0.1:8080": {true, true}, "http://127.9.9.9": {true, true}, "http://[::1]:8080": {true, true}, "http://[::ffff:127.0.0.1]": {true, true},
		"http://rookery.example": {false, true}, "http://10.0.0.1:8080": {false, true}, "HTTP://rookery.example": {false, true}, "http://localhost.example": {false, true}, "http://127.0.0.1.example": {false, true}, "http://0.0.0.0": {false, true},
		"rookery.example": {false, false}, "ftp://localhost": {false, false}, "http://u@localhost": {false, false}, "https://a.example?x": {false, false}, "https://": {false, false},
	} {
		for i, p := range []Policy{{}, {AllowHTTP: true}} {
			if err := p.CheckCallbackURL(url); (err == nil) != allowed[i] {
				t.Errorf("CheckCallbackURL(%q), AllowHTTP %v = %v", url, p.AllowHTTP, err)
			}
		}
	}
}

func TestNew_CallbackURLIsHTTPS(t *testing.T) {
	t.Parallel()
	for _, allow := range []bool{false, true} {
		client, err := NewClient(ClientOptions{Policy: Policy{AllowHTTP: allow}})
		if err != nil {
			t.Fatal(err)
		}
		work := func(string, int, workers.Handler) (Runner, error) { return nil, nil }
		_, err = New(&fakeStore{}, client, work, Options{CallbackURL: "http://rookery.example"})
		if allow != (err == nil) || err != nil && !strings.Contains(err.Error(), "must begin with https://") {
			t.Errorf("New, plain http allowed %v = %v", allow, err)
		}
	}
}
