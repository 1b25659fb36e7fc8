package arch

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// link is [text](target) or ![text](target "title").
var link = regexp.MustCompile(`\]\(([^()\s]+)(?: "[^"]*")?\)`)

// A page that leads nowhere is found by its reader: every relative link of every page
// leads to a file that is there, and an anchor to a heading of it.
func TestPages_LinksLeadSomewhere(t *testing.T) {
	for _, path := range files(t, ".md") {
		for _, m := range link.FindAllStringSubmatch(prose(read(t, path)), -1) {
			if strings.Contains(m[1], ":") { // https:, mailto:
				continue
			}
			file, anchor, _ := strings.Cut(m[1], "#")
			target := path
			if file != "" {
				target = filepath.Join(filepath.Dir(path), file)
			}
			if _, err := os.Stat(filepath.Join(root, target)); err != nil {
				t.Errorf("%s: the link to %s leads nowhere: %v", path, m[1], err)
				continue
			}
			if anchor != "" && !anchors(read(t, target))[anchor] {
				t.Errorf("%s: %s has no heading for the link to %s", path, target, m[1])
			}
		}
	}
}

// Every page of docs is in docs/README.md, so that it is found, and every screenshot in
// docs/screenshots/README.md.
func TestPages_AreInTheIndex(t *testing.T) {
	for dir, suffix := range map[string]string{"docs": ".md", "docs/screenshots": ".png"} {
		page := filepath.Join(dir, "README.md")
		index := map[string]bool{page: true}
		for _, m := range link.FindAllStringSubmatch(read(t, page), -1) {
			index[filepath.Join(dir, m[1])] = true
		}
		for _, path := range files(t, suffix) {
			if filepath.Dir(path) == dir && !index[path] {
				t.Errorf("%s does not lead to %s", page, path)
			}
		}
	}
}

// mention is a page that a comment, an error or a sentence names without a link, and
// perhaps its heading: docs/security.md, "Tokens".
var mention = regexp.MustCompile(`docs/[a-z-]+\.md(?:, "([A-Z][A-Za-z ]+)")?`)

// An error that sends its reader to a page, or to a heading of it, sends them somewhere.
func TestPages_ThatAreNamedAreThere(t *testing.T) {
	seen := 0
	for _, suffix := range []string{".go", ".md", ".sql", ".yaml", ".yml", ".service", ".json"} {
		for _, path := range files(t, suffix) {
			for _, m := range mention.FindAllStringSubmatch(read(t, path), -1) {
				seen++
				page, _, _ := strings.Cut(m[0], ",")
				if text, err := os.ReadFile(filepath.Join(root, page)); err != nil {
					t.Errorf("%s names %s, which is not there", path, page)
				} else if heading := "# " + m[1]; m[1] != "" && !strings.Contains(string(text), heading+"\n") {
					t.Errorf("%s names %s, which has no such heading", path, m[0])
				}
			}
		}
	}
	if seen < 100 {
		t.Errorf("%d pages are named, want 100 at least", seen)
	}
}

// prose is a page without its blocks of code, in which ](…) is no link.
func prose(page string) string {
	var kept []string
	code := false
	for line := range strings.Lines(page) {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			code = !code
		} else if !code {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

// anchors are the names that GitHub gives to a page's headings: lower case, a hyphen
// for each space, no other marks; the second of the same name ends in -1.
func anchors(page string) map[string]bool {
	found := map[string]bool{}
	times := map[string]int{}
	for line := range strings.Lines(prose(page)) {
		heading := strings.TrimLeft(line, "#")
		if heading == line || !strings.HasPrefix(heading, " ") {
			continue
		}
		name := strings.Map(func(c rune) rune {
			switch {
			case c == ' ':
				return '-'
			case c == '-', c == '_', unicode.IsLetter(c), unicode.IsDigit(c):
				return unicode.ToLower(c)
			}
			return -1
		}, strings.TrimSpace(heading))
		if n := times[name]; n > 0 {
			found[name+"-"+strconv.Itoa(n)] = true
		} else {
			found[name] = true
		}
		times[name]++
	}
	return found
}

func TestAnchors_AreAsGitHubMakesThem(t *testing.T) {
	got := anchors("# What a 202 promises\n```\n# no heading\n```\n## `jobs` & Co.\n## Same\n## Same\n#no\n")
	for _, want := range []string{"what-a-202-promises", "jobs--co", "same", "same-1"} {
		if !got[want] {
			t.Errorf("anchors() = %v, want %q among them", got, want)
		}
	}
	if len(got) != 4 {
		t.Errorf("anchors() = %v, want 4", got)
	}
}
