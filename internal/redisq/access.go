package redisq

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/penguinmails/rookery/job"
	"github.com/redis/go-redis/v9"
)

// Access is what the user may not do in Redis and must, or may do and need not.
type Access struct {
	Commands    []string // that are refused
	Keys        []string // patterns of keys that are refused
	Administers bool     // it may do everything, or nearly
}

// probeKey is a key of no queue: no name of a queue has a blank.
const probeKey = "queue:{rookery doctor}"

// probes are all commands of deploy/redis/users.acl, in a form that changes nothing:
// the key is a string, so that those of other types are refused after Redis has asked
// whether the user may.
var probes = [][]any{
	{"ping"}, {"time"}, {"info", "server"}, {"get", probeKey}, {"exists", probeKey}, {"pexpire", probeKey, 5000},
	{"eval", "return 1", 1, probeKey}, {"evalsha", strings.Repeat("0", 40), 1, probeKey},
	{"blpop", probeKey, 1}, {"llen", probeKey}, {"lpush", probeKey, 1}, {"lrange", probeKey, 0, 0}, {"rpop", probeKey}, {"rpush", probeKey, 1},
	{"hdel", probeKey, 1}, {"hget", probeKey, 1}, {"hincrby", probeKey, 1, 1}, {"hmget", probeKey, 1}, {"hscan", probeKey, 0}, {"hset", probeKey, 1, 1}, {"hsetnx", probeKey, 1, 1},
	{"sadd", probeKey, 1}, {"smembers", probeKey}, {"srem", probeKey, 1},
	{"xadd", probeKey, "*", 1, 1}, {"xdel", probeKey, "1-1"}, {"xlen", probeKey}, {"xrange", probeKey, "-", "+"},
	{"zadd", probeKey, 1, 1}, {"zcard", probeKey}, {"zcount", probeKey, 0, 0}, {"zmscore", probeKey, 1}, {"zrange", probeKey, 0, 0}, {"zrem", probeKey, 1}, {"zremrangebyscore", probeKey, 0, 0}, {"zscore", probeKey, 1},
	{"unlink", probeKey}, {"del", probeKey},
}

// ofCluster are commands that only the client of a cluster sends.
var ofCluster = [][]any{{"asking"}, {"cluster", "slots"}, {"command", "count"}}

// Access tries every command and every kind of key that Rookery needs. It makes a key
// of its own that lives for five seconds at most. A user who may not SET is not asked
// for other writes: there would be no such key. The error wraps
// [job.ErrUnavailable] when Redis does not answer.
func (c *Client) Access(ctx context.Context) (Access, error) {
	var a Access
	set, err := c.refused(ctx, "set", probeKey, "", "px", (5 * time.Second).Milliseconds())
	if err != nil {
		return a, err
	}
	if set == "keys" {
		a.Keys = append(a.Keys, "queue:{*")
	} else if set != "" {
		a.Commands = append(a.Commands, "set")
	}
	for _, words := range c.probes() {
		if set != "" && slices.Contains(words, any(probeKey)) {
			continue
		}
		switch why, err := c.refused(ctx, words...); {
		case err != nil:
			return a, err
		case why != "":
			a.Commands = append(a.Commands, nameOf(words))
		}
	}
	for pattern, words := range map[string][]any{
		workersKey: {"smembers", workersKey}, workerKeyPrefix + "*": {"get", workerKeyPrefix + "rookery doctor"}, "rookery:{spool}:*": {"hget", spoolMeta, "bytes"},
	} {
		switch why, err := c.refused(ctx, words...); {
		case err != nil:
			return a, err
		case why == "keys":
			a.Keys = append(a.Keys, pattern)
		}
	}
	why, err := c.refused(ctx, "acl", "users")
	a.Administers = why == ""
	return a, err
}

func (c *Client) probes() [][]any {
	if _, ok := c.rdb.(*redis.ClusterClient); ok {
		return append(ofCluster, probes...)
	}
	return probes
}

// nameOf is how an ACL names the command.
func nameOf(words []any) string {
	if words[0] == "cluster" {
		return fmt.Sprint(words[0], "|", words[1])
	}
	return fmt.Sprint(words[0])
}

// refused runs a command and says why the ACL refused it, "command" or "keys"; "" is
// no refusal of the ACL. The error is that Redis did not answer.
func (c *Client) refused(ctx context.Context, words ...any) (why string, err error) {
	cmd := redis.NewCmd(ctx, words...)
	err = c.rdb.Process(ctx, once{cmd})
	switch {
	case redis.HasErrorPrefix(err, "NOPERM") && strings.Contains(err.Error(), "' command"):
		return "command", nil
	case redis.HasErrorPrefix(err, "NOPERM"):
		return "keys", nil
	}
	if err = translate(err); errors.Is(err, job.ErrUnavailable) {
		return "", fmt.Errorf("ask what the user may do: %w", err)
	}
	return "", nil
}
