package rookery_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/penguinmails/rookery"
)

var (
	route     = regexp.MustCompile(`\b(GET|POST|PUT|PATCH|DELETE) (/v1/[\w/{}.|-]*[\w}])`)
	parameter = regexp.MustCompile(`\{\w+\}`)
	variable  = regexp.MustCompile(`\bROOKERY_[A-Z_]*[A-Z]\b`)
)

// Every route that a page names is one of the API's document, and every variable one
// that is read.
func TestPages_RoutesAndVariablesExist(t *testing.T) {
	t.Parallel()
	text, err := rookery.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	routes := map[string]bool{}
	for path, methods := range document.Paths {
		for method := range methods {
			routes[strings.ToUpper(method)+" "+parameter.ReplaceAllString(path, "{}")] = true
		}
	}
	all, err := rookery.Settings("", getenv(nil))
	if err != nil {
		t.Fatal(err)
	}
	known := []string{ // what others read
		"ROOKERY_URL", "ROOKERY_KEY", "ROOKERY_KEYS", // examples
		"ROOKERY_OWNER_PASSWORD", "ROOKERY_SERVE_PASSWORD", "ROOKERY_WORKER_PASSWORD", "ROOKERY_PUSH_PASSWORD", // deploy/postgres/roles.sql
		"ROOKERY_QUEUE", "ROOKERY_PROGRAM", "ROOKERY_CONCURRENCY", // deploy/systemd
		"ROOKERY_FLAT_CUTS", // test/e2e
	}
	for _, s := range all {
		known = append(known, s.Name, s.Name+"_FILE")
	}
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, page := range append(pages, "README.md", "CHANGELOG.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range route.FindAllStringSubmatch(string(text), -1) {
			for _, path := range alternatives(m[2]) {
				seen++
				if got := m[1] + " " + parameter.ReplaceAllString(path, "{}"); !routes[got] {
					t.Errorf("%s names %s %s, which is no route", page, m[1], path)
				}
			}
		}
		for _, name := range variable.FindAllString(string(text), -1) {
			if !slices.Contains(known, name) && !strings.HasPrefix(name, "ROOKERY_JOB_") && !strings.HasPrefix(name, "ROOKERY_PUSH_ALLOW") {
				t.Errorf("%s names %s, which nothing reads", page, name)
			}
		}
	}
	if seen < 30 {
		t.Errorf("%d routes were found on the pages, want 30 at least", seen)
	}
}

// alternatives writes /v1/leases/{id}/ack|nack out as two paths.
func alternatives(path string) []string {
	parts := strings.Split(path, "|")
	stem := parts[0][:strings.LastIndex(parts[0], "/")+1]
	for i := range parts[1:] {
		parts[i+1] = stem + parts[i+1]
	}
	return parts
}
