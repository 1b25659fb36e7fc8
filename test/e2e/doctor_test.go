package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
)

// doctor is silent when all is well, and else says what is wrong and what helps.
func TestDoctor_FindsWhatIsWrong(t *testing.T) {
	slow(t)
	t.Parallel()
	server := devtest.PostgresServer(t, map[string]string{"fsync": "on"})
	devtest.Migrate(t, server.URL("postgres"))
	w := newWorld(t, worldOptions{postgres: server, redisArgs: []string{"--appendonly", "yes"}})
	evicting := devtest.RedisServer(t, "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
	w.exec(`CREATE ROLE doctor_server LOGIN IN ROLE rookery_server`)
	w.exec(`CREATE ROLE doctor_nobody LOGIN`)
	as := func(user string) []string {
		return []string{"DATABASE_URL=" + strings.Replace(server.URL("postgres"), "postgres@", user+"@", 1)}
	}
	for _, c := range []struct {
		name string
		env  []string
		code int
		want string // "" is silence
	}{
		{"well", nil, 0, ""},
		{"no DATABASE_URL", []string{"DATABASE_URL="}, 1, "DATABASE_URL is not set"},
		{"no REDIS_URL", []string{"REDIS_URL="}, 1, "REDIS_URL is not set"},
		{"no schema", []string{"DATABASE_URL=" + devtest.EmptyPostgres(t)}, 1, "rookery migrate up"},
		{"the role of relays and workers", as("doctor_server"), 0, ""},
		{"a user without rights", as("doctor_nobody"), 1, "GRANT rookery_server TO doctor_nobody"},
		{"wrong Postgres port", []string{"DATABASE_URL=postgres://postgres@127.0.0.1:1/x"}, 1, "check DATABASE_URL"},
		{"wrong Redis port", []string{"REDIS_URL=redis://127.0.0.1:1"}, 1, "check REDIS_URL"},
		{"eviction", []string{"REDIS_URL=" + evicting.URL()}, 1, "CONFIG SET maxmemory-policy noeviction"},
	} {
		code, stdout, stderr := run(t, w.env("doctor", c.env...), program("rookery"), "doctor")
		said := stdout + stderr
		if code != c.code || !strings.Contains(said, c.want) || c.want == "" && said != "" {
			t.Errorf("doctor, %s = %d %q, want %d and %q", c.name, code, said, c.code, c.want)
		}
		if c.want != "" && !strings.Contains(stdout, "remedy: ") {
			t.Errorf("doctor, %s, names no remedy: %s", c.name, stdout)
		}
	}
	// What Postgres knows of the processes: due jobs and no relay; nobody reaches Redis.
	w.insert(1, `{}`)
	said := func() string {
		_, stdout, _ := run(t, w.env("doctor"), program("rookery"), "doctor")
		return stdout
	}
	if text := said(); !strings.Contains(text, "nobody hands them out") {
		t.Errorf("doctor with due jobs and no relay = %q", text)
	}
	w.exec(`INSERT INTO outbox.processes (id, role, redis_at) VALUES ('r', 'relay', now() - interval '1 minute')`)
	if text := said(); !strings.Contains(text, "no process has reached Redis for 1m") || strings.Contains(text, "nobody hands them out") {
		t.Errorf("doctor with Redis away = %q", text)
	}
	w.exec(`DELETE FROM outbox.processes`)
	w.exec(`DELETE FROM outbox.ready`)
	// Who would entrust jobs to such a Redis is stopped at once.
	for _, command := range []string{"worker --queue q --exec true", "relay", "serve"} {
		p := w.rookery(command, "REDIS_URL="+evicting.URL())
		if code := p.wait(30 * time.Second); code != 1 || !strings.Contains(p.err.String(), "noeviction") {
			t.Errorf("rookery %s with a Redis that evicts = %d %s", command, code, p.tail())
		}
	}
}

// Rights: doctor names what a user lacks and what to type, and warns of a user who
// may far more than any part needs.
func TestDoctor_NamesRights(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	owner := devtest.Login(t, w.url, "rookery_server")
	w.exec(`ALTER TABLE outbox.jobs OWNER TO ` + strings.Split(strings.TrimPrefix(owner, "postgres://"), "@")[0])
	acl := func(name string, rules ...any) string {
		t.Helper()
		words := append([]any{"ACL", "SETUSER", name, "reset", "on", ">pw"}, rules...)
		if err := w.rdb.Do(t.Context(), words...).Err(); err != nil {
			t.Fatal(err)
		}
		return "redis://" + name + ":pw@" + w.redis.Addr()
	}
	var rules []any
	for _, rule := range devtest.RedisRules(t) {
		if rule != "+zmscore" && rule != "~rookery:workers" {
			rules = append(rules, rule)
		}
	}
	for _, c := range []struct {
		name, database, redis, parts string
		code                         int
		want, not                    string
	}{
		{"a worker", w.as("rookery_worker"), "", "worker", 0, "", "roles"},
		{"a worker, whatever it is for", w.as("rookery_worker"), "", "", 0, "", "roles"},
		{"a worker as a relay", w.as("rookery_worker"), "", "relay", 1, "DELETE on cancels", "roles: user postgres"},
		{"a worker as push", w.as("rookery_worker"), "", "push", 1, "GRANT rookery_pusher TO login_", "roles: user postgres"},
		{"push", w.as("rookery_worker", "rookery_pusher"), "", "push", 0, "", "roles"},
		{"a worker as serve", w.as("rookery_worker"), "", "serve", 1, "GRANT rookery_api TO login_", ""},
		{"serve", w.as("rookery_relay", "rookery_api"), "", "serve", 0, "", "roles"},
		{"all in one", w.as("rookery_server"), "", "relay,worker,api", 0, "", "roles"},
		{"a producer", w.as("rookery_producer"), "", "", 1, "GRANT rookery_server TO login_", ""},
		{"nothing there is", w.as("rookery_server"), "", "cook", 1, `no part "cook"`, ""},
		{"a superuser", w.url, "", "", 0, "is a superuser", "lacks"},
		{"the owner", owner, "", "", 0, "owns the schema", "lacks"},
		{"a Redis user who may everything", "", w.redis.URL(), "", 0, "FLUSHALL and CONFIG SET included", ""},
		{"a Redis user who may too little", "", acl("little", rules...), "", 1, "ACL SETUSER <user> +zmscore", ""},
		{"a Redis user without a key", "", acl("keyless", rules...), "", 1, "ACL SETUSER <user> ~rookery:workers", ""},
		{"a Redis user who may nothing", "", acl("nobody"), "", 1, "remedy: ", ""},
	} {
		env := []string{}
		if c.database != "" {
			env = append(env, "DATABASE_URL="+c.database)
		}
		if c.redis != "" {
			env = append(env, "REDIS_URL="+c.redis)
		}
		argv := []string{program("rookery"), "doctor"}
		if c.parts != "" {
			argv = append(argv, "--for", c.parts)
		}
		code, stdout, stderr := run(t, w.env("doctor", env...), argv...)
		said := stdout + stderr
		if code != c.code || !strings.Contains(said, c.want) || c.not != "" && strings.Contains(said, c.not) {
			t.Errorf("doctor of %s = %d %q, want %d, %q and not %q", c.name, code, said, c.code, c.want, c.not)
		}
	}
}
