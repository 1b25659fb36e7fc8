package httpapi

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/penguinmails/rookery/job"
)

// Principal is who asks, and what they may. The zero value may nothing.
type Principal struct {
	Name   string      // "key:<id>", "oidc:<subject>", "config" for a key of the options, "local" for this machine without keys
	Scopes []job.Scope // what they may do
	Queues []string    // the queues that they may see, as [job.APIKey] has them; none: all
}

// keyPrincipal begins the name of a principal with a key that people made;
// configPrincipal is the name of whoever has one of the options'.
const (
	keyPrincipal    = "key:"
	configPrincipal = "config"
)

// May reports whether p has a scope, or [job.ScopeAdmin].
func (p Principal) May(scope job.Scope) bool {
	return slices.Contains(p.Scopes, scope) || slices.Contains(p.Scopes, job.ScopeAdmin)
}

// Sees reports whether p may know of a queue.
func (p Principal) Sees(queue string) bool { return job.MatchQueue(p.Queues, queue) }

// own reports whether p has a key that people made, or a token: a name of its own.
func (p Principal) own() bool {
	return strings.HasPrefix(p.Name, keyPrincipal) || strings.HasPrefix(p.Name, TokenPrincipal)
}

// owner returns whose an Idempotency-Key is: each key that people made has its own, so
// that nobody is answered with another's jobs, and so has each token's subject. The keys
// of the options share theirs: a client that changes from one to the next is the same
// client.
func (p Principal) owner() string {
	if p.own() {
		return p.Name
	}
	return ""
}

// unbound is a principal that may everything.
func unbound(name string) Principal {
	return Principal{Name: name, Scopes: []job.Scope{job.ScopeAdmin}}
}

// caller is what a request's context says of who made it.
type caller struct {
	principal Principal
	requestID string
	ip        string
}

// plainIP is an address without its zone, which Postgres does not take, or "".
func plainIP(text string) string {
	ip, err := netip.ParseAddr(text)
	if err != nil {
		return ""
	}
	return ip.Unmap().WithZone("").String()
}

type callerKey struct{}

// withCaller returns r with a context that knows its caller.
func withCaller(r *http.Request, c caller) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), callerKey{}, c))
}

// principal returns who made the request of ctx; of another context, nobody.
func (s *Server) principal(ctx context.Context) Principal {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c.principal
}

// actor returns who made the request of ctx, as the audit names them.
func (s *Server) actor(ctx context.Context) job.Actor {
	c, _ := ctx.Value(callerKey{}).(caller)
	return job.Actor{Principal: c.principal.Name, RequestID: c.requestID, IP: c.ip, Queues: c.principal.Queues}
}

// need returns a problem unless the caller has a scope: for what is wanted beside the
// route's own scope.
func (s *Server) need(ctx context.Context, scope job.Scope) error {
	if s.principal(ctx).May(scope) {
		return nil
	}
	return forbidden(scope)
}

// needQueue returns a problem unless the caller may put jobs into a queue. It is for
// names that the caller said: what a caller may not see is answered as if it were not
// there.
func (s *Server) needQueue(ctx context.Context, queue string) error {
	if s.principal(ctx).Sees(queue) {
		return nil
	}
	return foreignQueue(queue)
}

// forbidden says which scope is missing, to people and, as RFC 6750 has it, to programs.
func forbidden(scope job.Scope) *problem {
	p := newProblem(http.StatusForbidden, codeForbidden, "this takes a key with the scope "+string(scope))
	p.authenticate = `Bearer realm="rookery", error="insufficient_scope", scope="` + string(scope) + `"`
	return p
}
