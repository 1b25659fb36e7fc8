package redisq

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/penguinmails/rookery/internal/devstack/devtest"
)

// access asks as a user with these rules.
func access(t *testing.T, rules ...string) Access {
	t.Helper()
	server := devtest.RedisServer(t)
	admin := newFixture(t, server.URL())
	words := []any{"ACL", "SETUSER", "rookery", "reset"}
	for _, rule := range rules {
		words = append(words, rule)
	}
	admin.do(words...)
	c, err := Open(t.Context(), devtest.AsRedisUser(t, server.URL()))
	admin.no(err)
	defer c.Close()
	a, err := c.Access(t.Context())
	admin.no(err)
	for _, key := range []string{probeKey, workersKey, workerKeyPrefix + "rookery doctor", spoolMeta} {
		admin.same(key+" is left", admin.do("EXISTS", key), int64(0))
	}
	slices.Sort(a.Commands)
	slices.Sort(a.Keys)
	return a
}

func without(rules []string, not ...string) []string {
	return slices.DeleteFunc(slices.Clone(rules), func(rule string) bool { return slices.Contains(not, rule) })
}

// Access finds every single right that is missing, and nothing when none is.
func TestAccess_NamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	rules := devtest.RedisRules(t)
	for _, rule := range rules {
		want := Access{}
		switch {
		case strings.HasPrefix(rule, "+"):
			want.Commands = []string{rule[1:]}
			if rule == "+asking" || rule == "+cluster|slots" || rule == "+command" {
				want.Commands = nil // this is no cluster
			}
		case rule == "~queue:{*":
			want.Keys = []string{rule[1:]}
		case strings.HasPrefix(rule, "~"):
			want.Keys = []string{rule[1:]}
		default:
			continue
		}
		got := access(t, without(rules, rule)...)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Access() without %s (-want +got):\n%s", rule, diff)
		}
	}
	if got := access(t, rules...); !cmp.Equal(got, Access{}) {
		t.Errorf("Access() of the user of users.acl = %+v, want nothing", got)
	}
	if got := access(t, "on", ">what-the-tests-use", "~*", "+@all"); !cmp.Equal(got, Access{Administers: true}) {
		t.Errorf("Access() of a user who may do everything = %+v, want that", got)
	}
	if got := access(t, "on", ">what-the-tests-use", "~*", "+@all", "-@dangerous"); !cmp.Equal(got, Access{Commands: []string{"info"}}) {
		t.Errorf("Access() of a user without @dangerous = %+v, want info missing", got)
	}
}

// The probes are the commands of users.acl.
func TestAccess_ProbesEveryCommand(t *testing.T) {
	t.Parallel()
	want, got := []string{}, []string{"set"}
	for _, rule := range devtest.RedisRules(t) {
		if command, ok := strings.CutPrefix(rule, "+"); ok {
			want = append(want, command)
		}
	}
	for _, words := range slices.Concat(probes, ofCluster) {
		got = append(got, nameOf(words))
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("probes (-users.acl +probes):\n%s", diff)
	}
}

func TestAccess_OfACluster(t *testing.T) {
	everywhere(t, func(t *testing.T, f *fixture) {
		a, err := f.Access(context.Background())
		f.no(err)
		f.same("what the user of users.acl lacks", a, Access{})
	})
}
