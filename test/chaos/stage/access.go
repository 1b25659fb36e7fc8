package stage

import (
	"maps"
	"net/url"
	"slices"

	"github.com/penguinmails/rookery/internal/devstack"
)

// Nobody under test is a superuser: each part logs in with the role that
// docs/security.md names for it, and all are the user of deploy/redis/users.acl. The
// stage itself, which looks and meddles, may do everything.

// logins are the users of Postgres, by the process' role.
var logins = map[Role]string{Relay: "chaos_relay", API: "chaos_api", Serve: "chaos_api", Worker: "chaos_worker", Push: "chaos_push", Producer: "chaos_producer"}

// Logins returns the names of the users that processes log in with.
func Logins() []string { return slices.Compact(slices.Sorted(maps.Values(logins))) }

// users makes the logins, in the template.
const users = `
CREATE ROLE chaos_relay LOGIN IN ROLE rookery_relay;
CREATE ROLE chaos_api LOGIN IN ROLE rookery_relay, rookery_api;
CREATE ROLE chaos_worker LOGIN IN ROLE rookery_worker;
CREATE ROLE chaos_push LOGIN IN ROLE rookery_worker, rookery_pusher;
CREATE ROLE chaos_producer LOGIN IN ROLE rookery_producer;`

// asUser has a process log in as itself.
func asUser(role Role, raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", err
	}
	u.User = url.User(logins[role])
	return u.String(), nil
}

// urls returns where a process finds the servers, past its links, and as whom.
func (s *Stage) urls(role Role, post, red *Link) (postgres, redis string, err error) {
	if postgres, err = asUser(role, s.postURL(post.Addr())); err != nil {
		return "", "", err
	}
	redis, err = devstack.AsRedisUser(s.redisURL(red.Addr()))
	return postgres, redis, err
}

// refusals are what the servers say to somebody who lacks a right.
var refusals = []string{"SQLSTATE 42501", "permission denied for", "NOPERM", "NOAUTH", "WRONGPASS"}
