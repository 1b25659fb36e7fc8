package oidc

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/penguinmails/rookery/job"
)

// Scopes and queues where Keycloak, Auth0 and others have them.
func TestVerify_NestedClaims(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	d := edKey(t)
	i.publish("d", d.Public())
	type object = map[string]any
	roles := object{"roles": []string{"offline_access", "jobs:read"}}
	for _, tt := range []struct {
		scopes, queues string // the claims' names
		change         object
		want           job.Bearer // with no subject: refused
	}{
		{"realm_access.roles", "", object{"realm_access": roles}, job.Bearer{Subject: "grace", Scopes: []job.Scope{job.ScopeJobsRead}}},
		{"resource_access.rookery.roles", "", object{"resource_access": object{"rookery": roles, "other": object{"roles": []string{"admin"}}}},
			job.Bearer{Subject: "grace", Scopes: []job.Scope{job.ScopeJobsRead}}},
		{`resource_access.my\.app.roles`, "", object{"resource_access": object{"my.app": roles}}, job.Bearer{Subject: "grace", Scopes: []job.Scope{job.ScopeJobsRead}}},
		{"https://example.com/roles", "", object{"https://example.com/roles": "jobs:read"}, job.Bearer{Subject: "grace", Scopes: []job.Scope{job.ScopeJobsRead}}},
		{"a.b", "c.d", object{"a": object{"b": "jobs:write"}, "c": object{"d": "mail.* bills"}},
			job.Bearer{Subject: "grace", Scopes: []job.Scope{job.ScopeJobsWrite}, Queues: []string{"mail.*", "bills"}}},
		// Scopes that are missing allow nothing.
		{"realm_access.roles", "", object{}, job.Bearer{Subject: "grace"}},
		{"realm_access.roles", "", object{"realm_access": object{}}, job.Bearer{Subject: "grace"}},
		{"realm_access.roles", "", object{"realm_access": object{"Roles": []string{"admin"}}, "roles": "admin", "realm_access.roles": "admin"}, job.Bearer{Subject: "grace"}},
		{`a\.b`, "", object{"a": object{"b": "admin"}}, job.Bearer{Subject: "grace"}},
		// What leads through something else, and queues that are missing, are refused.
		{"realm_access.roles", "", object{"realm_access": "admin"}, job.Bearer{}},
		{"realm_access.roles", "", object{"realm_access": []any{roles}}, job.Bearer{}},
		{"realm_access.roles", "", object{"realm_access": nil, "x": 1}, job.Bearer{Subject: "grace"}}, // signed without it
		{"realm_access.roles", "", object{"realm_access": json.RawMessage("null")}, job.Bearer{}},
		{"realm_access.roles", "", object{"realm_access": object{"roles": object{"admin": true}}}, job.Bearer{}},
		{"realm_access.roles", "", object{"realm_access": object{"roles": nil}}, job.Bearer{}},
		{"scope", "app.queues", object{"app": object{}}, job.Bearer{}},
		{"scope", "app.queues", object{"app": "mail"}, job.Bearer{}},
		{"scope", "app.queues", object{"app": object{"queues": "*"}}, job.Bearer{Subject: "grace", Scopes: []job.Scope{job.ScopeJobsRead}}},
	} {
		v := i.verifier(Options{ScopeClaim: tt.scopes, QueuesClaim: tt.queues})
		got, err := v.Verify(t.Context(), i.signed(jose.EdDSA, d, "d", tt.change), time.Now())
		if (err == nil) != (tt.want.Subject != "") {
			t.Errorf("%s of %v: %v, want it good: %t", tt.scopes, tt.change, err, tt.want.Subject != "")
			continue
		}
		if diff := cmp.Diff(tt.want, got); err == nil && diff != "" {
			t.Errorf("%s of %v (-want +got):\n%s", tt.scopes, tt.change, diff)
		}
	}
}

func TestParseClaim(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]claim{
		"scope": {"scope"}, "a.b.c": {"a", "b", "c"}, `a\.b.c`: {"a.b", "c"}, "https://example.com/x.y": {"https://example.com/x.y"}, "a.b.c.d.e.f.g.h": {"a", "b", "c", "d", "e", "f", "g", "h"},
		"": nil, ".": nil, "a.": nil, ".a": nil, "a..b": nil, "a.b.c.d.e.f.g.h.i": nil, "a\x00b": nil, strings.Repeat("a", maxClaim+1): nil,
	} {
		got, err := parseClaim(text)
		if diff := cmp.Diff(want, got); diff != "" || (err == nil) != (want != nil) {
			t.Errorf("parseClaim(%.40q) = %q, %v, want %q", text, got, err, want)
		}
	}
}
