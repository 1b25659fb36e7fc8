package oidc_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/penguinmails/rookery/internal/oidc"
	"github.com/penguinmails/rookery/internal/oidc/oidctest"
	"github.com/penguinmails/rookery/job"
)

const back = "https://rookery.example.com/ui/login/back"

func started(t *testing.T) *oidctest.Issuer {
	t.Helper()
	i, err := oidctest.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = i.Close() })
	return i
}

func loginAt(t *testing.T, i *oidctest.Issuer) *oidc.Login {
	t.Helper()
	l, err := oidc.NewLogin(i.URL, oidc.LoginOptions{ClientID: oidctest.ClientID, ClientSecret: oidctest.ClientSecret, RedirectURL: back, Scopes: []string{"groups"}},
		oidc.Options{ScopeClaim: "roles", QueuesClaim: "queues", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// came goes where a browser is sent, and returns what it comes back with.
func came(t *testing.T, to string) url.Values {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, to, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	at, err := res.Location()
	if err != nil || !strings.HasPrefix(at.String(), back+"?") {
		t.Fatalf("%s answers %d and sends to %v, %v, want %s", to, res.StatusCode, at, err, back)
	}
	return at.Query()
}

// both begins a login and ends it, as changed.
func both(t *testing.T, l *oidc.Login, change func(*oidc.Flow, url.Values)) (job.Bearer, error) {
	t.Helper()
	to, f, err := l.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	q := came(t, to)
	if change != nil {
		change(&f, q)
	}
	return l.Finish(t.Context(), f, q, time.Now())
}

func TestLogin_SaysWhoCame(t *testing.T) {
	t.Parallel()
	want := job.Bearer{Subject: "grace", Scopes: []job.Scope{job.ScopeJobsWrite, job.ScopeJobsRead}, Queues: []string{"mail.*"}}
	for name, methods := range map[string][]string{
		"says nothing of methods": nil, "takes both": {"client_secret_post", "client_secret_basic"}, "takes it in the form": {"client_secret_post"},
	} {
		i := started(t)
		i.Methods, i.Claims = methods, map[string]any{"roles": []string{"jobs:read", "jobs:write", "barista"}, "queues": "mail.*"}
		l := loginAt(t, i)
		for range 2 {
			got, err := both(t, l, nil)
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("an issuer that %s: %v (-want +got):\n%s", name, err, diff)
			}
		}
	}
}

func TestLogin_Refuses(t *testing.T) {
	t.Parallel()
	i := started(t)
	l := loginAt(t, i)
	type claims = map[string]any
	for name, tt := range map[string]struct {
		claims claims
		change func(*oidc.Flow, url.Values)
	}{
		"a state of another browser":       {change: func(f *oidc.Flow, _ url.Values) { f.State = "another" }},
		"no state":                         {change: func(_ *oidc.Flow, q url.Values) { q.Del("state") }},
		"no flow":                          {change: func(f *oidc.Flow, q url.Values) { *f = oidc.Flow{}; q.Del("state") }},
		"no code":                          {change: func(_ *oidc.Flow, q url.Values) { q.Del("code") }},
		"a code of somebody else":          {change: func(_ *oidc.Flow, q url.Values) { q.Set("code", "guessed") }},
		"a long code":                      {change: func(_ *oidc.Flow, q url.Values) { q.Set("code", strings.Repeat("x", 1<<20)) }},
		"a code without what began (PKCE)": {change: func(f *oidc.Flow, _ url.Values) { f.Verifier = strings.Repeat("x", 43) }},
		"another login's nonce":            {change: func(f *oidc.Flow, _ url.Values) { f.Nonce = "another" }},
		"a token without nonce":            {claims: claims{"nonce": nil}},
		"a token for another client":       {claims: claims{"aud": "another"}},
		"a token that another asked for":   {claims: claims{"azp": "another"}},
		"a token for two, of whom":         {claims: claims{"aud": []string{oidctest.ClientID, "another"}}},
		"a token of another issuer":        {claims: claims{"iss": "https://id.example.com"}},
		"a token that has expired":         {claims: claims{"exp": time.Now().Add(-time.Hour).Unix()}},
		"a token without queues":           {claims: claims{"queues": nil}},
		"a token for nobody":               {claims: claims{"sub": ""}},
	} {
		i.Set(func() {
			i.Claims = claims{"roles": "admin", "queues": "*"}
			for name, value := range tt.claims {
				i.Claims[name] = value
			}
		})
		who, err := both(t, l, tt.change)
		var no *job.TokenError
		if !errors.As(err, &no) || who.Subject != "" || len(who.Scopes) > 0 {
			t.Errorf("%s: Finish = %+v, %v, want a refusal", name, who, err)
		}
	}
	i.Set(func() {
		i.Claims = claims{"roles": "admin", "queues": "*", "aud": []string{oidctest.ClientID, "b"}, "azp": oidctest.ClientID}
	})
	if _, err := both(t, l, nil); err != nil {
		t.Errorf("a token for two that we asked for: %v", err)
	}
}

// A code is good once, whoever has it.
func TestLogin_CodeIsGoodOnce(t *testing.T) {
	t.Parallel()
	i := started(t)
	i.Claims = map[string]any{"queues": "*"}
	l := loginAt(t, i)
	to, f, err := l.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	q := came(t, to)
	for n, good := range []bool{true, false} {
		if _, err := l.Finish(t.Context(), f, q, time.Now()); (err == nil) != good {
			t.Errorf("the %d. time: %v, want it good: %t", n+1, err, good)
		}
	}
}

// While the issuer is away nobody is refused for good, and what is known of it is kept.
func TestLogin_IssuerAway(t *testing.T) {
	t.Parallel()
	i := started(t)
	i.Claims, i.Broken = map[string]any{"queues": "*"}, true
	away := loginAt(t, i)
	if _, _, err := away.Begin(t.Context()); !errors.Is(err, job.ErrUnavailable) {
		t.Errorf("Begin, before it has answered = %v, want unavailable", err)
	}
	i.Set(func() { i.Broken = false })
	l := loginAt(t, i)
	to, f, err := l.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	q := came(t, to)
	i.Set(func() { i.Broken = true })
	if _, err := l.Finish(t.Context(), f, q, time.Now()); !errors.Is(err, job.ErrUnavailable) {
		t.Errorf("Finish = %v, want unavailable", err)
	}
	if _, _, err := l.Begin(t.Context()); err != nil {
		t.Errorf("Begin, when it has answered before = %v", err)
	}
	gone, stop := context.WithCancel(t.Context())
	stop()
	if _, err := l.Finish(gone, f, q, time.Now()); !errors.Is(err, job.ErrUnavailable) {
		t.Errorf("Finish, when the browser went away = %v, want unavailable", err)
	}
}

func TestNewLogin_RefusesWhatIsNotSafe(t *testing.T) {
	t.Parallel()
	good := oidc.LoginOptions{ClientID: "a", ClientSecret: "b", RedirectURL: back}
	for name, change := range map[string]func(*oidc.LoginOptions){
		"no id": func(l *oidc.LoginOptions) { l.ClientID = "" }, "no secret": func(l *oidc.LoginOptions) { l.ClientSecret = "" },
		"no address": func(l *oidc.LoginOptions) { l.RedirectURL = "" }, "plain HTTP": func(l *oidc.LoginOptions) { l.RedirectURL = "http://rookery.example.com/" },
	} {
		l := good
		change(&l)
		if _, err := oidc.NewLogin("https://id.example.com", l, oidc.Options{}); err == nil {
			t.Errorf("NewLogin with %s = nil, want an error", name)
		}
	}
	if _, err := oidc.NewLogin("https://id.example.com", good, oidc.Options{}); err != nil {
		t.Error(err)
	}
}
