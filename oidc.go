package rookery

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/penguinmails/rookery/httpapi"
	"github.com/penguinmails/rookery/httpapi/dashboard"
	"github.com/penguinmails/rookery/internal/oidc"
)

// OIDC says whose tokens the API takes beside keys; the zero value: nobody's. See
// docs/security.md.
type OIDC struct {
	Issuer      string // its URL, as tokens have it in iss; https, or http on loopback
	Audience    string // what tokens for this service have in aud
	ScopeClaim  string // which claim has the scopes; "" means scope
	QueuesClaim string // which claim has the queues; "": tokens are for every queue
	Login       OIDCLogin
}

// OIDCLogin lets people log in to the dashboard at the issuer; the zero value: nobody. What
// they may stands in the same claims, of their identity token.
type OIDCLogin struct {
	ClientID, ClientSecret string // what the issuer knows the dashboard by; the secret is random, and of this client alone
	URL                    string // where people reach this service, such as https://rookery.example.com
	Scopes                 string // asked for beside openid, with spaces between, such as "groups"
}

// oidcOf reads ROOKERY_OIDC_….
func oidcOf(read func(string) string) (OIDC, error) {
	c := OIDC{
		Issuer: read("ROOKERY_OIDC_ISSUER"), Audience: read("ROOKERY_OIDC_AUDIENCE"),
		ScopeClaim: read("ROOKERY_OIDC_SCOPE_CLAIM"), QueuesClaim: read("ROOKERY_OIDC_QUEUES_CLAIM"),
	}
	l := &c.Login
	l.ClientID, l.URL, l.Scopes = read("ROOKERY_OIDC_CLIENT_ID"), read("ROOKERY_UI_URL"), read("ROOKERY_OIDC_LOGIN_SCOPES")
	var err error
	if l.ClientSecret, err = secret(read, "ROOKERY_OIDC_CLIENT_SECRET"); err != nil {
		return c, err
	}
	switch {
	case c == OIDC{}:
		return c, nil
	case c.Issuer == "":
		return c, errors.New("ROOKERY_OIDC_ISSUER is needed with ROOKERY_UI_URL and the other ROOKERY_OIDC_ variables")
	case c.Audience == "":
		return c, errors.New("ROOKERY_OIDC_AUDIENCE is needed with ROOKERY_OIDC_ISSUER: without it, tokens for other services would be good here")
	case *l == OIDCLogin{}:
		return c, nil
	case l.ClientID == "", l.ClientSecret == "", l.URL == "":
		return c, errors.New("ROOKERY_OIDC_CLIENT_ID, ROOKERY_OIDC_CLIENT_SECRET and ROOKERY_UI_URL are needed together")
	case len(l.ClientSecret) < minClientSecret:
		return c, fmt.Errorf("ROOKERY_OIDC_CLIENT_SECRET has %d bytes, must have %d or more: it signs sessions too", len(l.ClientSecret), minClientSecret)
	}
	if err := oidc.CheckURL(l.URL); err != nil {
		return c, fmt.Errorf("ROOKERY_UI_URL is %q: %w", l.URL, err)
	}
	if u, err := url.Parse(l.URL); err != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return c, fmt.Errorf("ROOKERY_UI_URL is %q, must be a URL without a path, such as https://rookery.example.com", l.URL)
	}
	return c, nil
}

// minClientSecret is how many bytes a client's secret has at least: one that can be guessed
// would let anybody sign a session.
const minClientSecret = 16

// addTokens has the API take the tokens of the configured issuer.
func (s *Service) addTokens(o *httpapi.Options) error {
	c := s.config.OIDC
	if c == (OIDC{}) {
		return nil
	}
	v, err := oidc.New(c.Issuer, c.Audience, s.claims())
	if err != nil {
		return err
	}
	o.Tokens = v
	return nil
}

func (s *Service) claims() oidc.Options {
	c := s.config.OIDC
	return oidc.Options{ScopeClaim: c.ScopeClaim, QueuesClaim: c.QueuesClaim, Logger: s.log}
}

// signOn returns how people log in to the dashboard at the issuer, and where they reach it;
// nil: they do not.
func (s *Service) signOn() (on dashboard.SignOn, at string, err error) {
	c := s.config.OIDC
	if c.Login == (OIDCLogin{}) {
		return nil, "", nil
	}
	l, err := oidc.NewLogin(c.Issuer, oidc.LoginOptions{
		ClientID: c.Login.ClientID, ClientSecret: c.Login.ClientSecret, Scopes: strings.Fields(c.Login.Scopes),
		RedirectURL: strings.TrimRight(c.Login.URL, "/") + dashboard.SignOnPath,
	}, s.claims())
	if err != nil {
		return nil, "", fmt.Errorf("oidc: %w", err)
	}
	u, err := url.Parse(c.Issuer)
	if err != nil {
		return nil, "", fmt.Errorf("oidc: %w", err)
	}
	out := signOn{login: l, issuer: u.Host}
	h := hmac.New(sha256.New, []byte(c.Login.ClientSecret))
	h.Write([]byte("rookery dashboard sessions\x00" + c.Issuer + "\x00" + c.Login.ClientID))
	h.Sum(out.seal[:0])
	return out, c.Login.URL, nil
}

// signOn has people log in at the issuer. Their sessions are signed by the client's secret,
// which every process has: they end when it is changed.
type signOn struct {
	login  *oidc.Login
	issuer string
	seal   [sha256.Size]byte
}

// Issuer is the issuer's host.
func (s signOn) Issuer() string { return s.issuer }

// Seal is made of the client's secret.
func (s signOn) Seal() [sha256.Size]byte { return s.seal }

// Begin is [oidc.Login.Begin].
func (s signOn) Begin(ctx context.Context) (to, flow string, err error) {
	to, f, err := s.login.Begin(ctx)
	return to, strings.Join([]string{f.State, f.Nonce, f.Verifier}, "."), err
}

// Finish is [oidc.Login.Finish].
func (s signOn) Finish(ctx context.Context, flow string, came url.Values) (dashboard.Guest, error) {
	var f oidc.Flow
	if parts := strings.Split(flow, "."); len(parts) == 3 {
		f = oidc.Flow{State: parts[0], Nonce: parts[1], Verifier: parts[2]}
	}
	who, err := s.login.Finish(ctx, f, came, time.Now())
	if err != nil {
		return dashboard.Guest{}, err
	}
	return dashboard.Guest{Name: httpapi.TokenPrincipal + who.Subject, Scopes: who.Scopes, Queues: who.Queues, Seal: s.seal}, nil
}
