package redisq

import (
	"io/fs"
	"path"
	"regexp"
	"strings"
	"testing"
)

// header is how every script begins; what is included has none.
var header = regexp.MustCompile(`\A#!lua(| flags=allow-oom| flags=no-writes)
-- ([a-z]+): [^\n]+\.
-- KEYS  1 meta(  \d+ [a-z]+)*
-- ARGV  [^\n]+\n(-- ARGV  [^\n]+\n)?-- Returns [^\n]+\.
-- Re-sending is (safe|unsafe): [^\n]+\.
`)

func TestScripts_BeginWithAHeader(t *testing.T) {
	t.Parallel()
	files, err := fs.Glob(luaFiles, "lua/*.lua")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	verbs := 0
	for _, file := range files {
		text, err := luaFiles.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		source, name := string(text), strings.TrimSuffix(path.Base(file), ".lua")
		if n := strings.Count(source, "\n"); n > 60 {
			t.Errorf("%s has %d lines, want at most 60", file, n)
		}
		if !strings.HasPrefix(source, "#!") {
			if !strings.HasPrefix(source, "-- "+name+": ") {
				t.Errorf("%s: an included file begins with its name", file)
			}
			continue
		}
		verbs++
		m := header.FindStringSubmatch(source)
		if m == nil {
			t.Errorf("%s: the header is not\n%s", file, header)
			continue
		}
		if m[2] != name {
			t.Errorf("%s: the header is that of %q", file, m[2])
		}
		checkKeys(t, file, source)
		guarded := strings.Contains(source, "\n--#include guard\n")
		// The spool belongs to no queue: it has neither epoch nor life. What push workers
		// have under way is about no job.
		if want := name != "permit" && name != "attend" && name != "open" && name != "depths" && name != "spool" && name != "peek" && name != "unspool"; guarded != want {
			t.Errorf("%s: guarded = %t, want %t", file, guarded, want)
		}
		if oom := m[1] == " flags=allow-oom"; oom == (name == "push" || name == "spool" || m[1] == " flags=no-writes") {
			t.Errorf("%s: allow-oom = %t: only push and spool must fail when Redis is full", file, oom)
		}
		if unsafe := m[len(m)-1] == "unsafe"; unsafe != (name == "release") {
			t.Errorf("%s: unsafe = %t, but go-redis may send it again", file, unsafe)
		}
	}
	if verbs != 22 {
		t.Errorf("%d verbs, want 22", verbs)
	}
}

var keyName = regexp.MustCompile(`  (\d+) ([a-z]+)`)

// checkKeys wants the numbers of the KEYS line in order.
func checkKeys(t *testing.T, file, source string) {
	t.Helper()
	line := source[strings.Index(source, "-- KEYS"):]
	line, _, _ = strings.Cut(line, "\n")
	for i, m := range keyName.FindAllStringSubmatch(line, -1) {
		if m[1] != string(rune('1'+i)) {
			t.Errorf("%s: key %s is number %d", file, m[0], i+1)
		}
	}
}

func TestScripts_AreWhole(t *testing.T) {
	t.Parallel()
	s := loadScripts()
	for _, s := range []script{
		s.push, s.open, s.expired, s.missing, s.drop, s.cancel, s.census, s.depths,
		s.take, s.release, s.beat, s.announce, s.ack,
		s.absent, s.waiting, s.entomb, s.noted,
		s.spool, s.peek, s.unspool,
		s.permit, s.attend,
	} {
		if s.err != nil || strings.Contains(s.source, "#include") || len(s.sha) != 40 {
			t.Errorf("script %s: sha %q, %v", s.verb, s.sha, s.err)
		}
		if s.once != (s.verb == "release") {
			t.Errorf("script %s: once = %t", s.verb, s.once)
		}
	}
}
