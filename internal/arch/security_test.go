package arch

import (
	"regexp"
	"strings"
	"testing"
)

// docs/security.md promises a test for each defence: a name that no test has, or only
// begins with when it ends in "_…", is a promise broken.
func TestSecurity_NamesTestsThatExist(t *testing.T) {
	var all []string
	for _, path := range files(t, "_test.go") {
		for _, m := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`).FindAllStringSubmatch(read(t, path), -1) {
			all = append(all, m[1])
		}
	}
	known := "\n" + strings.Join(all, "\n") + "\n"
	named := regexp.MustCompile("`((?:Test|Fuzz)\\w+)(…?)`").FindAllStringSubmatch(read(t, "docs/security.md"), -1)
	if len(named) < 50 {
		t.Errorf("docs/security.md names %d tests, want all", len(named))
	}
	for _, m := range named {
		end := "\n"
		if m[2] != "" {
			end = ""
		}
		if !strings.Contains(known, "\n"+m[1]+end) {
			t.Errorf("docs/security.md names %s%s, which no test is called", m[1], m[2])
		}
	}
}
