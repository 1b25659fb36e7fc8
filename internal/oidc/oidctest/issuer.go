// Package oidctest has an OIDC provider for tests: it logs everybody in who comes, as whom
// the test says, and is strict about everything that a client has to do.
package oidctest

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// The one client that an [Issuer] knows.
const (
	ClientID     = "rookery-dashboard"
	ClientSecret = "a-secret-of-the-tests"
)

// Issuer is a provider on this machine. Its fields may be set before somebody comes.
type Issuer struct {
	URL string

	Claims  map[string]any // of identity tokens, over those that a good one has
	Refuses string         // the error that browsers are sent back with; "": none
	Methods []string       // how a client may say who it is; none: does not say, and takes client_secret_basic
	Asks    bool           // shows a page first, as issuers do, with a link called Yes
	Broken  bool           // answers everything but its keys with 503

	server http.Server
	signer jose.Signer
	mu     sync.Mutex
	codes  map[string]url.Values // what each was asked for with
}

// Start starts an issuer, until [Issuer.Close].
func Start() (*Issuer, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: private}, (&jose.SignerOptions{}).WithHeader("kid", "1"))
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // at once
	if err != nil {
		return nil, err
	}
	i := &Issuer{URL: "http://" + l.Addr().String(), signer: signer, codes: map[string]url.Values{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", i.discovery)
	mux.HandleFunc("GET /authorize", i.authorize)
	mux.HandleFunc("POST /token", i.token)
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: public, KeyID: "1", Use: "sig"}}})
	})
	i.server = http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() { _ = i.server.Serve(l) }()
	return i, nil
}

// Close ends it.
func (i *Issuer) Close() error { return i.server.Close() }

// Set changes it while it runs.
func (i *Issuer) Set(change func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	change()
}

// Sign makes a token of these claims, over issuer, audience rookery, and an end in an hour.
func (i *Issuer) Sign(claims map[string]any) (string, error) {
	all := map[string]any{"iss": i.URL, "aud": "rookery", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()}
	maps.Copy(all, claims)
	return jwt.Signed(i.signer).Claims(all).Serialize()
}

func (i *Issuer) discovery(w http.ResponseWriter, _ *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.Broken {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	answer(w, http.StatusOK, map[string]any{
		"issuer": i.URL, "jwks_uri": i.URL + "/keys", "authorization_endpoint": i.URL + "/authorize", "token_endpoint": i.URL + "/token",
		"token_endpoint_auth_methods_supported": i.Methods,
	})
}

// authorize sends a browser back with a code, to an address that only says that it is one
// of the client's: a real issuer has a list.
func (i *Issuer) authorize(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	q := r.URL.Query()
	for name, want := range map[string]string{"client_id": ClientID, "response_type": "code", "code_challenge_method": "S256"} {
		if q.Get(name) != want {
			http.Error(w, fmt.Sprintf("%s is %q, must be %s", name, q.Get(name), want), http.StatusBadRequest)
			return
		}
	}
	if len(q.Get("state")) < 16 || len(q.Get("nonce")) < 16 || len(q.Get("code_challenge")) != 43 || !slices.Contains(strings.Fields(q.Get("scope")), "openid") {
		http.Error(w, "state, nonce, code_challenge or scope is not what it should be", http.StatusBadRequest)
		return
	}
	if i.Asks && !q.Has("yes") {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = fmt.Fprintf(w, `<!doctype html><title>Issuer</title><link rel="icon" href="data:,"><a href="?%s&amp;yes">Yes</a>`, html.EscapeString(r.URL.RawQuery))
		return
	}
	back, err := url.Parse(q.Get("redirect_uri"))
	if err != nil {
		http.Error(w, "redirect_uri is no URL", http.StatusBadRequest)
		return
	}
	out := url.Values{"state": {q.Get("state")}}
	if i.Refuses != "" {
		out.Set("error", i.Refuses)
	} else {
		out.Set("code", rand.Text())
		i.codes[out.Get("code")] = q
	}
	back.RawQuery = out.Encode()
	http.Redirect(w, r, back.String(), http.StatusFound)
}

// token takes each code once, from the client that it was made for.
func (i *Issuer) token(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.Broken {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	id, secret, inHeader := r.BasicAuth()
	if !inHeader {
		id, secret = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
	}
	method := "client_secret_post"
	if inHeader {
		method = "client_secret_basic"
	}
	if id != ClientID || secret != ClientSecret || len(i.Methods) == 0 && !inHeader || len(i.Methods) > 0 && !slices.Contains(i.Methods, method) {
		answer(w, http.StatusUnauthorized, map[string]string{"error": "invalid_client"})
		return
	}
	asked, known := i.codes[r.PostFormValue("code")]
	delete(i.codes, r.PostFormValue("code"))
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if !known || r.PostFormValue("grant_type") != "authorization_code" || r.PostFormValue("redirect_uri") != asked.Get("redirect_uri") ||
		base64.RawURLEncoding.EncodeToString(sum[:]) != asked.Get("code_challenge") {
		answer(w, http.StatusBadRequest, map[string]string{"error": "invalid_grant"})
		return
	}
	claims := map[string]any{"aud": ClientID, "sub": "grace", "nonce": asked.Get("nonce")}
	maps.Copy(claims, i.Claims)
	identity, err := i.Sign(claims)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	answer(w, http.StatusOK, map[string]any{"access_token": "of-no-use", "token_type": "Bearer", "expires_in": 60, "id_token": identity})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client went away
}
