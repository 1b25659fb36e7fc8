package rookery

import (
	"errors"

	"github.com/penguinmails/rookery/httpapi"
	"github.com/penguinmails/rookery/internal/oidc"
)

// OIDC says whose tokens the API takes beside keys; the zero value: nobody's. See
// docs/security.md.
type OIDC struct {
	Issuer      string // its URL, as tokens have it in iss; https, or http on loopback
	Audience    string // what tokens for this service have in aud
	ScopeClaim  string // which claim has the scopes; "" means scope
	QueuesClaim string // which claim has the queues; "": tokens are for every queue
}

// oidcOf reads ROOKERY_OIDC_….
func oidcOf(read func(string) string) (OIDC, error) {
	c := OIDC{
		Issuer: read("ROOKERY_OIDC_ISSUER"), Audience: read("ROOKERY_OIDC_AUDIENCE"),
		ScopeClaim: read("ROOKERY_OIDC_SCOPE_CLAIM"), QueuesClaim: read("ROOKERY_OIDC_QUEUES_CLAIM"),
	}
	switch {
	case c == OIDC{}:
		return c, nil
	case c.Issuer == "":
		return c, errors.New("ROOKERY_OIDC_ISSUER is needed with the other ROOKERY_OIDC_ variables")
	case c.Audience == "":
		return c, errors.New("ROOKERY_OIDC_AUDIENCE is needed with ROOKERY_OIDC_ISSUER: without it, tokens for other services would be good here")
	}
	return c, nil
}

// addTokens has the API take the tokens of the configured issuer.
func (s *Service) addTokens(o *httpapi.Options) error {
	c := s.config.OIDC
	if c == (OIDC{}) {
		return nil
	}
	v, err := oidc.New(c.Issuer, c.Audience, oidc.Options{ScopeClaim: c.ScopeClaim, QueuesClaim: c.QueuesClaim, Logger: s.log})
	if err != nil {
		return err
	}
	o.Tokens = v
	return nil
}
