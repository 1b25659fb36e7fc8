package httpapi

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/penguinmails/rookery/job"
)

// guard decides who may speak to the API.
type guard struct {
	keys   [][sha256.Size]byte // hashes of the options' keys, each good for everything
	cache  *keyCache           // keys that people made; nil: there are none
	tokens Tokens              // nil: none are taken
	closed bool                // nobody passes without a key
	cross  *http.CrossOriginProtection

	unknown *limiter // of questions about keys that are not remembered, by address
}

func newGuard(o Options) *guard {
	g := &guard{cross: http.NewCrossOriginProtection(), closed: o.needsKey(), tokens: o.Tokens, unknown: newLimiter(strangerRate, strangerBurst)}
	if o.KeyStore != nil {
		g.cache = newKeyCache(o.KeyStore, o.Logger)
	}
	for _, key := range o.Keys {
		g.keys = append(g.keys, sha256.Sum256([]byte(key)))
	}
	return g
}

// check returns who asks, or the problem to answer with.
//
// When no key is needed a browser on this machine is the way in: a page can send
// requests to 127.0.0.1, under its own name when it rebinds its DNS. The name must
// therefore be a loopback one, and a request that changes something must not come
// from another origin.
func (g *guard) check(ctx context.Context, r *http.Request) (Principal, *problem) {
	if g.closed {
		return g.bearer(ctx, r)
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if !loopback(strings.Trim(host, "[]")) {
		return Principal{}, newProblem(http.StatusForbidden, codeForbiddenOrigin, "without a key the API answers only to localhost and loopback addresses in the Host header")
	}
	if g.cross.Check(r) != nil {
		return Principal{}, newProblem(http.StatusForbidden, codeForbiddenOrigin, "without a key the API takes nothing from pages of another origin")
	}
	return unbound("local"), nil
}

// bearer returns whose key the request has.
func (g *guard) bearer(ctx context.Context, r *http.Request) (Principal, *problem) {
	p := newProblem(http.StatusUnauthorized, codeUnauthorized, "send a key as Authorization: Bearer <key>")
	p.authenticate = `Bearer realm="rookery"`
	given := r.Header.Values("Authorization")
	if len(given) == 0 {
		return Principal{}, p
	}
	scheme, key, _ := strings.Cut(given[0], " ")
	if len(given) > 1 || !strings.EqualFold(scheme, "Bearer") {
		return Principal{}, p
	}
	if g.isToken(key) && !g.configured(key) {
		return g.holder(ctx, key)
	}
	if len(key) > MaxKey {
		return Principal{}, p
	}
	who, err := g.enter(ctx, key, addressOf(r))
	var often *tooOftenError
	switch {
	case err == nil:
		return who.Principal, nil
	case errors.As(err, &often):
		return Principal{}, tooMany(often.Error(), often.wait)
	case !errors.Is(err, job.ErrNotFound):
		p := newProblem(http.StatusServiceUnavailable, codeUnavailable, "Postgres does not answer for now, and without it nobody knows this key; try again")
		p.retryAfter, p.cause = 1, err
		return Principal{}, p
	}
	p.Detail = "the key is not known, was revoked or has expired"
	p.authenticate = `Bearer realm="rookery", error="invalid_token"`
	return Principal{}, p
}

// configured reports whether key is one of the options'. Both are hashed, so that the
// comparison takes the same time whatever their lengths and common beginnings, and all
// of them are compared.
func (g *guard) configured(key string) bool {
	sum := sha256.Sum256([]byte(key))
	known := 0
	for i := range g.keys {
		known |= subtle.ConstantTimeCompare(sum[:], g.keys[i][:])
	}
	return known == 1
}

// addressOf is where a connection comes from: a proxy, if there is one.
func addressOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	return host
}

// made returns the key that people made with this id, or [job.ErrNotFound]. Unless hash
// is nil it must be that of its secret. The id is no secret; of the secret only hashes
// meet.
func (g *guard) made(ctx context.Context, id string, hash []byte) (job.KnownKey, error) {
	if g.cache == nil {
		return job.KnownKey{}, job.ErrNotFound
	}
	known, err := g.cache.find(ctx, id, time.Now())
	if err != nil {
		return job.KnownKey{}, err
	}
	if hash != nil && subtle.ConstantTimeCompare(hash, known.Hash[:]) != 1 {
		return job.KnownKey{}, job.ErrNotFound
	}
	g.cache.note(id)
	return known, nil
}
