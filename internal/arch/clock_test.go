package arch

import (
	"go/ast"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// calendar are the ways in which a reading of a process's clock becomes a date, which
// a clock that is set changes. What is left of a time.Time without them (Sub, After,
// Since) is the monotonic clock's.
var calendar = []string{"Unix", "UnixMilli", "UnixMicro", "UnixNano", "Format", "AppendFormat", "Round", "Truncate", "UTC", "Local", "In", "Date", "Clock"}

// datesFor says which files may have dates, and for whom.
var datesFor = map[string]string{
	"relay/figures.go":  "charts go by the minute, and nothing is decided by them",
	"workers/exec.go":   "programs are told Postgres' times of their job",
	"workers/status.go": "people ask when a server last answered",
	"workers/worker.go": "the same",
}

// Truth about time is Postgres' now() and Redis' TIME (D§3, G9). So what relays and
// workers decide by their own clocks, they decide by the monotonic one, and no reading
// of a process's clock is given to a server. The chaos tests set these clocks for real.
func TestClocks_OfProcessesDecideNothing(t *testing.T) {
	for _, path := range files(t, ".go") {
		name := filepath.ToSlash(path)
		if dir := filepath.Dir(name); dir != "relay" && dir != "workers" || strings.HasSuffix(name, "_test.go") || datesFor[name] != "" {
			continue
		}
		ast.Inspect(parse(t, path), func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			f, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if slices.Contains(calendar, f.Sel.Name) {
				t.Errorf("%s: %s makes a date of a clock; decide by Sub and Since, or say in datesFor whom it is for", path, f.Sel.Name)
			}
			if server, ok := f.X.(*ast.SelectorExpr); ok && slices.Contains([]string{"store", "redis", "leases"}, server.Sel.Name) {
				for _, arg := range call.Args {
					if readsClock(arg) {
						t.Errorf("%s: %s.%s is given this process's time; servers have their own", path, server.Sel.Name, f.Sel.Name)
					}
				}
			}
			return true
		})
	}
}

// readsClock reports whether an argument is, or is made of, time.Now() or a variable
// called now.
func readsClock(arg ast.Expr) (reads bool) {
	ast.Inspect(arg, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Ident:
			reads = reads || n.Name == "now"
		case *ast.SelectorExpr:
			pkg, ok := n.X.(*ast.Ident)
			reads = reads || ok && pkg.Name == "time" && n.Sel.Name == "Now"
		}
		return !reads
	})
	return reads
}
