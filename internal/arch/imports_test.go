package arch

import (
	"slices"
	"strings"
	"testing"
)

// A ban keeps some packages from others. What begins with "./" is a folder of this
// module and all below it, "." is the root package alone, and everything else is an
// import path and all below it.
type ban struct {
	in     []string // folders; none means everywhere
	except []string // folders in which it is allowed after all
	deps   bool     // bans it from all that is linked in, not only from import lines
	what   []string
	why    string
}

const (
	redisClient = "github.com/redis/go-redis"
	echo        = "github.com/labstack/echo"
	goose       = "github.com/pressly/goose"
	pgx         = "github.com/jackc/pgx"
	cobra       = "github.com/spf13"
	otel        = "go.opentelemetry.io/otel"
	otelSDK     = otel + "/sdk"
)

var bans = []ban{
	{in: []string{"./outbox"}, deps: true,
		what: []string{redisClient, echo, goose, cobra, "./db", "./internal", "./relay", "./workers", "./httpapi"},
		why:  "a producer links the driver and the words, and nothing else of Rookery"},
	{in: []string{"./db"}, deps: true,
		what: []string{redisClient, echo, "./internal/redisq", "./relay", "./workers", "./httpapi", "./outbox"},
		why:  "the truth does not know who asks it"},
	{in: []string{"./internal/redisq"}, deps: true,
		what: []string{pgx, goose, echo, "./db", "./relay", "./workers", "./httpapi", "./outbox"},
		why:  "Redis is a window; what stands behind it is not its business"},
	{in: []string{"./relay", "./workers", "./httpapi"}, deps: true,
		what: []string{"./db", "./internal/redisq", redisClient, goose},
		why:  "a part declares the small interface it needs; package rookery wires"},
	{in: []string{"./relay"}, deps: true, what: []string{"./workers", "./httpapi", echo}, why: "parts do not know each other"},
	{in: []string{"./workers"}, deps: true, what: []string{"./relay", "./httpapi", echo, pgx}, why: "parts do not know each other"},
	{in: []string{"./httpapi"}, deps: true, what: []string{"./relay", "./workers"}, why: "parts do not know each other"},
	{in: []string{"./pull", "./push"}, deps: true, what: []string{"./db", "./internal/redisq", "./relay", "./httpapi", "./outbox", redisClient, echo, pgx, goose},
		why: "it is a handler for workers; package rookery wires"},
	{in: []string{"./relay", "./workers", "./httpapi"}, deps: true, what: []string{"./pull", "./push"}, why: "parts do not know each other"},
	{except: []string{".", "./db", "./internal/redisq", "./internal/devstack/devtest", "./test"},
		what: []string{"./db", "./internal/redisq"},
		why:  "only package rookery sees all"},
	{except: []string{"./httpapi"}, what: []string{echo}, why: "echo stays at the edge"},
	{except: []string{"./cmd"}, what: []string{cobra}, why: "flags are the program's"},
	{in: []string{".", "./job", "./outbox", "./db", "./relay", "./workers", "./pull", "./push", "./httpapi", "./internal"}, deps: true, what: []string{otelSDK, otel + "/exporters"},
		why: "libraries make spans; whoever runs them says where they go"},
	{in: []string{"./job", "./outbox", "./db", "./relay", "./workers", "./pull", "./push", "./httpapi", "./internal/redisq"}, deps: true,
		what: []string{"./internal/devstack", "./internal/arch"},
		why:  "what runs in production does not start servers"},
	{in: []string{"./cmd/rookery"}, deps: true, what: []string{"testing", "./internal/devstack/devtest"},
		why: "the tests' helpers do not travel in the program"},
}

func TestImports_KeepToTheTable(t *testing.T) {
	for _, p := range packages(t) {
		for _, b := range bans {
			for _, bad := range b.broken(p) {
				t.Errorf("%s imports %s: %s", p.path(), bad, b.why)
			}
		}
	}
}

// broken returns what p has and must not have.
func (b ban) broken(p pkg) []string {
	if b.in != nil && !named(p.ImportPath, b.in) || named(p.ImportPath, b.except) {
		return nil
	}
	has := p.Imports
	if b.deps {
		has = p.Deps
	}
	var bad []string
	for _, dep := range has {
		if named(dep, b.what) {
			bad = append(bad, dep)
		}
	}
	return bad
}

// named reports whether one of names means the package.
func named(importPath string, names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		if name == "." {
			return importPath == module
		}
		if folder, ours := strings.CutPrefix(name, "./"); ours {
			name = module + "/" + folder
		}
		return within(importPath, name)
	})
}

// The table itself: a ban that never bites would pass for a rule that is kept.
func TestBan_BitesWhereItShould(t *testing.T) {
	for _, c := range []struct {
		p    pkg
		want int
	}{
		{pkg{ImportPath: module + "/relay", Deps: []string{"internal/abi", module + "/job"}}, 0},
		{pkg{ImportPath: module + "/relay", Deps: []string{module + "/db/internal/query"}}, 1},
		{pkg{ImportPath: module + "/workers", Deps: []string{pgx + "/v5/pgconn", module + "/relay"}}, 2},
		{pkg{ImportPath: module + "/examples/x", Imports: []string{module + "/db"}}, 1},
		{pkg{ImportPath: module, Imports: []string{module + "/db", echo + "/v4"}}, 1},
		{pkg{ImportPath: module + "/cmd/rookery", Deps: []string{"testing", "testing/iotest"}}, 2},
	} {
		var broken []string
		for _, b := range bans {
			broken = append(broken, b.broken(c.p)...)
		}
		if len(broken) != c.want {
			t.Errorf("%s with %v%v breaks %v, want %d", c.p.ImportPath, c.p.Imports, c.p.Deps, broken, c.want)
		}
	}
}

func TestImports_JobIsStandardLibraryOnly(t *testing.T) {
	for _, p := range packages(t) {
		if p.path() != "job" {
			continue
		}
		for _, dep := range p.Deps {
			if !standard(dep) {
				t.Errorf("job imports %s: the words belong to everybody, so they bring nothing along", dep)
			}
		}
	}
}

func TestImports_ProgramIsFlagsAndSignals(t *testing.T) {
	allowed := []string{cobra, otel, "golang.org/x/sync", module + "/job", module + "/internal/devstack", "golang.org/x/term", "github.com/mattn/go-isatty"}
	for _, p := range packages(t) {
		if !within(p.path(), "cmd/rookery") {
			continue
		}
		for _, imported := range p.Imports {
			ok := standard(imported) || imported == module || within(imported, module+"/cmd/rookery") ||
				slices.ContainsFunc(allowed, func(a string) bool { return within(imported, a) })
			if !ok {
				t.Errorf("%s imports %s: it holds flags and signals; package rookery wires", p.path(), imported)
			}
		}
	}
}

// standard reports whether an import path is of the standard library (or vendored
// into it): its first element has no dot.
func standard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}

func TestSQLC_StaysInsideDB(t *testing.T) {
	text := read(t, "sqlc.yaml")
	if !strings.Contains(text, "out: db/internal/") {
		t.Error("sqlc.yaml: out is not below db/internal/, where Go itself keeps others from importing it")
	}
}
