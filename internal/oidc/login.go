package oidc

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"github.com/penguinmails/rookery/job"
)

const (
	maxCode    = 2 << 10         // bytes of what the issuer sends back
	maxLogins  = 4               // exchanges at once: strangers can have us ask the issuer
	loginPause = 5 * time.Second // between two questions about an issuer that does not answer
)

// LoginOptions is what the issuer knows this service by.
type LoginOptions struct {
	ClientID, ClientSecret string
	RedirectURL            string   // where the issuer sends browsers back to
	Scopes                 []string // asked for beside openid, such as groups
}

// Login has people log in at the issuer and learns who they are: the authorization code
// flow, https://openid.net/specs/openid-connect-core-1_0.html#CodeFlowAuth, with PKCE,
// https://www.rfc-editor.org/rfc/rfc7636. It may be used concurrently.
type Login struct {
	verifier *Verifier // of identity tokens, which are for the client
	o        LoginOptions
	turns    chan struct{} // holds a token for each exchange

	asking chan struct{} // holds a token while somebody asks where people log in

	mu    sync.Mutex
	known provider
	tried time.Time // when it did not answer
	err   error     // what it did instead
}

// NewLogin returns a Login. Claims are found where [Options] say, in the identity token.
// The issuer is not asked yet.
func NewLogin(issuer string, l LoginOptions, o Options) (*Login, error) {
	switch {
	case l.ClientID == "":
		return nil, errors.New("a client id is needed")
	case l.ClientSecret == "":
		return nil, errors.New("a client secret is needed")
	}
	if err := CheckURL(l.RedirectURL); err != nil {
		return nil, fmt.Errorf("redirect URL: %w", err)
	}
	v, err := New(issuer, l.ClientID, o)
	if err != nil {
		return nil, err
	}
	return &Login{verifier: v, o: l, turns: make(chan struct{}, maxLogins), asking: make(chan struct{}, 1)}, nil
}

// Flow is one login that is under way: what the browser keeps, and nobody else sees. Each
// part has 128 random bits or more.
type Flow struct {
	State    string // comes back with the browser: it is the one that began
	Nonce    string // stands in the identity token: it is of this login
	Verifier string // proves to the issuer that whoever brings the code began
}

// Begin returns where a browser logs in. [job.ErrUnavailable]: the issuer does not answer.
func (l *Login) Begin(ctx context.Context) (to string, f Flow, err error) {
	c, err := l.config(ctx)
	if err != nil {
		return "", Flow{}, err
	}
	f = Flow{State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier()}
	return c.AuthCodeURL(f.State, oauth2.S256ChallengeOption(f.Verifier), oauth2.SetAuthURLParam("nonce", f.Nonce)), f, nil
}

