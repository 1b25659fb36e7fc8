package devstack

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The user of deploy/redis/users.acl, as tests have it.
const (
	redisUser     = "rookery"
	redisPassword = "what-the-tests-use"
)

// RedisUser returns the name of the user of deploy/redis/users.acl, and what the file
// says that it may do, with the password of [AsRedisUser]. A server that is started
// with --user, the name and the rules knows it, also after a restart. It looks for the
// file in the module that the working directory is in.
func RedisUser() (name string, rules []string, err error) {
	module, err := moduleFolder()
	if err != nil {
		return "", nil, err
	}
	text, err := os.ReadFile(filepath.Join(module, "deploy", "redis", "users.acl"))
	if err != nil {
		return "", nil, err
	}
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) < 3 || words[0] != "user" || words[1] != redisUser {
			continue
		}
		rules := words[2:]
		password := slices.Index(rules, ">change-me")
		if password < 0 {
			return "", nil, fmt.Errorf("users.acl: no password to change in %s", line)
		}
		rules[password] = ">" + redisPassword
		return redisUser, rules, nil
	}
	return "", nil, errors.New("users.acl has no user " + redisUser)
}

// RedisUserArgs are the arguments that make redis-server know the user.
func RedisUserArgs() ([]string, error) {
	name, rules, err := RedisUser()
	return append([]string{"--user", name}, rules...), err
}

// AsRedisUser puts the user into a URL that has none.
func AsRedisUser(raw string) (string, error) {
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok || strings.Contains(rest, "@") {
		return "", fmt.Errorf("%s is not a URL without a user", raw)
	}
	return scheme + "://" + url.UserPassword(redisUser, redisPassword).String() + "@" + rest, nil
}

// moduleFolder is where go.mod lies, above the working directory.
func moduleFolder() (string, error) {
	at, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
			return at, nil
		}
		up := filepath.Dir(at)
		if up == at {
			return "", errors.New("no go.mod above the working directory")
		}
		at = up
	}
}
