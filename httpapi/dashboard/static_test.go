package dashboard

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"regexp"
	"strings"
	"testing"
)

// What is not ours is what was published, byte for byte; static/VENDORED.md says where
// it is from.
func TestVendored_IsWhatWasPublished(t *testing.T) {
	t.Parallel()
	list, err := files.ReadFile("static/VENDORED.md")
	if err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile("\\| `([^`]+)` \\| [^|]+ \\| [^|]+ \\| `([^`]+)` \\| `([0-9a-f]{64})` \\|").FindAllStringSubmatch(string(list), -1)
	if len(lines) == 0 {
		t.Fatal("VENDORED.md lists nothing")
	}
	listed := map[string]bool{}
	for _, line := range lines {
		listed[line[1]] = true
		text, err := files.ReadFile("static/" + line[1])
		if err != nil {
			t.Error(err)
			continue
		}
		sum := sha256.Sum256(text)
		if got := hex.EncodeToString(sum[:]); got != line[3] {
			t.Errorf("%s has sha256 %s, want %s", line[1], got, line[3])
		}
		if _, err := files.ReadFile("static/" + line[2]); err != nil {
			t.Errorf("%s: its licence: %v", line[1], err)
		}
	}
	minified, err := fs.Glob(files, "static/*.min.*")
	if err != nil || len(minified) == 0 {
		t.Fatalf("minified files = %v, %v", minified, err)
	}
	for _, name := range minified {
		if !listed[strings.TrimPrefix(name, "static/")] {
			t.Errorf("%s is not in VENDORED.md", name)
		}
	}
}

// The policy forbids scripts and styles within a page; a template that has one would
// be silently without it.
func TestTemplates_HaveNothingInline(t *testing.T) {
	t.Parallel()
	names, err := fs.Glob(files, "templates/*.html")
	if err != nil || len(names) < 10 {
		t.Fatalf("templates = %v, %v", names, err)
	}
	inline := regexp.MustCompile(`(?i)\sstyle=|<style|\son[a-z]+=|javascript:|\shx-on|<script(?: [^>]*)?>[^<]`)
	asset := regexp.MustCompile(`asset "([^"]+)"`)
	a, err := loadAssets()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if found := inline.FindString(string(text)); found != "" {
			t.Errorf("%s has %q in it", name, found)
		}
		for _, m := range asset.FindAllStringSubmatch(string(text), -1) {
			if a.address(m[1]) == "" {
				t.Errorf("%s wants %s, which is not there", name, m[1])
			}
		}
	}
}
