package model

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDoc_NamesEveryRuleAndOnlyTestsThatExist keeps docs/protocol.md and this package,
// and the tests it points to, from drifting apart.
func TestDoc_NamesEveryRuleAndOnlyTestsThatExist(t *testing.T) {
	text, err := os.ReadFile("../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range needed {
		if !strings.Contains(string(text), "\n| "+string(c.rule)+" |") {
			t.Errorf("docs/protocol.md has no line for the rule %q", c.rule)
		}
	}
	for _, c := range belts {
		if !strings.Contains(string(text), "\n| "+string(c.rule)+" |") {
			t.Errorf("docs/protocol.md has no line for the belt %q", c.rule)
		}
	}
	for _, c := range holding {
		if !strings.Contains(string(text), "\n| "+c.cfg.name()+" |") {
			t.Errorf("docs/protocol.md has no line for the search %q", c.cfg.name())
		}
	}
	tests := map[string]bool{}
	name := regexp.MustCompile(`(?m)^func (Test\w+)`)
	err = filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, m := range name.FindAllSubmatch(source, -1) {
			tests[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range regexp.MustCompile(`Test[A-Za-z0-9]+_\w+`).FindAllString(string(text), -1) {
		if !tests[n] {
			t.Errorf("docs/protocol.md names %s, which does not exist", n)
		}
	}
}
