package oidc

import (
	"crypto/elliptic"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/penguinmails/rookery/job"
)

func TestVerify_TakesWhatTheIssuerSigned(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	r, e, d := rsaKey(t, 2048), ecKey(t, elliptic.P256()), edKey(t)
	i.publish("r", &r.PublicKey)
	i.publish("e", &e.PublicKey)
	i.publish("d", d.Public(), func(k *jose.JSONWebKey) { k.Algorithm, k.Use = "EdDSA", "" })
	i.set(func() { // kinds that we do not take spoil nothing
		i.keys = append(i.keys, map[string]string{"kty": "OKP", "crv": "X25519", "kid": "x", "x": "AAAA"}, map[string]string{"kty": "new"})
	})
	v := i.verifier(Options{})
	for _, tt := range []struct {
		alg    jose.SignatureAlgorithm
		key    any
		id     string
		change map[string]any
		want   []job.Scope
	}{
		{jose.RS256, r, "r", nil, []job.Scope{job.ScopeJobsRead}},
		{jose.ES256, e, "e", nil, []job.Scope{job.ScopeJobsRead}},
		{jose.EdDSA, d, "d", nil, []job.Scope{job.ScopeJobsRead}},
		{jose.ES256, e, "", nil, []job.Scope{job.ScopeJobsRead}}, // the only key that fits
		{jose.ES256, e, "e", map[string]any{"scope": []string{"admin", "email"}}, []job.Scope{job.ScopeAdmin}},
		{jose.ES256, e, "e", map[string]any{"scope": nil}, nil},
		{jose.ES256, e, "e", map[string]any{"scope": "Jobs:read jobs:readx admin:"}, nil},
		{jose.ES256, e, "e", map[string]any{"aud": []string{"other", audience}}, []job.Scope{job.ScopeJobsRead}},
		{jose.ES256, e, "e", map[string]any{"exp": time.Now().Add(-30 * time.Second).Unix()}, []job.Scope{job.ScopeJobsRead}}, // clocks differ
		{jose.ES256, e, "e", map[string]any{"nbf": time.Now().Add(30 * time.Second).Unix()}, []job.Scope{job.ScopeJobsRead}},
	} {
		got, err := v.Verify(t.Context(), i.signed(tt.alg, tt.key, tt.id, tt.change), time.Now())
		if diff := cmp.Diff(job.Bearer{Subject: "grace", Scopes: tt.want}, got); err != nil || diff != "" {
			t.Errorf("%s by %q with %v: %v (-want +got):\n%s", tt.alg, tt.id, tt.change, err, diff)
		}
	}
	if n := i.count(); n != 1 {
		t.Errorf("the issuer was asked %d times, want once", n)
	}
}

// forged is a token with a header and claims of the test's choice, signed by what sign makes.
func forged(header, claims string, sign func(string) string) string {
	text := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
	return text + "." + sign(text)
}

