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
		code, stdout, stderr := run(t, w.env(c.env...), program("rookery"), "doctor")
		said := stdout + stderr
		if code != c.code || !strings.Contains(said, c.want) || c.want == "" && said != "" {
			t.Errorf("doctor, %s = %d %q, want %d and %q", c.name, code, said, c.code, c.want)
		}
		if c.want != "" && !strings.Contains(stdout, "remedy: ") {
			t.Errorf("doctor, %s, names no remedy: %s", c.name, stdout)
		}
	}
	// Who would entrust jobs to such a Redis is stopped at once.
	for _, command := range []string{"worker --queue q --exec true", "relay", "serve"} {
		p := w.rookery(command, "REDIS_URL="+evicting.URL())
		if code := p.wait(30 * time.Second); code != 1 || !strings.Contains(p.err.String(), "noeviction") {
			t.Errorf("rookery %s with a Redis that evicts = %d %s", command, code, p.tail())
		}
	}
}
