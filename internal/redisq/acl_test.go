package redisq

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/redis/go-redis/v9"
)

// That the user of deploy/redis/users.acl may do all it must is what every test of
// everywhere shows: it runs as that user. These show that it may do no more.

var (
	called = regexp.MustCompile(`redis\.p?call\('([A-Z]+)'`)
	pushed = regexp.MustCompile(`\bpush\('([A-Z]+)'`) // lua/push.lua names the verb in a variable
)

// The user's commands are those that the scripts and this package send.
func TestACL_CommandsAreThoseThatAreUsed(t *testing.T) {
	t.Parallel()
	// A cluster's client asks for the slots, and for where commands have their keys, and
	// while a slot moves it says ASKING to the node that takes it over.
	want := map[string]bool{"asking": true, "cluster|slots": true, "command": true}
	names, err := fs.Glob(luaFiles, "lua/*.lua")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		source, err := luaFiles.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, pattern := range []*regexp.Regexp{called, pushed} {
			for _, m := range pattern.FindAllStringSubmatch(string(source), -1) {
				want[strings.ToLower(m[1])] = true
			}
		}
	}
	maps.Copy(want, commandsOfGo(t))
	got := map[string]bool{}
	for _, rule := range devtest.RedisRules(t) {
		if command, ok := strings.CutPrefix(rule, "+"); ok {
			got[command] = true
		}
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got))); diff != "" {
		t.Errorf("deploy/redis/users.acl (-used +allowed):\n%s", diff)
	}
}

// commandsOfGo are the commands that this package sends by itself: methods of
// go-redis, and words that are put together by hand.
func commandsOfGo(t *testing.T) map[string]bool {
	t.Helper()
	none := []string{
		"Process", "Pipeline", "Pipelined", "Exec", "Close", "Options", "PoolStats", // send nothing of their own
		"ConfigGet", // may be forbidden
	}
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{"evalsha": true, "eval": true}
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), ".go") || strings.HasSuffix(entry.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), entry.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				method, ok := n.Fun.(*ast.SelectorExpr)
				if ok && (endsIn(method.X, "rdb") || endsIn(method.X, "pipe")) && !slices.Contains(none, method.Sel.Name) {
					found[strings.ToLower(method.Sel.Name)] = true
				}
			case *ast.BasicLit:
				if n.Value == `"blpop"` {
					found["blpop"] = true
				}
			}
			return true
		})
	}
	return found
}

func endsIn(e ast.Expr, name string) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name == name
	case *ast.SelectorExpr:
		return e.Sel.Name == name
	}
	return false
}

// What an intruder with Rookery's password would like to do.
func TestACL_RefusesEverythingElse(t *testing.T) {
	t.Parallel()
	server := devtest.RedisServer(t, devtest.RedisUserArgs(t)...)
	f := newFixture(t, devtest.AsRedisUser(t, server.URL())).under(server.URL())
	f.do("SET", "other", "theirs")
	f.do("SET", "rookery:else", "theirs")
	const inside = "return redis.call("
	for _, words := range [][]any{
		{"FLUSHALL"}, {"FLUSHDB"}, {"SHUTDOWN", "NOSAVE"}, {"SAVE"}, {"BGSAVE"}, {"BGREWRITEAOF"},
		{"CONFIG", "SET", "dir", "/tmp"}, {"CONFIG", "GET", "*"}, {"CONFIG", "REWRITE"}, {"REPLICAOF", "127.0.0.1", "1"}, {"FAILOVER"},
		{"MODULE", "LIST"}, {"ACL", "LIST"}, {"ACL", "WHOAMI"}, {"ACL", "SETUSER", "rookery", "+@all"},
		{"KEYS", "*"}, {"SCAN", "0"}, {"RANDOMKEY"}, {"DBSIZE"}, {"MONITOR"}, {"SLOWLOG", "GET"}, {"CLIENT", "LIST"}, {"CLIENT", "KILL", "TYPE", "normal"},
		{"SCRIPT", "FLUSH"}, {"SCRIPT", "KILL"}, {"FUNCTION", "LIST"}, {"FUNCTION", "LOAD", "#!lua name=x\n"}, {"PUBLISH", "x", "y"}, {"SUBSCRIBE", "x"},
		{"SWAPDB", "0", "1"}, {"SELECT", "1"}, {"MOVE", f.normal(), "1"}, {"MIGRATE", "127.0.0.1", "1", "", "0", "1", "KEYS", f.normal()}, {"DUMP", f.normal()},
		{"RENAME", f.normal(), f.high()}, {"COPY", f.normal(), "mine"}, {"SORT", f.normal(), "GET", "*"}, {"OBJECT", "ENCODING", f.normal()},
		{"GET", "other"}, {"SET", "other", "mine"}, {"DEL", "other"}, {"SET", "queues", "1"}, {"LRANGE", "queue", "0", "-1"}, {"RPUSH", "queue:x", "1"},
		{"GET", "rookery:else"}, {"SET", "rookery:{else}:jobs", "1"}, {"HSET", "rookery:workersX", "a", "b"},
		{"EVAL", inside + "'GET', KEYS[1])", "1", "other"},
		{"EVAL", inside + "'GET', 'other')", "0"},
		{"EVAL", inside + "'SET', 'other', 'mine')", "1", f.normal()},
		{"EVAL", inside + "'KEYS', '*')", "0"},
		{"EVAL", inside + "'FLUSHALL')", "0"},
		{"EVAL_RO", "return 1", "0"}, {"FCALL", "x", "0"},
	} {
		err := f.rdb.Do(context.Background(), words...).Err()
		// A script's refusal comes as ERR with the reason behind it.
		if err == nil || !redis.HasErrorPrefix(err, "NOPERM") && !strings.Contains(err.Error(), "user executing the script can't") {
			t.Errorf("%v as the user of users.acl = %v, want NOPERM", words, err)
		}
	}
	f.same("others' keys", []any{f.do("GET", "other"), f.do("GET", "rookery:else")}, []any{"theirs", "theirs"})
}

// Nobody gets in without a name.
func TestACL_DefaultUserIsOff(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../deploy/redis/users.acl")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(text), "user default off\nuser rookery on >change-me ") || strings.Count(string(text), "\n") != 2 {
		t.Errorf("users.acl = %s, want the default user off, and rookery", text)
	}
}
