package e2e

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
)

// rolesOf says as whom a command of the program logs in: nobody is a superuser but
// who changes the schema or the seal keys, which takes the schema's owner. In Redis
// all are the user of deploy/redis/users.acl.
func rolesOf(command string) []string {
	switch command {
	case "relay":
		return []string{"rookery_relay"}
	case "worker", "bench":
		return []string{"rookery_worker"}
	case "push":
		return []string{"rookery_worker", "rookery_pusher"}
	case "serve":
		return []string{"rookery_relay", "rookery_api"}
	case "migrate", "seals":
		return nil
	case "doctor":
		return []string{"rookery_server"}
	}
	return []string{"rookery_api"} // people at the command line
}

// login makes all users that a test may need.
func (w *world) login() {
	w.t.Helper()
	for _, command := range []string{"relay", "worker", "push", "serve", "doctor", "jobs"} {
		w.as(rolesOf(command)...)
	}
}

// as returns the database's URL for a user that has roles and nothing else.
func (w *world) as(roles ...string) string {
	w.t.Helper()
	key := strings.Join(roles, " ")
	if key == "" {
		return w.url
	}
	if w.logins[key] == "" {
		w.logins[key] = devtest.Login(w.t, w.url, roles...)
	}
	return w.logins[key]
}

// env is the environment of a child that runs a command, and nothing of the tests'
// own.
func (w *world) env(command string, more ...string) []string {
	w.t.Helper()
	return append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Dir(w.history), "TZ=UTC",
		"DATABASE_URL=" + w.as(rolesOf(command)...), "REDIS_URL=" + devtest.AsRedisUser(w.t, w.redis.URL()), "ROOKERY_LEASE=" + w.lease.String(),
	}, more...)
}

// commandOf is the first word that is no flag.
func commandOf(args []string) string {
	for _, arg := range args {
		if !strings.HasPrefix(arg, "-") {
			return arg
		}
	}
	return ""
}
