package arch

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// maxLuaLines is how long a script may be: one verb, read at a glance.
const maxLuaLines = 60

// headers are the comment lines a script begins with, in this order. A line may go
// on in a second one that begins in the same way.
var headers = []struct{ name, line string }{
	{"#!lua, with flags or none", `^#!lua( flags=[a-z,-]+)?$`},
	{"what it does", `^-- VERB: .+\.$`},
	{"KEYS", `^-- KEYS  (none|1 .+)$`},
	{"ARGV", `^-- ARGV  (none|\d.*)$`},
	{"Returns", `^-- Returns .+\.$`},
	{"whether re-sending is safe", `^-- Re-sending is (safe|unsafe): .+\.$`},
}

// A file without #! is a fragment, which others take in by "--#include name".
func TestLua_HeadersSayEverything(t *testing.T) {
	for _, path := range files(t, ".lua") {
		text := read(t, path)
		lines := strings.Split(text, "\n")
		if n := len(lines) - 1; n > maxLuaLines {
			t.Errorf("%s has %d lines, must have at most %d", path, n, maxLuaLines)
		}
		verb := strings.TrimSuffix(filepath.Base(path), ".lua")
		if !strings.HasPrefix(text, "#!") {
			if !strings.HasPrefix(text, "-- "+verb+": ") {
				t.Errorf("%s: does not begin with %q", path, "-- "+verb+": ")
			}
			continue
		}
		for _, h := range headers {
			is := regexp.MustCompile(strings.ReplaceAll(h.line, "VERB", verb))
			n := 0
			for n < len(lines) && is.MatchString(lines[n]) {
				n++
			}
			if n == 0 {
				t.Errorf("%s: has %q where %s should stand: %s", path, lines[0], h.name, h.line)
				break
			}
			lines = lines[n:]
		}
	}
}

var argument = regexp.MustCompile(`\b(KEYS|ARGV)\[(\d+)\]`)

// Every KEYS[n] that a script reads must stand in its header.
func TestLua_HeadersNameEveryKey(t *testing.T) {
	for _, path := range files(t, ".lua") {
		text := read(t, path)
		if !strings.HasPrefix(text, "#!") {
			continue
		}
		for _, m := range argument.FindAllStringSubmatch(text, -1) {
			named := regexp.MustCompile(`(?m)^-- ` + m[1] + ` .*\b` + m[2] + `\b`)
			ranged := m[1] == "ARGV" && regexp.MustCompile(`(?m)^-- ARGV .*\d(-|\.\.)`).MatchString(text)
			if !named.MatchString(text) && !ranged {
				t.Errorf("%s: %s is not in the header", path, m[0])
			}
		}
	}
}
