package devtest

import (
	"context"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/penguinmails/rookery/internal/devstack"
)

// RedisUserArgs makes a Redis server know the user of deploy/redis/users.acl, for
// [RedisServer]; it still knows it after a restart. [AsRedisUser] logs in as it.
func RedisUserArgs(t testing.TB) []string {
	t.Helper()
	args, err := devstack.RedisUserArgs()
	must(t, err)
	return args
}

// SetRedisUser makes servers know the user until they restart. A user of a test's
// server may do everything, so nobody needs to log in for that.
func SetRedisUser(t testing.TB, addrs ...string) {
	t.Helper()
	name, rules, err := devstack.RedisUser()
	must(t, err)
	words := []any{"acl", "setuser", name, "reset"}
	for _, rule := range rules {
		words = append(words, rule)
	}
	for _, addr := range addrs {
		client := redis.NewClient(&redis.Options{Addr: addr})
		err := client.Do(context.Background(), words...).Err()
		_ = client.Close()
		must(t, err)
	}
}

// AsRedisUser puts the user into a URL.
func AsRedisUser(t testing.TB, raw string) string {
	t.Helper()
	u, err := devstack.AsRedisUser(raw)
	must(t, err)
	return u
}

// RedisRules are what deploy/redis/users.acl says of the user, with the tests'
// password.
func RedisRules(t testing.TB) []string {
	t.Helper()
	_, rules, err := devstack.RedisUser()
	must(t, err)
	return rules
}
