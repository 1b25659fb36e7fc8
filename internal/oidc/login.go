package oidc

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
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

	mu    sync.Mutex // also while the issuer is asked: who waits needs the answer
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
	if err := checkURL(l.RedirectURL); err != nil {
		return nil, fmt.Errorf("redirect URL: %w", err)
	}
	v, err := New(issuer, l.ClientID, o)
	if err != nil {
		return nil, err
	}
	return &Login{verifier: v, o: l, turns: make(chan struct{}, maxLogins)}, nil
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

// Finish trades a code, with which a browser came back, for who has logged in. A
// [*job.TokenError] refuses it; [job.ErrUnavailable]: the issuer does not answer, or
// others are logging in.
func (l *Login) Finish(ctx context.Context, f Flow, state, code string, now time.Time) (job.Bearer, error) {
	if f.State == "" || f.Nonce == "" || f.Verifier == "" || subtle.ConstantTimeCompare([]byte(state), []byte(f.State)) != 1 {
		return job.Bearer{}, refused("is of a login that this browser did not begin")
	}
	if code == "" || len(code) > maxCode {
		return job.Bearer{}, refused("needs a code of 1 to %d bytes", maxCode)
	}
	select {
	case l.turns <- struct{}{}:
		defer func() { <-l.turns }()
	default:
		return job.Bearer{}, fmt.Errorf("%w: %d others are logging in", job.ErrUnavailable, maxLogins)
	}
	c, err := l.config(ctx)
	if err != nil {
		return job.Bearer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	token, err := c.Exchange(context.WithValue(ctx, oauth2.HTTPClient, l.verifier.keys.client), code, oauth2.VerifierOption(f.Verifier))
	var no *oauth2.RetrieveError
	switch {
	case errors.As(err, &no) && no.Response != nil && no.Response.StatusCode < http.StatusInternalServerError:
		return job.Bearer{}, refused("brings a code that the issuer does not take")
	case err != nil:
		return job.Bearer{}, fmt.Errorf("%w: the issuer does not take a code for now", job.ErrUnavailable)
	}
	identity, _ := token.Extra("id_token").(string)
	return l.verifier.identity(ctx, identity, f.Nonce, now)
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

// config returns how to speak to the issuer. What is known goes on being good while it
// does not answer.
func (l *Login) config(ctx context.Context) (*oauth2.Config, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); now.Sub(l.known.read) >= keysFresh && now.Sub(l.tried) >= loginPause {
		if l.err = l.discover(ctx, now); l.err != nil {
			l.tried = time.Now()
		}
	}
	if l.known.Auth == "" {
		return nil, fmt.Errorf("%w: the issuer's logins: %w", job.ErrUnavailable, l.err)
	}
	style := oauth2.AuthStyleInHeader // what OpenID Connect takes for granted
	if m := l.known.Methods; len(m) > 0 && !slices.Contains(m, "client_secret_basic") {
		style = oauth2.AuthStyleInParams
	}
	return &oauth2.Config{
		ClientID: l.o.ClientID, ClientSecret: l.o.ClientSecret, RedirectURL: l.o.RedirectURL, Scopes: append([]string{"openid"}, l.o.Scopes...),
		Endpoint: oauth2.Endpoint{AuthURL: l.known.Auth, TokenURL: l.known.Token, AuthStyle: style},
	}, nil
}

// discover reads where people log in. The browser may go away meanwhile; others wait for
// the answer too.
func (l *Login) discover(ctx context.Context, now time.Time) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
	defer cancel()
	p := provider{read: now}
	if err := l.verifier.keys.discover(ctx, &p); err != nil {
		return err
	}
	if err := checkURL(p.Auth); err != nil {
		return fmt.Errorf("authorization_endpoint: %w", err)
	}
	if err := checkURL(p.Token); err != nil {
		return fmt.Errorf("token_endpoint: %w", err)
	}
	l.known = p
	return nil
}
