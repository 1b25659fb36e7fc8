package nextjs

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
)

func TestMain(m *testing.M) { devtest.Main(m) }

const route = "app/api/signup/route.js"

// caller posts each argument to the handler, and prints the statuses. A handler that
// throws is a 500, as in Next.js.
const caller = `
import { POST } from "./` + route + `";
for (const body of process.argv.slice(2)) {
  const request = new Request("http://localhost/api/signup", { method: "POST", body });
  console.log((await POST(request).catch((err) => ({ status: "500 " + err.code }))).status);
}
process.exit();
`

// A user and their job are there together or not at all, and no role but a producer's is
// needed for the job.
func TestSignup_OneTransaction(t *testing.T) {
	t.Parallel()
	dir := installed(t, route, caller)
	url := devtest.Postgres(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	producer := devtest.Login(t, url, "rookery_producer")
	for _, sql := range []string{
		// The check fails at COMMIT, when the job is inserted already.
		`CREATE TABLE users (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email text NOT NULL UNIQUE)`,
		`CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.email LIKE 'late%' THEN RAISE check_violation; END IF; RETURN NULL; END $$`,
		`CREATE CONSTRAINT TRIGGER late AFTER INSERT ON users DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION late()`,
		`GRANT SELECT, INSERT ON users TO rookery_producer`,
	} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "node", "call.mjs", `{"email": "a@b.c"}`, `{"email": "a@b.c"}`, `{"email": "late@b.c"}`, `{"email": 1}`, `{`, `{"email": "d@b.c"}`)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "DATABASE_URL="+producer)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if want := "201\n409\n500 23514\n400\n400\n201\n"; err != nil || string(out) != want {
		t.Errorf("POST = %q, %v, want %q; it said:\n%s", out, err, want, said.String())
	}
	var users, jobs, matched int
	const sql = `SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM outbox.jobs),
		(SELECT count(*) FROM users u JOIN outbox.jobs j ON (j.payload ->> 'user_id')::bigint = u.id AND j.payload ->> 'to' = u.email AND j.kind = 'welcome')`
	if err := conn.QueryRow(t.Context(), sql).Scan(&users, &jobs, &matched); err != nil {
		t.Fatal(err)
	}
	if users != 2 || jobs != 2 || matched != 2 {
		t.Errorf("%d users, %d jobs, %d of them belong together, want 2 each", users, jobs, matched)
	}
}

// installed copies a route of the example and what calls it, and installs what it needs.
func installed(t *testing.T, route, caller string) (dir string) {
	t.Helper()
	devtest.Programs(t, "node", "npm")
	dir = t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(route)), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{route, "package.json", "package-lock.json"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if file == route && bytes.Count(text, []byte("\n")) > 50 {
			t.Errorf("%s has more than 50 lines", file)
		}
		if err := os.WriteFile(filepath.Join(dir, file), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "call.mjs"), []byte(caller), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	return dir
}
