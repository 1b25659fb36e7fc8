package httpapi

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"strings"
)

// guard decides who may speak to the API.
type guard struct {
	keys  [][sha256.Size]byte // hashes; none: whoever is on this machine
	cross *http.CrossOriginProtection
}

func newGuard(keys []string) *guard {
	g := &guard{cross: http.NewCrossOriginProtection()}
	for _, key := range keys {
		g.keys = append(g.keys, sha256.Sum256([]byte(key)))
	}
	return g
}

// check returns nil or the problem to answer with.
//
// Both the given key and the known ones are hashed, so that the comparison takes
// the same time whatever their lengths and common beginnings, and all of them are
// compared. Without keys a browser on this machine is the way in: a page can send
// requests to 127.0.0.1, under its own name when it rebinds its DNS. The name must
// therefore be a loopback one, and a request that changes something must not come
// from another origin.
func (g *guard) check(r *http.Request) *problem {
	if len(g.keys) == 0 {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if !loopback(strings.Trim(host, "[]")) {
			return newProblem(http.StatusForbidden, codeForbiddenOrigin, "without a key the API answers only to localhost and loopback addresses in the Host header")
		}
		if g.cross.Check(r) != nil {
			return newProblem(http.StatusForbidden, codeForbiddenOrigin, "without a key the API takes nothing from pages of another origin")
		}
		return nil
	}
	p := newProblem(http.StatusUnauthorized, codeUnauthorized, "send a key as Authorization: Bearer <key>")
	p.authenticate = `Bearer realm="rookery"`
	given := r.Header.Values("Authorization")
	if len(given) == 0 {
		return p
	}
	scheme, key, _ := strings.Cut(given[0], " ")
	if len(given) > 1 || !strings.EqualFold(scheme, "Bearer") || len(key) > MaxKey {
		return p
	}
	sum := sha256.Sum256([]byte(key))
	known := 0
	for i := range g.keys {
		known |= subtle.ConstantTimeCompare(sum[:], g.keys[i][:])
	}
	if known == 1 {
		return nil
	}
	p.Detail = "the key is not known"
	p.authenticate = `Bearer realm="rookery", error="invalid_token"`
	return p
}
