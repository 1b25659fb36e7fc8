package job

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Limits and defaults of an [Endpoint]. Postgres enforces the same.
const (
	MaxEndpoints         = 200   // of one database: each push process works on all of them
	MaxEndpointURL       = 2_048 // bytes
	DefaultEndpointMS    = 30_000
	MinEndpointMS        = 1_000
	MaxEndpointMS        = 600_000
	DefaultInFlight      = 10
	MaxInFlight          = 1_000
	MaxRequestRate       = 10_000 // a second
	MaxSecretOverlap     = 7 * 24 * time.Hour
	DefaultSecretOverlap = 24 * time.Hour
	minSecret, maxSecret = 24, 64 // random bytes, as Standard Webhooks has it
	drawnSecret          = 32
	prefixOfSecret       = "whsec_"
	maxDisabledReason    = 500 // characters
)

// Endpoint is the URL that the jobs of a queue are delivered to. MaxInFlight and
// RatePerSecond hold over all push processes.
type Endpoint struct {
	QueueName      string     `json:"queue_name"`
	URL            string     `json:"url"`
	TimeoutMS      int        `json:"timeout_ms"`      // of one request, from dial to answer
	MaxInFlight    int        `json:"max_in_flight"`   // requests at once
	RatePerSecond  float64    `json:"rate_per_second"` // requests a second; 0: no limit
	DisabledAt     *time.Time `json:"disabled_at"`     // nil: it is delivered to
	DisabledReason string     `json:"disabled_reason,omitempty"`
	CreatedAt      time.Time  `json:"created_at"`
	UpdatedAt      time.Time  `json:"updated_at"`

	// Secrets sign requests, the newest first; there are two while one replaces the
	// other. They are shown once, when they are made.
	Secrets []string `json:"-"`
}

// PushLimits are what an endpoint has, over all push workers.
type PushLimits struct {
	MaxInFlight   int
	RatePerSecond float64       // 0: no limit
	Lease         time.Duration // how long a request is believed to be under way without being renewed
}

// Timeout is how long one request may take.
func (e Endpoint) Timeout() time.Duration { return time.Duration(e.TimeoutMS) * time.Millisecond }

// Filled returns e with its defaults written out.
func (e Endpoint) Filled() Endpoint {
	if e.TimeoutMS == 0 {
		e.TimeoutMS = DefaultEndpointMS
	}
	if e.MaxInFlight == 0 {
		e.MaxInFlight = DefaultInFlight
	}
	return e
}

// Check returns a [*FieldError] for what Postgres would refuse. Whether requests may go
// to the URL is for whoever sends them to say.
func (e Endpoint) Check() error {
	if err := CheckQueueName(e.QueueName); err != nil {
		return err
	}
	switch {
	case e.TimeoutMS < MinEndpointMS || e.TimeoutMS > MaxEndpointMS:
		return &FieldError{Field: "timeout_ms", Problem: fmt.Sprintf("is %d, must be %d to %d", e.TimeoutMS, MinEndpointMS, MaxEndpointMS)}
	case e.MaxInFlight < 1 || e.MaxInFlight > MaxInFlight:
		return &FieldError{Field: "max_in_flight", Problem: fmt.Sprintf("is %d, must be 1 to %d", e.MaxInFlight, MaxInFlight)}
	case !(e.RatePerSecond == 0 || e.RatePerSecond >= 0.01 && e.RatePerSecond <= MaxRequestRate): // NaN is none
		return &FieldError{Field: "rate_per_second", Problem: fmt.Sprintf("is %g, must be 0.01 to %d, or 0 for no limit", e.RatePerSecond, MaxRequestRate)}
	}
	return checkEndpointURL(e.URL)
}

// checkEndpointURL does not repeat the URL: tokens may stand in it.
func checkEndpointURL(text string) error {
	wrong := func(format string, args ...any) error {
		return &FieldError{Field: "url", Problem: fmt.Sprintf(format, args...)}
	}
	if text == "" || len(text) > MaxEndpointURL {
		return wrong("has %d bytes, must have 1 to %d", len(text), MaxEndpointURL)
	}
	for _, c := range []byte(text) {
		if c <= ' ' || c > '~' {
			return wrong("has a character that is not visible ASCII; escape it, or write the host in punycode")
		}
	}
	u, err := url.Parse(text)
	if err != nil {
		return wrong("cannot be read as a URL")
	}
	port, err := strconv.Atoi(u.Port())
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return wrong("must begin with https:// or http://")
	case u.Hostname() == "":
		return wrong("has no host")
	case u.User != nil:
		return wrong("has a user or password, which it must not: requests are signed")
	case u.Fragment != "" || strings.Contains(text, "#"):
		return wrong("has a fragment, which no request carries")
	case strings.HasSuffix(u.Host, ":"), u.Port() != "" && (err != nil || port < 1 || port > 65_535):
		return wrong("has a port that is not 1 to 65535")
	case strings.Contains(u.Hostname(), "%"):
		return wrong("has a zone in its host, which it must not")
	}
	return nil
}

// EndpointResult is what became of a queue's attempts in some time.
type EndpointResult struct{ Completed, Failed int64 }

// EndpointTest is what came of a test request.
type EndpointTest struct {
	Delivered bool   `json:"delivered"`         // it was answered with 2xx
	Status    int    `json:"status,omitempty"`  // of the answer; 0: there was none
	TookMS    int64  `json:"took_ms"`           // from dial to answer
	Problem   string `json:"problem,omitempty"` // "" when it was delivered; never what the receiver wrote
}

// NewEndpointSecret draws a secret that requests are signed with.
func NewEndpointSecret() string {
	var b [drawnSecret]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return prefixOfSecret + base64.StdEncoding.EncodeToString(b[:])
}

// ParseEndpointSecret returns the bytes of a secret: whsec_ and 24 to 64 of them in
// base64. The error does not repeat it.
func ParseEndpointSecret(text string) ([]byte, error) {
	encoded, ok := strings.CutPrefix(text, prefixOfSecret)
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil || len(raw) < minSecret || len(raw) > maxSecret {
		return nil, errors.New("a secret must be whsec_ and 24 to 64 bytes in base64")
	}
	return raw, nil
}

// DisabledReason makes a reason for having disabled an endpoint storable.
func DisabledReason(text string) string {
	r := []rune(ErrorText(text))
	return string(r[:min(len(r), maxDisabledReason)])
}
