package oidc

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const audience = "rookery"

// issuer is an OIDC provider on this machine that does what a test tells it to.
type issuer struct {
	*testing.T
	url string

	mu      sync.Mutex
	keys    []any // as published, JSON
	says    string
	keysURL string
	asked   int // for keys
	away    bool
	answer  http.HandlerFunc // instead of the keys
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{T: t}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		i.mu.Lock()
		defer i.mu.Unlock()
		if i.away {
			http.Error(w, "away", http.StatusServiceUnavailable)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": i.says, "jwks_uri": i.keysURL})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, r *http.Request) {
		i.mu.Lock()
		defer i.mu.Unlock()
		if i.asked++; i.answer != nil {
			i.answer(w, r)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": i.keys})
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	i.url, i.says, i.keysURL = server.URL, server.URL, server.URL+"/keys"
	return i
}

// set changes what the issuer does.
func (i *issuer) set(change func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	change()
}

func (i *issuer) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.asked
}

func (i *issuer) verifier(o Options) *Verifier {
	i.Helper()
	o.Logger = slog.New(slog.DiscardHandler)
	v, err := New(i.url, audience, o)
	if err != nil {
		i.Fatal(err)
	}
	return v
}

// publish adds a key under an id.
func (i *issuer) publish(id string, key crypto.PublicKey, change ...func(*jose.JSONWebKey)) {
	k := jose.JSONWebKey{Key: key, KeyID: id, Use: "sig"}
	for _, c := range change {
		c(&k)
	}
	i.set(func() { i.keys = append(i.keys, k) })
}

// signed is a token of these claims over those that a good one has.
func (i *issuer) signed(alg jose.SignatureAlgorithm, key any, id string, change map[string]any) string {
	i.Helper()
	now := time.Now()
	claims := map[string]any{"iss": i.url, "aud": audience, "sub": "grace", "scope": "openid jobs:read", "exp": now.Add(time.Hour).Unix(), "iat": now.Unix()}
	for name, v := range change {
		if claims[name] = v; v == nil {
			delete(claims, name)
		}
	}
	options := (&jose.SignerOptions{}).WithType("at+jwt")
	if id != "" {
		options = options.WithHeader("kid", id)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, options)
	if err != nil {
		i.Fatal(err)
	}
	text, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		i.Fatal(err)
	}
	return text
}

func rsaKey(t *testing.T, bits int) *rsa.PrivateKey {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func ecKey(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func edKey(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}
