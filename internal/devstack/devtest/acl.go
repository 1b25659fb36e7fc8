package devtest

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// The user of deploy/redis/users.acl, as tests have it.
const (
	redisUser     = "rookery"
	redisPassword = "what-the-tests-use"
)

// RedisUserArgs makes a Redis server know the user of deploy/redis/users.acl, for
// [RedisServer]; it still knows it after a restart. [AsRedisUser] logs in as it.
func RedisUserArgs(t testing.TB) []string {
	t.Helper()
	return append([]string{"--user", redisUser}, RedisRules(t)...)
}

// SetRedisUser makes servers know the user until they restart. A user of a test's
// server may do everything, so nobody needs to log in for that.
func SetRedisUser(t testing.TB, addrs ...string) {
	t.Helper()
	words := []any{"acl", "setuser", redisUser, "reset"}
	for _, rule := range RedisRules(t) {
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
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok || strings.Contains(rest, "@") {
		t.Fatalf("devtest: %s is not a URL without a user", raw)
	}
	return scheme + "://" + url.UserPassword(redisUser, redisPassword).String() + "@" + rest
}

// RedisRules are what deploy/redis/users.acl says of the user, with the tests'
// password.
func RedisRules(t testing.TB) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(moduleFolder(t), "deploy", "redis", "users.acl"))
	must(t, err)
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) < 3 || words[0] != "user" || words[1] != redisUser {
			continue
		}
		rules := words[2:]
		password := slices.Index(rules, ">change-me")
		if password < 0 {
			t.Fatalf("devtest: users.acl: no password to change in %s", line)
		}
		rules[password] = ">" + redisPassword
		return rules
	}
	t.Fatalf("devtest: users.acl has no user %s", redisUser)
	return nil
}

// moduleFolder is where go.mod lies, above the folder tests run in.
func moduleFolder(t testing.TB) string {
	t.Helper()
	at, err := os.Getwd()
	must(t, err)
	for {
		if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
			return at
		}
		up := filepath.Dir(at)
		if up == at {
			t.Fatal("devtest: no go.mod above the tests")
		}
		at = up
	}
}
