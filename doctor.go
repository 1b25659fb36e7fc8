package rookery

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/penguinmails/rookery/db"
	"github.com/penguinmails/rookery/internal/redisq"
)

// Finding is one thing that doctor does not like.
type Finding struct {
	Subject string `json:"subject"` // postgres, schema, roles, redis, wake, …
	Problem string `json:"problem"`
	Remedy  string `json:"remedy"`
	Warning bool   `json:"warning"` // it works, but not as well or as safely as it could
}

// What Rookery needs.
const (
	minPostgres = 150000
	minRedis    = "7.0"
)

// Doctor looks at what c names and returns what is wrong with it; nothing when all
// is well. parts are what is to run with c: relay, worker, api, or serve, which is
// relay and api; without any, one that could run is enough. Doctor changes nothing,
// but for keys of its own in Redis, which are gone when it returns.
func Doctor(ctx context.Context, c Config, parts ...string) []Finding {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	out := append(doctorPostgres(ctx, c.DatabaseURL, parts), doctorRedis(ctx, c.RedisURL)...)
	out = append(out, doctorState(ctx, c.DatabaseURL)...)
	out = append(out, doctorWake(ctx, c, parts)...)
	out = append(out, doctorQueues(ctx, c)...)
	return append(out, doctorSpool(ctx, c.RedisURL)...)
}

func doctorPostgres(ctx context.Context, url string, parts []string) []Finding {
	if url == "" {
		return []Finding{{Subject: "postgres", Problem: "DATABASE_URL is not set", Remedy: "export DATABASE_URL=postgres://user:password@host:5432/database"}}
	}
	f, err := db.Diagnose(ctx, url)
	if err != nil {
		return []Finding{{Subject: "postgres", Problem: err.Error(), Remedy: "check DATABASE_URL, and that the server runs and lets this host in"}}
	}
	var out []Finding
	found := func(cond, warning bool, subject, problem, remedy string) {
		if cond {
			out = append(out, Finding{Subject: subject, Problem: problem, Remedy: remedy, Warning: warning})
		}
	}
	found(f.Version < minPostgres, false, "postgres", fmt.Sprintf("version %d.%d is too old", f.Version/10000, f.Version%10000), "use Postgres 15 or newer")
	found(f.Standby, false, "postgres", "this is a standby: nothing can be written", "point DATABASE_URL at the primary")
	found(f.Pooler, true, "postgres", "a pooler stands in front: notifications and pinned plans do not get through",
		"give relays a direct DATABASE_LISTEN_URL, and the role of relays and workers: ALTER ROLE … SET plan_cache_mode = force_generic_plan (and enable_seqscan, enable_bitmapscan, enable_hashjoin, enable_mergejoin, enable_material, enable_memoize, jit = off; lock_timeout = 1s, statement_timeout = 10s, default_transaction_isolation = 'read committed')")
	found(f.Pooler && f.AsyncCommit, false, "postgres", "synchronous_commit is off, and a pooler keeps us from turning it on: after a crash Redis may hold jobs that Postgres has forgotten",
		"ALTER ROLE "+f.User+" SET synchronous_commit = on")
	found(f.FsyncOff, true, "postgres", "fsync is off: a crash of the machine loses committed jobs", "set fsync = on")
	found(len(f.MissingRoles) > 0, true, "roles", "missing: "+strings.Join(f.MissingRoles, ", "), "run `rookery migrate up` as a user with CREATEROLE, or make them by hand and run the grants of db/migrations/00003_roles.sql and 00007_parts.sql")
	found(len(f.GateHolders) > 1, true, "postgres", "the gate is held by "+strings.Join(f.GateHolders, ", "), "end the session that is not a relay's")
	pending, err := pendingMigrations(ctx, url)
	switch {
	case err != nil && f.MayServe:
		// Roles that were made after the migrations have no right to their table.
		found(true, true, "schema", "cannot tell which migrations are applied: "+err.Error(),
			"ask with a direct DATABASE_URL, and as the schema's owner: GRANT SELECT ON "+db.MigrationsTable+" TO "+f.User)
	case err != nil:
		found(true, false, "schema", err.Error(), "run `rookery migrate up` as the schema's owner, and GRANT rookery_server TO "+f.User)
	case pending > 0:
		found(true, false, "schema", "migrations that are not applied: "+strconv.Itoa(pending), "run `rookery migrate up`")
	default:
		out = append(out, doctorRights(f, parts)...)
	}
	return out
}

func pendingMigrations(ctx context.Context, url string) (int, error) {
	m, err := db.NewMigrator(url)
	if err != nil {
		return 0, err
	}
	defer func() { _ = m.Close() }()
	all, err := m.Status(ctx)
	n := 0
	for _, one := range all {
		if !one.Applied {
			n++
		}
	}
	return n, err
}

func doctorRedis(ctx context.Context, url string) []Finding {
	if url == "" {
		return []Finding{{Subject: "redis", Problem: "REDIS_URL is not set", Remedy: "export REDIS_URL=redis://host:6379"}}
	}
	client, err := redisq.Open(ctx, url)
	if err != nil {
		return []Finding{{Subject: "redis", Problem: err.Error(), Remedy: "correct REDIS_URL"}}
	}
	defer func() { _ = client.Close() }()
	s, err := client.Inspect(ctx)
	if err != nil {
		return []Finding{{Subject: "redis", Problem: err.Error(), Remedy: "check REDIS_URL, and that the server runs and lets this host in"}}
	}
	var out []Finding
	found := func(cond, warning bool, problem, remedy string) {
		if cond {
			out = append(out, Finding{Subject: "redis", Problem: problem, Remedy: remedy, Warning: warning})
		}
	}
	found(older(s.Version, minRedis), false, "version "+s.Version+" is too old", "use Redis 7.0 or newer, or Valkey")
	found(s.Role != "" && s.Role != "master", false, "this is a replica: it takes no jobs", "point REDIS_URL at the master, or at the Sentinels")
	found(s.ScriptProblem != "", false, s.ScriptProblem, "let the user run INFO from scripts: ACL SETUSER … +info")
	out = append(out, doctorACL(ctx, client)...)
	found(s.EvictionPolicy != "" && s.Evicts(), false, "maxmemory-policy is "+s.EvictionPolicy+": a full Redis would throw jobs away", "CONFIG SET maxmemory-policy noeviction")
	found(s.ConfigRead && !s.AppendOnly, true, "appendonly is off: a restart empties the windows, and jobs wait up to 15 s longer", "CONFIG SET appendonly yes")
	return out
}

// older reports whether version a, such as 7.0.15, is below b.
func older(a, b string) bool {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range bs {
		if i >= len(as) {
			return true
		}
		x, errX := strconv.Atoi(as[i])
		y, errY := strconv.Atoi(bs[i])
		if errX != nil || errY != nil || x == y {
			continue
		}
		return x < y
	}
	return false
}
