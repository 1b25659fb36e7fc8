package oidc

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/penguinmails/rookery/job"
)

const (
	keysFresh    = 15 * time.Minute // then the issuer is asked again, and a withdrawn key is gone
	keysGrace    = 24 * time.Hour   // how long keys are good while it does not answer
	keysPause    = 30 * time.Second // between two questions, whatever tokens say
	fetchTimeout = 5 * time.Second
	maxDocument  = 1 << 20 // bytes of an answer
	maxKeys      = 100     // of an issuer that are looked at
	minRSA       = 2048    // bits
)

// keySet has the keys that an issuer publishes. Ages are by the monotonic clock.
type keySet struct {
	issuer string
	client *http.Client
	log    *slog.Logger
	turn   chan struct{} // holds a token while somebody asks the issuer

	mu      sync.Mutex
	keys    []jose.JSONWebKey
	fetched time.Time // when the issuer was asked and answered; zero: never
	tried   time.Time // when it was asked
	err     error     // why it did not answer
}

func newKeySet(issuer string, client *http.Client, log *slog.Logger) *keySet {
	return &keySet{issuer: issuer, client: client, log: log, turn: make(chan struct{}, 1)}
}

// find returns the key with an id for an algorithm. A [*job.TokenError]: the issuer has
// none such; [job.ErrUnavailable]: nobody knows.
//
// When keys are no longer fresh, one caller asks and waits, and the others go on with
// what is known. Who names a key that is not known waits for whoever asks.
func (s *keySet) find(ctx context.Context, id, algorithm string, now time.Time) (any, error) {
	key, age := s.known(id, algorithm, now)
	if key != nil && age < keysFresh {
		return key, nil
	}
	if key != nil && age < keysGrace {
		select {
		case s.turn <- struct{}{}:
			s.refresh(ctx, now)
			<-s.turn
			key, age = s.known(id, algorithm, now)
		default:
		}
	}
	if key == nil || age >= keysGrace {
		select {
		case s.turn <- struct{}{}:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: wait for the issuer's keys: %w", job.ErrUnavailable, ctx.Err())
		}
		if key, age = s.known(id, algorithm, now); key == nil || age >= keysGrace {
			s.refresh(ctx, now)
			key, age = s.known(id, algorithm, now)
		}
		<-s.turn
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case key != nil && age < keysGrace:
		return key, nil
	case s.err != nil:
		return nil, fmt.Errorf("%w: the issuer's keys: %w", job.ErrUnavailable, s.err)
	}
	return nil, refused("names a key that its issuer does not have for this algorithm")
}

// known returns a key that was published, nil for none, and how long ago that was heard.
// A token that names no key means the only one that fits.
func (s *keySet) known(id, algorithm string, now time.Time) (key any, age time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.keys {
		if id != "" && k.KeyID != id || !fits(k, algorithm) {
			continue
		}
		if key != nil {
			return nil, 0 // which of the two?
		}
		key = k.Key
	}
	return key, now.Sub(s.fetched)
}

// fits reports whether a key may sign by an algorithm: the key decides, not the token.
func fits(k jose.JSONWebKey, algorithm string) bool {
	if k.Use != "" && k.Use != "sig" || k.Algorithm != "" && k.Algorithm != algorithm {
		return false
	}
	switch key := k.Key.(type) {
	case *rsa.PublicKey:
		return algorithm == string(jose.RS256) && key.N.BitLen() >= minRSA
	case *ecdsa.PublicKey:
		return algorithm == string(jose.ES256) && key.Curve == elliptic.P256()
	case ed25519.PublicKey:
		return algorithm == string(jose.EdDSA)
	}
	return false // a secret, or a private key: no issuer publishes such
}

// refresh asks the issuer, unless it was asked just now. The caller has the turn. The
// client may hang up; others wait for the answer too.
func (s *keySet) refresh(ctx context.Context, now time.Time) {
	s.mu.Lock()
	early := !s.tried.IsZero() && now.Sub(s.tried) < keysPause
	if !early {
		s.tried = now
	}
	s.mu.Unlock()
	if early {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
	defer cancel()
	keys, err := s.fetch(ctx)
	if err != nil {
		s.log.WarnContext(ctx, "keys of the OIDC issuer not read for now", logError, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err = err; err == nil {
		s.keys, s.fetched = keys, now
	}
}

// logError is the key of a log line.
const logError = "error"

// fetch finds out where the keys are, and reads them.
func (s *keySet) fetch(ctx context.Context) ([]jose.JSONWebKey, error) {
	var where struct {
		KeysURL string `json:"jwks_uri"`
	}
	if err := s.discover(ctx, &where); err != nil {
		return nil, err
	}
	if err := CheckURL(where.KeysURL); err != nil {
		return nil, fmt.Errorf("jwks_uri: %w", err)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := s.get(ctx, where.KeysURL, &set); err != nil {
		return nil, err
	}
	var out []jose.JSONWebKey
	for _, text := range set.Keys[:min(len(set.Keys), maxKeys)] {
		var k jose.JSONWebKey
		if k.UnmarshalJSON(text) == nil && k.Valid() { // others are of kinds that we do not take
			out = append(out, k)
		}
	}
	return out, nil
}

// discover reads the issuer's discovery document, which must be its own.
func (s *keySet) discover(ctx context.Context, into any) error {
	var text json.RawMessage
	if err := s.get(ctx, strings.TrimSuffix(s.issuer, "/")+"/.well-known/openid-configuration", &text); err != nil {
		return err
	}
	var whose struct {
		Issuer string `json:"issuer"`
	}
	if json.Unmarshal(text, &whose) != nil || json.Unmarshal(text, into) != nil {
		return errors.New("the discovery document is not what it should be")
	}
	if whose.Issuer != s.issuer {
		return errors.New("the discovery document is of another issuer")
	}
	return nil
}

func (s *keySet) get(ctx context.Context, from string, into any) (err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return fmt.Errorf("ask the issuer: %w", err)
	}
	r.Header.Set("Accept", "application/json")
	res, err := s.client.Do(r)
	if err != nil {
		return fmt.Errorf("ask the issuer: %w", err)
	}
	defer func() { err = errors.Join(err, res.Body.Close()) }()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("ask the issuer: %s answered %d", r.URL.Path, res.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, maxDocument+1))
	if err != nil {
		return fmt.Errorf("ask the issuer: %w", err)
	}
	if len(text) > maxDocument {
		return fmt.Errorf("ask the issuer: %s has more than %d bytes", r.URL.Path, maxDocument)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("ask the issuer: %s is not what it should be", r.URL.Path)
	}
	return nil
}

// newClient returns a client that goes nowhere else than it is sent.
func newClient() *http.Client {
	return &http.Client{
		Timeout:       fetchTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("redirects are not followed") },
	}
}

// CheckURL says what is wrong with a URL of an issuer, or one that an issuer sends browsers
// to: plain HTTP is for this machine.
func CheckURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" && u.Path == "" || u.Fragment != "" {
		return errors.New("must be a URL such as https://id.example.com, without user and fragment")
	}
	ip, err := netip.ParseAddr(u.Hostname())
	local := u.Hostname() == "localhost" || err == nil && ip.Unmap().IsLoopback()
	if u.Scheme != "https" && (u.Scheme != "http" || !local) {
		return errors.New("must begin with https://; http:// is for loopback addresses only")
	}
	return nil
}
