package redisq

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// parseURL makes a client that has not connected yet. No message repeats a part of
// raw in which a password might stand: a slash or an @ that was not escaped moves
// it into host, port or path.
func parseURL(raw string) (redis.UniversalClient, error) {
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return nil, errors.New("scheme is missing, want redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://")
	}
	_, query, _ := strings.Cut(rest, "?")
	if err := checkQuery(query); err != nil {
		return nil, err
	}
	base, kind, _ := strings.Cut(scheme, "+")
	switch {
	case base == "unix" && kind == "":
		return parseSingle(raw)
	case base != "redis" && base != "rediss", strings.Contains(scheme, "+") && kind != "sentinel" && kind != "cluster":
		return nil, fmt.Errorf("scheme %q is unknown, want redis, rediss, unix, redis+sentinel, rediss+sentinel, redis+cluster or rediss+cluster", scheme)
	}
	user, hosts, path := split(rest)
	if err := checkHosts(hosts); err != nil {
		return nil, err
	}
	switch kind {
	case "sentinel":
		return parseSentinel(base, user, hosts, path, query)
	case "cluster":
		return parseCluster(base, user, hosts, path, query)
	}
	if len(hosts) > 1 {
		return nil, fmt.Errorf("host: %d hosts need redis+sentinel:// or redis+cluster://", len(hosts))
	}
	if err := checkDB(path); err != nil {
		return nil, err
	}
	return parseSingle(raw)
}

// split takes apart what follows "://"; net/url refuses several hosts.
func split(rest string) (user string, hosts []string, path string) {
	rest, _, _ = strings.Cut(rest, "?")
	authority, path, _ := strings.Cut(rest, "/")
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		user, authority = authority[:at+1], authority[at+1:]
	}
	return user, strings.Split(authority, ","), path
}

// maxConns is the most connections that a URL may ask for.
const maxConns = 100_000

// checkQuery refuses what go-redis skips in silence, and the sizes on which it
// panics.
func checkQuery(query string) error {
	q, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("options cannot be read (is a character of the password not percent-encoded?)")
	}
	for _, name := range [...]string{"pool_size", "min_idle_conns", "max_idle_conns", "max_active_conns"} {
		if n, err := strconv.Atoi(q.Get(name)); err == nil && (n < 0 || n > maxConns) {
			return fmt.Errorf("option %s must be 0 to %d", name, maxConns)
		}
	}
	return nil
}

func checkHosts(hosts []string) error {
	for i, host := range hosts {
		u, err := url.Parse("redis://" + host)
		if err != nil || u.User != nil {
			return fmt.Errorf("host %d is not host:port (is a character of the password not percent-encoded?)", i+1)
		}
		if port := u.Port(); port != "" {
			if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
				return fmt.Errorf("port of host %d must be 1 to 65535", i+1)
			}
		}
		if u.Hostname() == "" && len(hosts) > 1 {
			return fmt.Errorf("host %d is empty", i+1)
		}
	}
	return nil
}

func checkDB(path string) error {
	if path == "" {
		return nil
	}
	if n, err := strconv.Atoi(path); err != nil || n < 0 {
		return errors.New("database must be a number from 0 (is a character of the password not percent-encoded?)")
	}
	return nil
}

func parseSingle(raw string) (redis.UniversalClient, error) {
	o, err := redis.ParseURL(raw)
	if err != nil {
		return nil, hide(err)
	}
	o.ContextTimeoutEnabled, o.DialerRetries = true, dials(o.DialerRetries)
	o.MaintNotificationsConfig = quiet()
	return redis.NewClient(o), nil
}

func parseSentinel(base, user string, hosts []string, path, query string) (redis.UniversalClient, error) {
	master, db, _ := strings.Cut(path, "/")
	if master == "" {
		return nil, errors.New("master name is missing, want redis+sentinel://host:26379/master-name")
	}
	if err := checkDB(db); err != nil {
		return nil, err
	}
	addrs := withPort(hosts, "26379")
	o, err := redis.ParseFailoverURL(base + "://" + addrs[0] + "/" + db + options(query, addrs[1:], "master_name", master))
	if err != nil {
		return nil, hide(err)
	}
	if o.Username, o.Password, err = credentials(user); err != nil {
		return nil, err
	}
	if q, err := url.ParseQuery(query); err == nil {
		o.SentinelUsername, o.SentinelPassword = q.Get("sentinel_username"), q.Get("sentinel_password")
	}
	o.ContextTimeoutEnabled, o.DialerRetries = true, dials(o.DialerRetries)
	return redis.NewFailoverClient(o), nil
}

func parseCluster(base, user string, hosts []string, path, query string) (redis.UniversalClient, error) {
	if path != "" && path != "0" {
		return nil, errors.New("database: a cluster has only 0")
	}
	addrs := withPort(hosts, "6379")
	o, err := redis.ParseClusterURL(base + "://" + addrs[0] + options(query, addrs[1:]))
	if err != nil {
		return nil, hide(err)
	}
	if o.Username, o.Password, err = credentials(user); err != nil {
		return nil, err
	}
	o.ContextTimeoutEnabled, o.DialerRetries = true, dials(o.DialerRetries)
	o.MaintNotificationsConfig = quiet()
	return redis.NewClusterClient(o), nil
}

// options writes the query go-redis reads: the further addresses and pairs stand in
// it too; Sentinel's own credentials are not among what it knows.
func options(query string, addrs []string, pairs ...string) string {
	q, err := url.ParseQuery(query)
	if err != nil {
		return "?" + query // go-redis names what is wrong
	}
	q.Del("sentinel_username")
	q.Del("sentinel_password")
	for _, addr := range addrs {
		q.Add("addr", addr)
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
	}
	return "?" + q.Encode()
}

func withPort(hosts []string, port string) []string {
	addrs := make([]string, len(hosts))
	for i, host := range hosts {
		addrs[i] = host
		if u, err := url.Parse("redis://" + host); err == nil && u.Port() == "" {
			addrs[i] = strings.TrimSuffix(host, ":") + ":" + port
		}
	}
	return addrs
}

func credentials(user string) (name, password string, err error) {
	u, err := url.Parse("redis://" + user + "host")
	if err != nil {
		return "", "", errors.New("user or password has a character that must be percent-encoded")
	}
	password, _ = u.User.Password()
	return u.User.Username(), password, nil
}

// hide tells which option is wrong and keeps all else back: net/url quotes the whole
// URL, and go-redis names and values in which the rest of a password stands when a
// question mark of it was not percent-encoded.
func hide(err error) error {
	text := strings.TrimPrefix(err.Error(), "redis: ")
	for _, kind := range [...]string{"number", "duration", "boolean"} {
		name, _, ok := strings.Cut(text, " "+kind+": ")
		if name, invalid := strings.CutPrefix(name, "invalid "); ok && invalid && optionName(name) {
			return fmt.Errorf("option %s: must be a %s", name, kind)
		}
	}
	if name, ok := strings.CutPrefix(text, "unexpected option: "); ok && optionName(name) {
		return errors.New(text)
	}
	return errors.New("it cannot be read (is a character of the password not percent-encoded?)")
}

// optionName reports whether name looks like an option of go-redis.
func optionName(name string) bool {
	return name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") == ""
}

// dials makes one attempt to connect per attempt of a command, unless the URL says
// otherwise: with go-redis' own five, a Redis that is away costs a call two seconds.
func dials(asked int) int {
	if asked == 0 {
		return 1
	}
	return asked
}

// quiet switches off notifications that only Redis Enterprise sends: asking for
// them costs every connection a round trip.
func quiet() *maintnotifications.Config {
	return &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
}