// Finish trades the code, in the query with which a browser came back, for who has logged
// in: https://openid.net/specs/openid-connect-core-1_0.html#AuthResponse. A
// [*job.TokenError] refuses it; [job.ErrUnavailable]: the issuer does not answer, or not us.
func (l *Login) Finish(ctx context.Context, f Flow, came url.Values, now time.Time) (job.Bearer, error) {
	if f.State == "" || f.Nonce == "" || f.Verifier == "" || subtle.ConstantTimeCompare([]byte(came.Get("state")), []byte(f.State)) != 1 {
		return job.Bearer{}, refused("is of a login that this browser did not begin")
	}
	if came.Has("error") {
		return job.Bearer{}, refused("is %s", errorOf(came.Get("error")))
	}
	code := came.Get("code")
	if code == "" || len(code) > maxCode {
		return job.Bearer{}, refused("needs a code of 1 to %d bytes", maxCode)
	}
	select {
	case l.turns <- struct{}{}:
		defer func() { <-l.turns }()
	case <-ctx.Done():
		return job.Bearer{}, fmt.Errorf("%w: %d others are logging in", job.ErrUnavailable, maxLogins)
	}
	c, err := l.config(ctx)
	if err != nil {
		return job.Bearer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	token, err := c.Exchange(context.WithValue(ctx, oauth2.HTTPClient, l.verifier.keys.client), code, oauth2.VerifierOption(f.Verifier))
	if err != nil {
		return job.Bearer{}, exchangeError(err)
	}
	identity, _ := token.Extra("id_token").(string)
	return l.verifier.identity(ctx, identity, f.Nonce, now)
}

// exchangeError says what became of a code. Only invalid_grant is the browser's fault. What
// the issuer has written is in no error: it may repeat what was sent.
func exchangeError(err error) error {
	var no *oauth2.RetrieveError
	var gone *url.Error // names the endpoint, and why
	switch {
	case errors.As(err, &no) && no.ErrorCode == "invalid_grant":
		return refused("brings a code that the issuer does not take")
	case errors.As(err, &no) && no.Response != nil:
		return fmt.Errorf("%w: the issuer takes no code from us: %d, %s", job.ErrUnavailable, no.Response.StatusCode, errorOf(no.ErrorCode))
	case errors.As(err, &gone):
		return fmt.Errorf("%w: %w", job.ErrUnavailable, gone)
	}
	return fmt.Errorf("%w: the issuer's answer to a code is not what it should be", job.ErrUnavailable)
}

// errorCode is what an issuer's refusal looks like: https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2.1.
var errorCode = regexp.MustCompile(`^[a-z_]{1,40}$`)

func errorOf(code string) string {
	if !errorCode.MatchString(code) {
		return "an error"
	}
	return code
}

// identity is Verify for the token of a login:
// https://openid.net/specs/openid-connect-core-1_0.html#IDTokenValidation.
func (v *Verifier) identity(ctx context.Context, token, nonce string, now time.Time) (job.Bearer, error) {
	std, all, err := v.claims(ctx, token, now)
	if err != nil {
		return job.Bearer{}, err
	}
	text := func(name string) string {
		words, _ := wordsOf(all[name])
		if len(words) != 1 {
			return ""
		}
		return words[0]
	}
	if subtle.ConstantTimeCompare([]byte(text("nonce")), []byte(nonce)) != 1 {
		return job.Bearer{}, refused("is of another login (nonce)")
	}
	if party, named := all["azp"]; named && text("azp") != v.audience || !named && len(std.Audience) > 1 {
		return job.Bearer{}, refused("was made for another client (azp is %.100s)", party)
	}
	return v.bearer(std.Subject, all)
}

// provider is what a discovery document says of logins.
type provider struct {
	Auth    string   `json:"authorization_endpoint"`
	Token   string   `json:"token_endpoint"`
	Methods []string `json:"token_endpoint_auth_methods_supported"`

	read time.Time
}

// good returns a channel that is closed if there is something to go on with.
func (p provider) good() <-chan struct{} {
	if p.Auth == "" {
		return nil
	}
	ready := make(chan struct{})
	close(ready)
	return ready
}

// config returns how to speak to the issuer. What is known goes on being good while it
// does not answer, and while somebody asks it.
func (l *Login) config(ctx context.Context) (*oauth2.Config, error) {
	known, stale, err := l.endpoints()
	if stale {
		select {
		case l.asking <- struct{}{}:
			if _, stale, _ = l.endpoints(); stale {
				l.discover(ctx)
			}
			<-l.asking
			known, _, err = l.endpoints()
		case <-known.good():
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if known.Auth == "" {
		return nil, fmt.Errorf("%w: the issuer's logins: %w", job.ErrUnavailable, err)
	}
	style := oauth2.AuthStyleInHeader // what OpenID Connect takes for granted
	if m := known.Methods; len(m) > 0 && !slices.Contains(m, "client_secret_basic") {
		style = oauth2.AuthStyleInParams
	}
	return &oauth2.Config{
		ClientID: l.o.ClientID, ClientSecret: l.o.ClientSecret, RedirectURL: l.o.RedirectURL, Scopes: append([]string{"openid"}, l.o.Scopes...),
		Endpoint: oauth2.Endpoint{AuthURL: known.Auth, TokenURL: known.Token, AuthStyle: style},
	}, nil
}

// endpoints returns what is known, whether to ask for it anew, and what the issuer did
// instead of answering.
func (l *Login) endpoints() (known provider, stale bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	return l.known, now.Sub(l.known.read) >= keysFresh && now.Sub(l.tried) >= loginPause, l.err
}

// discover reads where people log in. The browser may go away meanwhile; others wait for
// the answer too.
func (l *Login) discover(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
	defer cancel()
	var p provider
	err := l.verifier.keys.discover(ctx, &p)
	if err == nil {
		err = errors.Join(CheckURL(p.Auth), CheckURL(p.Token))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err = err; err != nil {
		l.tried = time.Now()
		return
	}
	p.read = time.Now()
	l.known = p
}
