package httpapi

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"

	"github.com/prometheus/client_golang/prometheus"
)

// The defaults and limits of [Options].
const (
	DefaultAddr    = "127.0.0.1:8080"
	DefaultMaxBody = 4 << 20 // bytes
	MinKey         = 16      // characters
	MaxKey         = 512     // characters
	MaxJobs        = 1_000   // jobs of one batch request
	MaxDepth       = 128     // levels of arrays and objects in payload and headers
)

// Options is everything about a [Server] that has a default. Its zero value
// listens on 127.0.0.1:8080 without keys.
type Options struct {
	// Addr is host:port; port 0 takes a free one. While no key is needed the host must
	// be localhost or a loopback address. Empty means [DefaultAddr].
	Addr string
	// Keys are bearer keys that are good for everything; several allow rotation. A key
	// has 16 to 512 visible ASCII characters. None, and no RequireKey: no key is
	// needed, but only loopback is served, and only to programs that address it as such.
	Keys []string
	// RequireKey lets nobody in without a key, though there be no Keys: those of
	// KeyStore are enough.
	RequireKey bool
	// KeyStore has the keys that people made, with scopes and queues; nil: there are none.
	KeyStore KeyStore
	// Tokens takes tokens of an OIDC issuer beside keys; nil: none. With it nobody is let
	// in without a key or a token.
	Tokens Tokens
	// Rate is how many requests a second each of those may make, of this process; a
	// second's worth may come at once. 0 means [DefaultRate], below 0 as many as they like.
	Rate float64
	// CertFile and KeyFile, PEM, have the server speak TLS 1.2 and above. They are read
	// again when they change. [Server.Handler] does without.
	CertFile, KeyFile string
	// KeyAdmin makes and revokes such keys; nil leaves the routes of keys out.
	KeyAdmin KeyAdmin
	// Audit keeps what people have changed; nil keeps nothing and leaves its route out.
	Audit Audit
	// ReadOnly refuses every request that would insert or change something.
	ReadOnly bool
	// MaxBody is the most bytes a request body may have; 0 means [DefaultMaxBody].
	MaxBody int64
	// Express is the express lane for urgent jobs; nil sends them the ordinary way.
	Express Express
	// Live is asked for the live status of dispatched jobs; nil leaves it null.
	Live Live
	// Spool keeps jobs while Postgres is away, and Keyed inserts what it has kept;
	// [Server.Run] then drains it. With nil a request that Postgres does not answer is
	// answered with 503.
	Spool Spool
	// Keyed inserts requests with an Idempotency-Key once, and [Server.Run] has it forget
	// old ones; with nil, and so without a Spool, the header is not looked at.
	Keyed Keyed
	// Admin is what people may see and do beyond inserting jobs; with nil its routes
	// are not there.
	Admin *Admin
	// Bulk changes many jobs at once, and [Server.Run] then works at operations; with nil its
	// routes are not there.
	Bulk *Bulk
	// Watch tells clients that wait which jobs are over; with nil nobody can wait.
	Watch Watch
	// Workers has workers do what people want; with nil its route is not there.
	Workers WorkerActions
	// Endpoints is where queues are delivered to; nil leaves its routes out.
	Endpoints Endpoints
	// Events is what became of jobs, for those who listen; nil leaves their routes out.
	Events Events
	// Pull hands jobs to workers that ask for them; with nil its routes are not there, and
	// only [Server.Run] has it hand out any.
	Pull Puller
	// Callbacks takes what receivers of push workers say after they have answered; with
	// nil its routes are not there.
	Callbacks Callbacks
	// UI makes what is served below /ui/; nil: there is nothing. While a key is needed it
	// has to find out by itself who asks, by the door that it is given.
	UI func(*Door) (UI, error)
	// Failpoint is called at the points where a crash would be interesting; nil for
	// all but tests.
	Failpoint func(name string)
	// Checks are the lines of /readyz, in this order.
	Checks []Check
	// Registry is served at /metrics, and the server's own metrics are registered
	// with it. nil means one that holds nothing else. Two servers cannot share one.
	Registry *prometheus.Registry
	// Logger receives what the server has to say; nil means [slog.Default].
	Logger *slog.Logger
}

// filled returns o with its defaults written out, or what is wrong with it. No
// error contains a key.
func (o Options) filled() (Options, error) {
	if o.Addr == "" {
		o.Addr = DefaultAddr
	}
	if o.MaxBody == 0 {
		o.MaxBody = DefaultMaxBody
	}
	if o.MaxBody < 0 {
		return o, fmt.Errorf("max body is %d bytes, must be positive", o.MaxBody)
	}
	if o.Spool != nil && o.Keyed == nil {
		return o, errors.New("the spool needs the keyed inserts")
	}
	if o.Rate == 0 {
		o.Rate = DefaultRate
	}
	if (o.CertFile == "") != (o.KeyFile == "") {
		return o, errors.New("a certificate and its key need each other")
	}
	if o.RequireKey && len(o.Keys) == 0 && o.KeyStore == nil && o.Tokens == nil {
		return o, errors.New("a key is required, and there is none")
	}
	if err := errors.Join(o.Admin.check(), o.Bulk.check()); err != nil {
		return o, err
	}
	if o.Failpoint == nil {
		o.Failpoint = func(string) {}
	}
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	for i, key := range o.Keys {
		if len(key) < MinKey || len(key) > MaxKey {
			return o, fmt.Errorf("key %d has %d characters, must have %d to %d", i+1, len(key), MinKey, MaxKey)
		}
		for _, c := range []byte(key) {
			if c <= ' ' || c > '~' {
				return o, fmt.Errorf("key %d has a character that is not visible ASCII", i+1)
			}
		}
	}
	seen := map[string]bool{}
	for i, c := range o.Checks {
		if c.Probe == nil || seen[c.Name] || !checkName(c.Name) {
			return o, fmt.Errorf("check %d (%q) needs a name of its own, of letters, digits, _ and -, and a probe", i+1, c.Name)
		}
		seen[c.Name] = true
	}
	host, _, err := net.SplitHostPort(o.Addr)
	if err != nil {
		return o, fmt.Errorf("address: %w", err)
	}
	if !o.needsKey() && !loopback(host) {
		return o, fmt.Errorf("address %q is not a loopback address: without a key the API listens on loopback only; set ROOKERY_API_KEYS, or --require-key and make one: rookery keys create", o.Addr)
	}
	return o, nil
}

// needsKey reports whether nobody passes without a key.
func (o Options) needsKey() bool { return o.RequireKey || len(o.Keys) > 0 || o.Tokens != nil }

func checkName(name string) bool {
	for _, c := range []byte(name) {
		if c != '_' && c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return name != ""
}

// loopback reports whether host, without a port, can only mean this machine.
func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
