package httpapi

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/penguinmails/rookery/job"
)

// Tokens knows who the holders of somebody else's tokens are: an OIDC issuer.
type Tokens interface {
	// Verify returns who has a token. A [*job.TokenError] refuses it;
	// [job.ErrUnavailable]: nobody knows for now.
	Verify(ctx context.Context, token string, now time.Time) (job.Bearer, error)
}

// TokenPrincipal begins the name of a principal with a token.
const TokenPrincipal = "oidc:"

// isToken reports whether text is written like a token, and no key is: neither those
// that people made, nor, as far as they are asked first, those of the options.
func (g *guard) isToken(text string) bool { return g.tokens != nil && strings.Count(text, ".") == 2 }

// holder returns who has a token.
func (g *guard) holder(ctx context.Context, token string) (Principal, *problem) {
	b, err := g.tokens.Verify(ctx, token, time.Now())
	var odd *job.TokenError
	switch {
	case err == nil:
		return Principal{Name: TokenPrincipal + b.Subject, Scopes: b.Scopes, Queues: b.Queues}, nil
	case errors.As(err, &odd):
		p := newProblem(http.StatusUnauthorized, codeUnauthorized, odd.Error())
		p.authenticate = `Bearer realm="rookery", error="invalid_token"`
		return Principal{}, p
	}
	p := newProblem(http.StatusServiceUnavailable, codeUnavailable, "the issuer of the tokens does not answer for now, and without its keys nobody knows this one; try again")
	p.retryAfter, p.cause = 1, err
	return Principal{}, p
}
