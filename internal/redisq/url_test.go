package redisq

import (
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

func TestOpen_ReadsURLs(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"redis://localhost":                                     "localhost:6379 db 0",
		"redis://:secret@localhost:7000/3":                      "localhost:7000 db 3 password",
		"redis://me:sec%2Fret@localhost:7000/":                  "localhost:7000 db 0 user password",
		"rediss://example.org":                                  "example.org:6379 db 0 tls",
		"redis://[::1]:6380/1":                                  "[::1]:6380 db 1",
		"unix:///tmp/redis.sock?db=2":                           "/tmp/redis.sock db 2",
		"unix://:secret@/tmp/redis.sock":                        "/tmp/redis.sock db 0 password",
		"redis://localhost?pool_size=3":                         "localhost:6379 db 0",
		"redis+sentinel://a,b:1/mymaster":                       "FailoverClient db 0",
		"redis+sentinel://me:secret@a:1,b:2,c/mymaster/4":       "FailoverClient db 4 user password",
		"rediss+sentinel://a/m?sentinel_password=x&pool_size=3": "FailoverClient db 0 tls",
		"redis+cluster://a,b:7001,[::1]:7002":                   "a:6379,b:7001,[::1]:7002",
		"rediss+cluster://me:secret@a:7000/0?pool_size=3":       "a:7000 user password tls",
	} {
		c, err := Open(t.Context(), url)
		if err != nil {
			t.Errorf("Open(%q) = %v", url, err)
			continue
		}
		if got := describe(c.rdb); got != want {
			t.Errorf("Open(%q) = %s, want %s", url, got, want)
		}
		if err := c.Close(); err != nil {
			t.Errorf("Close() of %q = %v", url, err)
		}
	}
}

func describe(rdb redis.UniversalClient) string {
	var words []string
	add := func(word string, when bool) {
		if when {
			words = append(words, word)
		}
	}
	switch c := rdb.(type) {
	case *redis.Client:
		o := c.Options()
		words = append(words, o.Addr, "db", string(rune('0'+o.DB)))
		add("user", o.Username == "me")
		add("password", strings.HasPrefix(o.Password, "sec"))
		add("tls", o.TLSConfig != nil)
		add("deadlines are ignored", !o.ContextTimeoutEnabled)
	case *redis.ClusterClient:
		o := c.Options()
		words = append(words, strings.Join(o.Addrs, ","))
		add("user", o.Username == "me")
		add("password", o.Password == "secret")
		add("tls", o.TLSConfig != nil)
		add("deadlines are ignored", !o.ContextTimeoutEnabled)
	}
	return strings.Join(words, " ")
}

func TestOpen_NamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"":                                     "scheme is missing",
		"localhost:6379":                       "scheme is missing",
		"http://localhost":                     `scheme "http" is unknown`,
		"redis+proxy://localhost":              `scheme "redis+proxy" is unknown`,
		"redis+://localhost":                   `scheme "redis+" is unknown`,
		"unix+cluster:///tmp/x":                `scheme "unix+cluster" is unknown`,
		"redis://localhost:0":                  "port of host 1",
		"redis://localhost:70000":              "port of host 1",
		"redis://:hunter2@localhost:x":         "host 1 is not host:port",
		"redis://me:hun/ter2@localhost:6379":   "host 1 is not host:port",
		"redis://hun/ter2@localhost:6379":      "database must be a number",
		"redis://localhost/-1":                 "database must be a number",
		"redis://localhost/one":                "database must be a number",
		"redis://a,b":                          "2 hosts need redis+sentinel:// or redis+cluster://",
		"redis://:hunter2%zz@localhost":        "percent-encoded",
		"redis://localhost?colour=blue":        "colour",
		"redis://localhost?pool_size=many":     "pool_size",
		"redis+sentinel://:hunter2@a,b":        "master name is missing",
		"redis+sentinel://a/m/x":               "database must be a number",
		"redis+sentinel://a,,b/m":              "host 2 is empty",
		"redis+sentinel://:hunter2%zz@a/m":     "percent-encoded",
		"redis+cluster://a/1":                  "a cluster has only 0",
		"redis+cluster://:hunter2@a:1,b:99999": "port of host 2",
		"redis://a?pool_size=-1":               "must be 0 to 100000",
		"redis+sentinel://a/m?pool_size=-1":    "must be 0 to 100000",
		"redis+cluster://a?max_idle_conns=-1":  "must be 0 to 100000",
		"unix:///tmp/x?pool_size=-1":           "must be 0 to 100000",
		"redis://a?pool_size=9000000000000":    "must be 0 to 100000",
		"redis://a?x=%zz":                      "percent-encoded",
		"redis+cluster://:hun@ter2@a?x=y":      "unexpected option",
		"redis://a?hunter2@localhost/0":        "percent-encoded",
		"redis://a?pool_size=hunter2@b":        "option pool_size: must be a number",
	} {
		c, err := Open(t.Context(), url)
		if err == nil {
			_ = c.Close()
			t.Errorf("Open(%q) = nil, want %q", url, want)
			continue
		}
		if got := err.Error(); !strings.Contains(got, want) || strings.Contains(got, "\n") {
			t.Errorf("Open(%q) = %q, want one line with %q", url, got, want)
		}
		if strings.Contains(err.Error(), "hun") || strings.Contains(err.Error(), "ter2") {
			t.Errorf("Open(%q) shows the password: %v", url, err)
		}
	}
}