func TestVerify_RefusesHostileTokens(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	r, weak, e, d, stranger := rsaKey(t, 2048), rsaKey(t, 1024), ecKey(t, elliptic.P256()), edKey(t), ecKey(t, elliptic.P256())
	i.publish("r", &r.PublicKey)
	i.publish("weak", &weak.PublicKey)
	i.publish("e", &e.PublicKey)
	i.publish("d", d.Public())
	i.publish("p384", &ecKey(t, elliptic.P384()).PublicKey)
	i.publish("enc", &e.PublicKey, func(k *jose.JSONWebKey) { k.Use = "enc" })
	i.publish("pinned", &r.PublicKey, func(k *jose.JSONWebKey) { k.Algorithm = "RS512" })
	i.publish("twice", &e.PublicKey)
	i.publish("twice", &e.PublicKey)
	secret := []byte("a secret that is long enough for HS256 to be taken")
	i.set(func() { i.keys = append(i.keys, jose.JSONWebKey{Key: secret, KeyID: "secret"}) })
	v := i.verifier(Options{})
	der, err := x509.MarshalPKIXPublicKey(&r.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	good := i.signed(jose.ES256, e, "e", nil)
	parts := strings.Split(good, ".")
	claims := fmt.Sprintf(`{"iss":%q,"aud":%q,"sub":"grace","scope":"admin","exp":%d}`, i.url, audience, time.Now().Add(time.Hour).Unix())
	none := func(string) string { return "" }
	own := jose.JSONWebKey{Key: &stranger.PublicKey, KeyID: "own"}
	embedded, err := own.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	with := func(change map[string]any) string { return i.signed(jose.ES256, e, "e", change) }
	for name, token := range map[string]string{
		"nothing": "", "dots": "..", "one part": parts[0], "no signature": parts[0] + "." + parts[1] + ".", "five parts": good + ".a.b",
		"alg none": forged(`{"alg":"none"}`, claims, none), "alg None": forged(`{"alg":"None","kid":"e"}`, claims, none), "no alg": forged(`{"kid":"e"}`, claims, none),
		"HS256 with the public key": i.signed(jose.HS256, public, "r", map[string]any{"scope": "admin"}), "HS256 with a published secret": i.signed(jose.HS256, secret, "secret", nil),
		"RS512": i.signed(jose.RS512, r, "r", nil), "PS256": i.signed(jose.PS256, r, "r", nil), "a short RSA key": i.signed(jose.RS256, weak, "weak", nil),
		"an encryption key": i.signed(jose.ES256, e, "enc", nil), "a key for another algorithm": i.signed(jose.RS256, r, "pinned", nil), "one of two keys": i.signed(jose.ES256, e, "twice", nil),
		"a key for P-384": forged(`{"alg":"ES256","kid":"p384"}`, claims, none), "a stranger's key": i.signed(jose.ES256, stranger, "e", nil), "a key that it names by another's id": i.signed(jose.ES256, e, "d", nil),
		"its own key": forged(`{"alg":"ES256","kid":"own","jwk":`+string(embedded)+`}`, claims, none), "keys elsewhere": forged(`{"alg":"ES256","kid":"x","jku":"http://127.0.0.1:1/keys"}`, claims, none),
		"crit": forged(`{"alg":"ES256","kid":"e","crit":["b64"],"b64":false}`, claims, none), "changed claims": parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + "." + parts[2],
		"another issuer": with(map[string]any{"iss": "https://id.example.com"}), "no issuer": with(map[string]any{"iss": nil}), "another audience": with(map[string]any{"aud": "web"}), "no audience": with(map[string]any{"aud": nil}), "no audiences": with(map[string]any{"aud": []string{}}),
		"expired": with(map[string]any{"exp": time.Now().Add(-2 * time.Minute).Unix()}), "no end": with(map[string]any{"exp": nil}), "not yet": with(map[string]any{"nbf": time.Now().Add(2 * time.Minute).Unix()}), "of the future": with(map[string]any{"iat": time.Now().Add(time.Hour).Unix()}),
		"no subject": with(map[string]any{"sub": nil}), "a long subject": with(map[string]any{"sub": strings.Repeat("é", 191)}), "a subject of two lines": with(map[string]any{"sub": "a\nb"}), "a subject that is none": with(map[string]any{"sub": 7}),
		"scopes that are none": with(map[string]any{"scope": 7}), "null scopes": with(map[string]any{"scope": []any{nil, "admin"}}),
		"huge": with(map[string]any{"pad": strings.Repeat("a", maxToken)}), "very long": strings.Repeat("a.", 1<<20), "nested": forged(`{"alg":"ES256","kid":"e"}`, strings.Repeat(`{"a":`, 2000)+"1"+strings.Repeat("}", 2000), none),
	} {
		b, err := v.Verify(t.Context(), token, time.Now())
		var odd *job.TokenError
		if !errors.As(err, &odd) || b.Subject != "" && len(b.Scopes) > 0 {
			t.Errorf("%s: Verify = %+v, %v, want a TokenError", name, b, err)
		}
		if err != nil && len(token) > 20 && (strings.Contains(err.Error(), token) || len(err.Error()) > 200) {
			t.Errorf("%s: the error repeats the token: %v", name, err)
		}
	}
	if _, err := v.Verify(t.Context(), good, time.Now()); err != nil {
		t.Errorf("a good token = %v, and the others prove nothing", err)
	}
	if n := i.count(); n != 1 {
		t.Errorf("the issuer was asked %d times, want once: no token sends us anywhere", n)
	}
}

// With a claim of queues a token without it is for none, not for all.
func TestVerify_Queues(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	d := edKey(t)
	i.publish("d", d.Public())
	v := i.verifier(Options{ScopeClaim: "permissions", QueuesClaim: "queues"})
	many := make([]string, job.MaxQueuePatterns+1)
	for n := range many {
		many[n] = fmt.Sprint("q", n)
	}
	for _, tt := range []struct {
		scopes string
		queues any
		want   []string
		ok     bool
	}{
		{"jobs:read", "mail.* bills", []string{"mail.*", "bills"}, true},
		{"jobs:read", []string{"mail"}, []string{"mail"}, true},
		{"admin", "*", nil, true},
		{"jobs:read", []string{"*"}, nil, true},
		{"jobs:read", nil, nil, false},
		{"jobs:read", "", nil, false},
		{"jobs:read", []string{}, nil, false},
		{"jobs:read", 7, nil, false},
		{"jobs:read", []any{"mail", nil}, nil, false},
		{"jobs:read", "* mail", nil, false},
		{"jobs:read", "a{b", nil, false},
		{"jobs:read", many, nil, false},
		{"admin", "mail", nil, false},
	} {
		b, err := v.Verify(t.Context(), i.signed(jose.EdDSA, d, "d", map[string]any{"permissions": tt.scopes, "queues": tt.queues}), time.Now())
		if (err == nil) != tt.ok || tt.ok && !cmp.Equal(b.Queues, tt.want) {
			t.Errorf("%s with queues %.40v = %v, %v, want %v, good: %t", tt.scopes, tt.queues, b.Queues, err, tt.want, tt.ok)
		}
	}
}

func TestNew_RefusesWhatIsNotSafe(t *testing.T) {
	t.Parallel()
	for issuer, ok := range map[string]bool{
		"https://id.example.com": true, "https://id.example.com/tenant": true, "http://127.0.0.1:8081": true, "http://localhost/a": true, "http://[::1]:1": true,
		"": false, "id.example.com": false, "http://id.example.com": false, "http://localhost.example.com": false, "ftp://127.0.0.1": false, "https://a:b@id.example.com": false, "https://": false, "https://id.example.com#a": false,
	} {
		if _, err := New(issuer, audience, Options{}); (err == nil) != ok {
			t.Errorf("New(%q) = %v, want it good: %t", issuer, err, ok)
		}
	}
	if _, err := New("https://id.example.com", "", Options{}); err == nil {
		t.Error("New without an audience = nil, want an error")
	}
}
