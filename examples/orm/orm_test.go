package orm

import (
	"bytes"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
)

func TestMain(m *testing.M) { devtest.Main(m) }

// caller signs up each argument but the first, with the module that the first names.
const caller = `
const { signUp, end } = await import("./dist/" + process.argv[2] + ".js");
for (const email of process.argv.slice(3)) {
  console.log(await signUp(email).then((id) => (/^[0-9]+$/.test(id) ? "done" : id), () => "refused"));
}
await end();
`

const poster = `
import { welcome } from "./dist/http.js";
const [first, again] = [await welcome(1, "a@b.c", "k"), await welcome(1, "a@b.c", "k")];
console.log(first.id === again.id);
await welcome(1, "x".repeat(300_000), "l").catch((err) => console.log(err.message));
`

func TestORM_Examples(t *testing.T) {
	t.Parallel()
	dir := compiled(t)
	for _, orm := range []string{"drizzle", "prisma"} {
		t.Run(orm, func(t *testing.T) {
			t.Parallel()
			signsUp(t, dir, orm)
		})
	}
	t.Run("http", func(t *testing.T) {
		t.Parallel()
		posts(t, dir)
	})
}

// A user and their job are there together or not at all, and no role but a producer's is
// needed for the job.
func signsUp(t *testing.T, dir, orm string) {
	url := devtest.Postgres(t)
	conn := connect(t, url)
	for _, sql := range []string{
		// The check fails at COMMIT, when the job is inserted already.
		`CREATE TABLE users (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email text NOT NULL UNIQUE)`,
		`CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.email LIKE 'late%' THEN RAISE check_violation; END IF; RETURN NULL; END $$`,
		`CREATE CONSTRAINT TRIGGER late AFTER INSERT ON users DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION late()`,
	} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	producer := devtest.Login(t, url, "rookery_producer")
	if _, err := conn.Exec(t.Context(), `GRANT SELECT, INSERT ON users TO rookery_producer`); err != nil {
		t.Fatal(err)
	}
	out := run(t, dir, []string{"DATABASE_URL=" + producer}, "node", "call.mjs", orm, "a@b.c", "a@b.c", "late@b.c", "d@b.c")
	if want := "done\nrefused\nrefused\ndone\n"; out != want {
		t.Errorf("sign up with %s = %q, want %q", orm, out, want)
	}
	var users, jobs, matched int
	const sql = `SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM outbox.jobs),
		(SELECT count(*) FROM users u JOIN outbox.jobs j ON (j.payload ->> 'user_id')::bigint = u.id AND j.payload ->> 'to' = u.email AND j.kind = 'welcome')`
	if err := conn.QueryRow(t.Context(), sql).Scan(&users, &jobs, &matched); err != nil || users != 2 || jobs != 2 || matched != 2 {
		t.Errorf("%d users, %d jobs, %d of them belong together, %v, want 2 each", users, jobs, matched, err)
	}
}

// A job that is sent again is inserted once, and a problem is an error.
func posts(t *testing.T, dir string) {
	c := rookery.Config{DatabaseURL: devtest.Postgres(t), RedisURL: devtest.Redis(t), LogLevel: 8}
	key, _, err := rookery.CreateKey(t.Context(), c.DatabaseURL, job.APIKey{Name: "web", Scopes: []job.Scope{job.ScopeJobsWrite}})
	if err != nil {
		t.Fatal(err)
	}
	service, err := rookery.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = service.Close() })
	api, err := service.API(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(api.Handler())
	t.Cleanup(server.Close)
	out := run(t, dir, []string{"ROOKERY_URL=" + server.URL, "ROOKERY_KEY=" + key}, "node", "post.mjs")
	if once, said, _ := strings.Cut(out, "\n"); once != "true" || !strings.Contains(said, "payload has 300024 bytes") {
		t.Errorf("of the same job twice, and of one that is too long, the program says %q, want true, and how long", out)
	}
	var jobs int
	if err := connect(t, c.DatabaseURL).QueryRow(t.Context(), `SELECT count(*) FROM outbox.jobs WHERE kind = 'welcome' AND payload ->> 'to' = 'a@b.c'`).Scan(&jobs); err != nil || jobs != 1 {
		t.Errorf("%d jobs, %v, want 1", jobs, err)
	}
}

// compiled copies the example, installs what it needs, and compiles it.
func compiled(t *testing.T) (dir string) {
	t.Helper()
	devtest.Programs(t, "node", "npm")
	dir = t.TempDir()
	for _, from := range []string{"src", "prisma"} {
		if err := os.CopyFS(filepath.Join(dir, from), os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	document, err := rookery.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{"call.mjs": []byte(caller), "post.mjs": []byte(poster), "openapi.json": document}
	for _, name := range []string{"package.json", "package-lock.json", "tsconfig.json"} {
		if files[name], err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	run(t, dir, nil, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
	// Only migrations take the schema engine, which is no package of npm's.
	run(t, dir, []string{"PRISMA_SCHEMA_ENGINE_BINARY=/bin/true", "CHECKPOINT_DISABLE=1"}, "npx", "prisma", "generate")
	run(t, dir, nil, "npx", "openapi-typescript", "openapi.json", "-o", "src/rookery.d.ts", "--default-non-nullable=false")
	run(t, dir, nil, "npx", "tsc")
	return dir
}

func run(t *testing.T, dir string, env []string, argv ...string) (out string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var said bytes.Buffer
	cmd.Stderr = &said
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s%s", argv, err, text, said.String())
	}
	return string(text)
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	return conn
}
