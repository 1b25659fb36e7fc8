package push

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"syscall"

	"code.dny.dev/ssrf"

	"github.com/penguinmails/rookery/job"
)

// Policy says where requests may go. The zero value lets them go to public addresses
// (by the IANA registries of special ones), by https, on ports 443 and 8443.
type Policy struct {
	AllowHTTP bool           // plain http too, and port 80; callbacks to us as well
	Ports     []uint16       // besides these
	Networks  []netip.Prefix // that may be reached although they are not public
}

// The reasons why a request is blocked, as the metrics name them.
const (
	blockedScheme  = "scheme"
	blockedPort    = "port"
	blockedAddress = "address"
)

// blockedError says that the policy keeps a request back.
type blockedError struct{ reason, problem string }

// Error says what is not allowed, and not the address: whoever sets a URL shall not
// learn what names mean inside this network.
func (e *blockedError) Error() string { return "blocked: the URL " + e.problem }

// Check returns what is wrong with p.
func (p Policy) Check() error {
	for _, n := range p.Networks {
		if !n.IsValid() || n.Addr().Is4In6() {
			return fmt.Errorf("network %s must be like 10.1.0.0/16 or fd00::/8", n)
		}
	}
	if slices.Contains(p.Ports, 0) {
		return errors.New("port 0 is none")
	}
	return nil
}

// CheckURL returns a [*job.FieldError] when p would block every request to a URL, as
// far as that can be known without asking DNS. [job.Endpoint.Check] says whether it is a
// URL at all.
func (p Policy) CheckURL(text string) error {
	u, err := url.Parse(text)
	if err != nil {
		return &job.FieldError{Field: "url", Problem: "cannot be read as a URL"}
	}
	blocked := p.check(u)
	if ip, err := netip.ParseAddr(u.Hostname()); blocked == nil && err == nil {
		blocked = p.judge(p.guardian().SafeAddr(ip.Unmap()))
	}
	if blocked != nil {
		return &job.FieldError{Field: "url", Problem: blocked.problem}
	}
	return nil
}

// check looks at scheme and port.
func (p Policy) check(u *url.URL) *blockedError {
	if u.Scheme != "https" && (u.Scheme != "http" || !p.AllowHTTP) {
		return &blockedError{blockedScheme, "must begin with https://"}
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || !slices.Contains(p.ports(), uint16(n)) {
		return p.judge(ssrf.ErrProhibitedPort)
	}
	return nil
}

func (p Policy) ports() []uint16 {
	ports := append([]uint16{443, 8443}, p.Ports...)
	if p.AllowHTTP {
		ports = append(ports, 80)
	}
	return ports
}

func (p Policy) guardian() *ssrf.Guardian {
	var v4, v6 []netip.Prefix
	for _, n := range p.Networks {
		if n.Addr().Is4() {
			v4 = append(v4, n)
		} else {
			v6 = append(v6, n)
		}
	}
	return ssrf.New(ssrf.WithPorts(p.ports()...), ssrf.WithAllowedV4Prefixes(v4...), ssrf.WithAllowedV6Prefixes(v6...))
}

// judge translates what the guardian says; nil: nothing.
func (p Policy) judge(err error) *blockedError {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ssrf.ErrProhibitedPort):
		return &blockedError{blockedPort, fmt.Sprintf("has a port that is not one of %v", p.ports())}
	}
	return &blockedError{blockedAddress, "leads to an address that is not public"}
}

// control is a [net.Dialer]'s Control: it is asked for each address that is dialled.
func (p Policy) control() func(network, address string, _ syscall.RawConn) error {
	g := p.guardian()
	return func(network, address string, c syscall.RawConn) error {
		if blocked := p.judge(g.Safe(network, address, c)); blocked != nil {
			return blocked
		}
		return nil
	}
}
