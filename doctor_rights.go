package rookery

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/penguinmails/rookery/db"
	"github.com/penguinmails/rookery/internal/redisq"
)

// rolesOf are the roles that a part of the house needs in Postgres; nil: there is no
// such part.
func rolesOf(part string) []string {
	switch part {
	case "relay":
		return []string{db.RelayRole}
	case "worker":
		return []string{db.WorkerRole}
	case "api":
		return []string{db.APIRole}
	case "push":
		return []string{db.WorkerRole, db.PusherRole}
	case "serve":
		return []string{db.RelayRole, db.APIRole}
	}
	return nil
}

// doctorRights compares what the user may do in Postgres with what parts need.
func doctorRights(f db.Facts, parts []string) (out []Finding) {
	r := f.Rights
	switch {
	case r.Superuser:
		out = append(out, Finding{Subject: "roles", Warning: true,
			Problem: "user " + f.User + " is a superuser: whoever gets hold of this login owns the whole server",
			Remedy:  "CREATE ROLE rookery LOGIN PASSWORD '…' IN ROLE rookery_server, and use that in DATABASE_URL; docs/security.md has smaller roles"})
	case r.Owner:
		out = append(out, Finding{Subject: "roles", Warning: true,
			Problem: "user " + f.User + " owns the schema: it may change and drop the tables, which only migrations need",
			Remedy:  "CREATE ROLE rookery LOGIN PASSWORD '…' IN ROLE rookery_server, and keep " + f.User + " for `rookery migrate`"})
	}
	if len(r.Missing) == 0 { // no role to compare with
		if !f.MayServe {
			out = append(out, Finding{Subject: "roles", Problem: "user " + f.User + " may not do what relays and workers do", Remedy: "GRANT rookery_server TO " + f.User})
		}
		return out
	}
	var wanted []string
	for _, part := range parts {
		roles := rolesOf(part)
		if roles == nil {
			out = append(out, Finding{Subject: "roles", Problem: fmt.Sprintf("there is no part %q", part), Remedy: "ask for relay, worker, push, api or serve"})
		}
		wanted = append(wanted, roles...)
	}
	if len(parts) == 0 {
		wanted = []string{nearest(r.Missing)}
	}
	slices.Sort(wanted)
	for _, role := range slices.Compact(wanted) {
		missing, known := r.Missing[role]
		switch {
		case !known:
			out = append(out, Finding{Subject: "roles", Problem: "role " + role + " is missing, or was made after the migrations and has no rights",
				Remedy: "run the grants of all files of db/migrations from 00003_roles.sql on as the schema's owner, or GRANT rookery_server TO " + f.User})
		case len(missing) > 0:
			out = append(out, Finding{Subject: "roles", Problem: "user " + f.User + " lacks rights of " + role + ": " + some(missing),
				Remedy: "GRANT " + role + " TO " + f.User + ", or rookery_server, which is all parts in one"})
		}
	}
	return out
}

// nearest is the role of which the user lacks least. PusherRole, a few rights beside
// WorkerRole, is not asked for unless somebody says so.
func nearest(missing map[string][]string) string {
	best := ""
	for _, role := range []string{db.RelayRole, db.WorkerRole, db.APIRole} {
		if lacks, known := missing[role]; known && (best == "" || len(lacks) < len(missing[best])) {
			best = role
		}
	}
	return best
}

// some names the first few.
func some(items []string) string {
	const most = 8
	if len(items) <= most {
		return strings.Join(items, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(items[:most], ", "), len(items)-most)
}

// doctorACL compares what the user may do in Redis with what Rookery needs.
func doctorACL(ctx context.Context, client *redisq.Client) []Finding {
	a, err := client.Access(ctx)
	if err != nil {
		return []Finding{{Subject: "redis", Problem: err.Error(), Remedy: "see deploy/redis/users.acl for what Rookery's user needs"}}
	}
	var out []Finding
	if len(a.Commands) > 0 {
		out = append(out, Finding{Subject: "redis", Problem: "the user may not run " + some(a.Commands),
			Remedy: "ACL SETUSER <user> +" + strings.Join(a.Commands, " +")})
	}
	if len(a.Keys) > 0 {
		out = append(out, Finding{Subject: "redis", Problem: "the user may not use keys like " + strings.Join(a.Keys, ", "),
			Remedy: "ACL SETUSER <user> ~" + strings.Join(a.Keys, " ~")})
	}
	if a.Administers {
		out = append(out, Finding{Subject: "redis", Warning: true, Problem: "the user may do everything, FLUSHALL and CONFIG SET included",
			Remedy: "give Rookery a user of its own, as in deploy/redis/users.acl"})
	}
	return out
}
