package arch

import (
	"go/ast"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// logged are the folders whose lines docs/logging.md describes.
var logged = []string{".", "cmd/rookery", "db", "httpapi", "internal/minutes", "internal/oidc", "internal/redisq", "outbox", "pull", "push", "relay", "workers"}

// keysAfter says, for each method of a *slog.Logger, how many arguments stand before
// the keys and values.
var keysAfter = map[string]int{
	"Debug": 1, "Info": 1, "Warn": 1, "Error": 1, "With": 0, "Log": 3,
	"DebugContext": 2, "InfoContext": 2, "WarnContext": 2, "ErrorContext": 2,
}

// keyText is a key as it stands in the source.
var keyText = regexp.MustCompile(`^"[a-z_]+"$`)

// A key that nobody expects is a line that nobody finds: docs/logging.md has all of
// them, and no other.
func TestLogs_HaveTheKeysOfTheDocs(t *testing.T) {
	used := map[string]string{} // where, by key
	calls := 0
	for _, path := range files(t, ".go") {
		if strings.HasSuffix(path, "_test.go") || !slices.Contains(logged, filepath.Dir(path)) || generated(read(t, path)) {
			continue
		}
		constants := keyConstants(t, filepath.Dir(path))
		for _, value := range constants {
			used[value] = path
		}
		ast.Inspect(parse(t, path), func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			keys, logs := keysOf(call, constants)
			if logs {
				calls++
			}
			for _, key := range keys {
				if key == "" {
					t.Errorf("%s: the key of a log line is neither a constant nor a literal", path)
				}
				used[key] = path
			}
			return true
		})
	}
	documented := map[string]bool{}
	for line := range strings.Lines(read(t, "docs/logging.md")) {
		if name, ok := strings.CutPrefix(line, "| `"); ok {
			name, _, _ = strings.Cut(name, "`")
			documented[name] = true
		}
	}
	for key, where := range used {
		if !documented[key] {
			t.Errorf("%s logs %q, which docs/logging.md does not have", where, key)
		}
	}
	for key := range documented {
		if used[key] == "" {
			t.Errorf("docs/logging.md has %q, which nobody logs", key)
		}
	}
	if calls < 50 {
		t.Errorf("only %d calls log something", calls)
	}
}

// keysOf returns the keys of a call of a logger; logs says that it is one.
func keysOf(call *ast.CallExpr, constants map[string]string) (keys []string, logs bool) {
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || !isLogger(method.X) {
		return nil, false
	}
	first, ok := keysAfter[method.Sel.Name]
	if !ok {
		return nil, false
	}
	if call.Ellipsis.IsValid() {
		return nil, true // a slice of constants and values: the constants are looked at
	}
	for i := first; i < len(call.Args); i += 2 {
		key := ""
		switch a := call.Args[i].(type) {
		case *ast.BasicLit:
			key, _ = strconv.Unquote(a.Value)
		case *ast.Ident:
			key = constants[a.Name]
		}
		keys = append(keys, key)
	}
	return keys, true
}

// isLogger goes by the name: log, slog, x.log, o.Logger.
func isLogger(e ast.Expr) bool {
	name := ""
	switch x := e.(type) {
	case *ast.Ident:
		name = x.Name
	case *ast.SelectorExpr:
		name = x.Sel.Name
	}
	return name == "log" || name == "slog" || name == "logger" || name == "Logger"
}

// keyConstants are a folder's constants for keys, named key… or log…, by name.
func keyConstants(t *testing.T, folder string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, path := range files(t, ".go") {
		if filepath.Dir(path) != folder || strings.HasSuffix(path, "_test.go") {
			continue
		}
		for _, decl := range parse(t, path).Decls {
			d, ok := decl.(*ast.GenDecl)
			if !ok || d.Tok != token.CONST {
				continue
			}
			for _, spec := range d.Specs {
				s := spec.(*ast.ValueSpec)
				for i, name := range s.Names {
					if i >= len(s.Values) || !strings.HasPrefix(name.Name, "key") && !strings.HasPrefix(name.Name, "log") {
						continue
					}
					if text, ok := s.Values[i].(*ast.BasicLit); ok && keyText.MatchString(text.Value) {
						out[name.Name], _ = strconv.Unquote(text.Value)
					}
				}
			}
		}
	}
	return out
}
