package push

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/propagation"

	"github.com/penguinmails/rookery/job"
)

// What a receiver gets, and no more.
const (
	dialTime    = 5 * time.Second
	tlsTime     = 5 * time.Second
	bodyTime    = 2 * time.Second // for the body, once the status is known
	idleTime    = 90 * time.Second
	pingAfter   = 15 * time.Second // of silence on a connection of HTTP/2
	pingTime    = 5 * time.Second  // for its answer; else a dead one would swallow request after request
	maxHeader   = 16 << 10         // bytes of an answer's headers
	maxBody     = 64 << 10         // bytes of an answer's body
	idlePerHost = 64
)

// Client sends signed requests where [Policy] lets it. It is safe for concurrent use.
type Client struct {
	policy Policy
	agent  string
	http   *http.Client
}

// ClientOptions of [NewClient]. The zero value works.
type ClientOptions struct {
	Policy    Policy
	UserAgent string         // "" means "Rookery"
	RootCAs   *x509.CertPool // who vouches for receivers; nil: whom the system trusts
	Resolver  *net.Resolver  // nil: the system's
}

// NewClient returns a Client; an error says what is wrong with the policy.
func NewClient(o ClientOptions) (*Client, error) {
	if err := o.Policy.Check(); err != nil {
		return nil, fmt.Errorf("new push client: %w", err)
	}
	if o.UserAgent == "" {
		o.UserAgent = "Rookery"
	}
	dialer := &net.Dialer{Timeout: dialTime, Control: o.Policy.control(), Resolver: o.Resolver}
	return &Client{policy: o.Policy, agent: o.UserAgent, http: &http.Client{
		Transport: &http.Transport{
			Proxy:                  nil, // whatever the environment says: a proxy would dial for us
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.RootCAs},
			TLSHandshakeTimeout:    tlsTime,
			ForceAttemptHTTP2:      true,
			HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTime},
			MaxResponseHeaderBytes: maxHeader,
			DisableCompression:     true, // what we read is what was sent
			IdleConnTimeout:        idleTime,
			MaxIdleConnsPerHost:    idlePerHost,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Close closes connections that are not in use.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// errTimeout ends a request that has taken longer than its endpoint's timeout.
var errTimeout = errors.New("timeout")

// send makes one request, and returns the answer or why there is none: a
// [*blockedError], errTimeout, the cause of ctx's end, or what went wrong on the way.
func (c *Client) send(ctx context.Context, e *job.Endpoint, m message) (answer, error) {
	u, err := url.Parse(e.URL)
	if err != nil {
		return answer{}, errors.New("the URL cannot be read") // not repeated: tokens may stand in it
	}
	if blocked := c.policy.check(u); blocked != nil {
		return answer{}, blocked
	}
	now := time.Now()
	signature, err := Sign(e.Secrets, m.id, now, m.body)
	if err != nil {
		return answer{}, err
	}
	asking, stop := context.WithTimeoutCause(ctx, e.Timeout(), errTimeout)
	defer stop()
	req, err := http.NewRequestWithContext(asking, http.MethodPost, e.URL, bytes.NewReader(m.body))
	if err != nil {
		return answer{}, errors.New("the URL cannot be read")
	}
	h := req.Header
	h.Set("Content-Type", "application/json")
	h.Set("User-Agent", c.agent)
	h.Set(HeaderID, m.id)
	h.Set(HeaderTimestamp, strconv.FormatInt(now.Unix(), 10))
	h.Set(HeaderSignature, signature)
	if m.attempt > 0 {
		h.Set(headerAttempt, strconv.Itoa(int(m.attempt)))
	}
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(h))
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{}, why(asking, err)
	}
	defer resp.Body.Close()
	a := answerOf(resp, now)
	// The status decides. The body is read for people, and to use the connection again.
	late := time.AfterFunc(bodyTime, stop)
	defer late.Stop()
	if resp.StatusCode >= http.StatusOK { // else the connection is another protocol's now
		body, _ := io.ReadAll(io.LimitReader(resp.Body, maxBody))
		a.text = textOf(resp.Header.Get("Content-Type"), body)
	}
	return a, nil
}

// why says why there is no answer, without the URL, which may have tokens in it.
func why(ctx context.Context, err error) error {
	var blocked *blockedError
	if errors.As(err, &blocked) {
		return blocked
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	var lookup *net.DNSError
	if errors.As(err, &lookup) { // it names the name server, which is nobody's business
		return errors.New("the address of the host is not known: " + lookup.Err)
	}
	var of *url.Error
	if errors.As(err, &of) {
		err = of.Err
	}
	return err
}
