package rookery

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// defaults are what holds when nobody says anything. A test compares them with the
// table of README.md.
var defaults = map[string]string{
	"ROOKERY_HTTP_ADDR":            "127.0.0.1:8080",
	"ROOKERY_WAKE":                 WakeNotify,
	"ROOKERY_RATE":                 "1000",
	"ROOKERY_REQUIRE_KEY":          "false",
	"ROOKERY_UI":                   "on",
	"ROOKERY_PUSH":                 "false",
	"ROOKERY_PUSH_ALLOW_HTTP":      "false",
	"ROOKERY_SPOOL":                "false",
	"ROOKERY_SPOOL_ENTRIES":        "100000",
	"ROOKERY_SPOOL_BYTES":          "64000000",
	"ROOKERY_OIDC_SCOPE_CLAIM":     "scope",
	"ROOKERY_LEASE":                "15s",
	"ROOKERY_RETENTION":            "168h",
	"ROOKERY_RETENTION_DEAD":       "720h",
	"ROOKERY_RETENTION_OPERATIONS": "720h",
	"ROOKERY_LOG_LEVEL":            "info",
	"ROOKERY_LOG_FORMAT":           "text",
}

// Setting is one value of the configuration.
type Setting struct {
	Name   string `json:"name"`   // of the variable
	Value  string `json:"value"`  // what holds; of a secret only what is none
	Source string `json:"source"` // environment, file, default, or the variable that named a file
}

// Settings reads the configuration as [LoadConfig] does, with its errors, and says of
// each value where it comes from. Secrets are masked; of a URL scheme, host and path
// are shown.
func Settings(file string, getenv func(string) string) ([]Setting, error) {
	_, read, err := load(file, getenv)
	if err != nil {
		return nil, err
	}
	var out []Setting
	for _, name := range read.asked {
		if strings.HasSuffix(name, suffixFile) && slices.Contains(read.asked, strings.TrimSuffix(name, suffixFile)) {
			continue // it stands with the secret that it names a file of
		}
		s := Setting{Name: name, Value: read.get(name), Source: read.source(name)}
		if slices.Contains(read.asked, name+suffixFile) {
			if value, err := secret(read.get, name); err == nil && s.Value == "" && value != "" {
				s.Value, s.Source = value, name+suffixFile
			}
			s.Value = masked(s.Value)
		}
		if s.Value == "" {
			s.Value, s.Source = defaults[name], "default"
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b Setting) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// suffixFile ends the name of a variable that names the file with a secret.
const suffixFile = "_FILE"

// masked is a secret without what is secret of it. A URL is shown in part, but only
// when no unescaped character of a password can have slipped into host or path.
func masked(secret string) string {
	if secret == "" {
		return ""
	}
	const hidden = "******"
	u, err := url.Parse(secret)
	if err != nil || u.Scheme == "" || u.Host == "" {
		return hidden
	}
	switch at := strings.Count(secret, "@"); {
	case at == 0:
		return u.Scheme + "://" + u.Host + u.EscapedPath()
	case at == 1 && u.User != nil:
		return u.Scheme + "://" + hidden + "@" + u.Host + u.EscapedPath()
	}
	return hidden
}

// reading reads values by their names, and remembers what it was asked for.
type reading struct {
	getenv func(string) string
	file   map[string]string // what the file says; nil without one
	asked  []string
}

// read returns a value, "" when there is none. The environment wins over the file.
func (r *reading) read(name string) string {
	if !slices.Contains(r.asked, name) {
		r.asked = append(r.asked, name)
	}
	return r.get(name)
}

func (r *reading) get(name string) string {
	if v := r.getenv(name); v != "" {
		return v
	}
	return r.file[name]
}

func (r *reading) source(name string) string {
	if r.getenv(name) != "" {
		return "environment"
	}
	return "file"
}

// unknown says which of the names that stand in the file nobody has asked for. It
// repeats a name only when it looks like one of ours: in a broken file what stands
// before the = may be a secret.
func (r *reading) unknown(names []string) error {
	slices.Sort(names)
	for _, name := range names {
		if slices.Contains(r.asked, name) {
			continue
		}
		if near := closest(name, r.asked); near != "" {
			return fmt.Errorf("config file: there is no %s; did you mean %s?", name, near)
		}
		if strings.HasPrefix(name, "ROOKERY_") {
			return fmt.Errorf("config file: there is no %s; `rookery config print` lists what there is", name)
		}
		return errors.New("config file: a name in it is none of Rookery's; `rookery config print` lists what there is")
	}
	return nil
}

// closest is the one of names that a typing error or two away may stand for name; ""
// when there is none.
func closest(name string, names []string) string {
	best, least := "", 3
	for _, one := range names {
		if d := distance(name, one); d < least {
			best, least = one, d
		}
	}
	return best
}

// distance is Levenshtein's: how many characters to insert, delete or replace.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// namesOf are the names that stand in a file.
func namesOf(values map[string]string) []string { return slices.Collect(maps.Keys(values)) }
