package oidc

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/penguinmails/rookery/job"
)

// Limits of a token.
const (
	maxToken   = 8 << 10 // bytes
	maxSubject = 190     // characters: outbox.audit has room for "oidc:" before it
	leeway     = time.Minute
)

// DefaultScopeClaim has a token's scopes unless [Options] say otherwise:
// https://www.rfc-editor.org/rfc/rfc8693#section-4.2.
const DefaultScopeClaim = "scope"

// Options is everything about a [Verifier] that has a default.
type Options struct {
	// ScopeClaim names the scopes of a token; dots lead into objects, as in
	// realm_access.roles. "" means [DefaultScopeClaim].
	ScopeClaim string
	// QueuesClaim names the queues that a token is for, as keys have them; "*" alone means
	// every queue. A token without it is then refused. "": tokens are for every queue.
	QueuesClaim string
	Client      *http.Client // nil: one that follows no redirects and waits for 5 s
	Logger      *slog.Logger // nil means [slog.Default]
}

// Verifier knows the tokens of one issuer. It may be used concurrently.
type Verifier struct {
	issuer, audience string
	scopes           claim
	queues           claim // nil: tokens are for every queue
	keys             *keySet
}

// New returns a Verifier of tokens that issuer signs for audience. It does not ask the
// issuer yet.
func New(issuer, audience string, o Options) (*Verifier, error) {
	if err := CheckURL(issuer); err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	if audience == "" {
		return nil, errors.New("an audience is needed: without one, tokens for other services of the issuer would be good here")
	}
	if o.Client == nil {
		o.Client = newClient()
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	v := &Verifier{issuer: issuer, audience: audience, keys: newKeySet(issuer, o.Client, o.Logger)}
	var err error
	if v.scopes, err = parseClaim(cmp.Or(o.ScopeClaim, DefaultScopeClaim)); err != nil {
		return nil, fmt.Errorf("claim of the scopes: %w", err)
	}
	if o.QueuesClaim != "" {
		if v.queues, err = parseClaim(o.QueuesClaim); err != nil {
			return nil, fmt.Errorf("claim of the queues: %w", err)
		}
	}
	return v, nil
}

// algorithms are those that a token may be signed by: each by one kind of key, and none
// by a shared secret.
func algorithms() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.EdDSA}
}

// Verify returns who the holder of a token is. A [*job.TokenError] refuses it;
// [job.ErrUnavailable]: the issuer does not answer, and its keys are not known.
func (v *Verifier) Verify(ctx context.Context, token string, now time.Time) (job.Bearer, error) {
	std, all, err := v.claims(ctx, token, now)
	if err != nil {
		return job.Bearer{}, err
	}
	return v.bearer(std.Subject, all)
}

// claims returns what a token says that is good now.
func (v *Verifier) claims(ctx context.Context, token string, now time.Time) (std jwt.Claims, all map[string]json.RawMessage, err error) {
	if len(token) > maxToken {
		return std, nil, refused("has %d bytes, may have %d", len(token), maxToken)
	}
	parsed, err := jwt.ParseSigned(token, algorithms())
	if err != nil || len(parsed.Headers) != 1 {
		return std, nil, refused("is no JSON Web Token signed by RS256, ES256 or EdDSA")
	}
	key, err := v.keys.find(ctx, parsed.Headers[0].KeyID, parsed.Headers[0].Algorithm, now)
	if err != nil {
		return std, nil, err
	}
	if parsed.Claims(key, &std, &all) != nil {
		return std, nil, refused("is not signed by the key that it names, or its claims cannot be read")
	}
	return std, all, v.check(std, now)
}

// check compares the claims that every token has.
func (v *Verifier) check(c jwt.Claims, now time.Time) error {
	switch err := c.ValidateWithLeeway(jwt.Expected{Issuer: v.issuer, AnyAudience: jwt.Audience{v.audience}, Time: now}, leeway); {
	case c.Expiry == nil:
		return refused("has no end (exp)")
	case errors.Is(err, jwt.ErrInvalidIssuer):
		return refused("is of another issuer (iss)")
	case errors.Is(err, jwt.ErrInvalidAudience):
		return refused("is for another audience (aud)")
	case errors.Is(err, jwt.ErrExpired):
		return refused("has expired (exp)")
	case err != nil:
		return refused("is not good yet (nbf, iat)")
	}
	odd := func(r rune) bool { return !unicode.IsPrint(r) }
	if n := utf8.RuneCountInString(c.Subject); n == 0 || n > maxSubject || strings.ContainsFunc(c.Subject, odd) {
		return refused("needs a subject (sub) of 1 to %d characters that can be printed", maxSubject)
	}
	return nil
}

// bearer reads what the claims allow. Scopes that are not ours are somebody else's.
func (v *Verifier) bearer(subject string, claims map[string]json.RawMessage) (job.Bearer, error) {
	b := job.Bearer{Subject: subject}
	words, ok := v.scopes.words(claims)
	if !ok {
		return b, refused("has a claim of scopes that is neither text nor a list of texts")
	}
	for _, scope := range job.Scopes() {
		if slices.Contains(words, string(scope)) {
			b.Scopes = append(b.Scopes, scope)
		}
	}
	if v.queues != nil {
		b.Queues, ok = v.queues.words(claims)
		if !ok || len(b.Queues) == 0 {
			return job.Bearer{}, refused("has no claim of the queues that it is for")
		}
		if len(b.Queues) == 1 && b.Queues[0] == "*" {
			b.Queues = nil
		}
	}
	if len(b.Scopes) > 0 {
		if err := (job.APIKey{Name: "token", Scopes: b.Scopes, Queues: b.Queues}).Check(); err != nil {
			return job.Bearer{}, refused("asks for what no key can have: %v", err)
		}
	}
	return b, nil
}

// words reads what stands at c.
func (c claim) words(claims map[string]json.RawMessage) (words []string, ok bool) {
	value, ok := c.in(claims)
	if !ok {
		return nil, false
	}
	return wordsOf(value)
}

// wordsOf reads a claim: words between spaces, or a list of texts. One that is missing
// has none.
func wordsOf(claim json.RawMessage) (words []string, ok bool) {
	if len(claim) == 0 {
		return nil, true
	}
	var text string
	if json.Unmarshal(claim, &text) == nil {
		return strings.Fields(text), string(claim) != "null"
	}
	var pointers []*string // nil for a null, which would be read as ""
	if json.Unmarshal(claim, &pointers) != nil {
		return nil, false
	}
	for _, p := range pointers {
		if p == nil {
			return nil, false
		}
		words = append(words, *p)
	}
	return words, true
}

func refused(format string, args ...any) error {
	return &job.TokenError{Problem: fmt.Sprintf(format, args...)}
}
