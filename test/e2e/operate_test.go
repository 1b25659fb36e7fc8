package e2e

import (
	"encoding/json"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
)

func TestCLI_Version(t *testing.T) {
	t.Parallel()
	var b struct {
		Version, Commit, Go, Platform string
		Schema                        int64
	}
	code, stdout, stderr := run(t, nil, program("rookery"), "version", "-o", "json")
	if err := json.Unmarshal([]byte(stdout), &b); err != nil || code != 0 {
		t.Fatalf("rookery version -o json = %d, %s%s: %v", code, stdout, stderr, err)
	}
	files, err := filepath.Glob("../../db/migrations/*.sql") // sorted
	if err != nil {
		t.Fatal(err)
	}
	number, _, _ := strings.Cut(filepath.Base(files[len(files)-1]), "_")
	newest, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	if b.Version == "" || !strings.HasPrefix(b.Go, "go1.") || !strings.Contains(b.Platform, "/") || b.Schema != newest {
		t.Errorf("rookery version -o json = %+v, want all of it, and schema %d", b, newest)
	}
	if code, _, stderr := run(t, nil, program("rookery"), "version", "-o", "xml"); code != 2 || !strings.Contains(stderr, "text or json") {
		t.Errorf("rookery version -o xml = %d %s", code, stderr)
	}
}

func TestCLI_ConfigPrint(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "rookery.env")
	if err := os.WriteFile(file, []byte("ROOKERY_LEASE=20s\nDATABASE_URL=postgres://me:hunter2@db/app\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	argv := []string{program("rookery"), "--config", file, "config", "print"}
	code, stdout, stderr := run(t, []string{"ROOKERY_WAKE=wal"}, argv...)
	for _, want := range []string{"ROOKERY_LEASE", "20s", "file", "postgres://******@db/app", "wal", "environment", "127.0.0.1:8080", "default"} {
		if code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("rookery config print = %d %s%s, want %s in it", code, stdout, stderr, want)
		}
	}
	if strings.Contains(stdout, "hunter2") {
		t.Errorf("rookery config print tells a password: %s", stdout)
	}
	if err := os.WriteFile(file, []byte("ROOKERY_LEESE=20s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := run(t, nil, argv...); code != 1 || !strings.Contains(stderr, "did you mean ROOKERY_LEASE?") {
		t.Errorf("rookery config print with a misspelt name = %d %s", code, stderr)
	}
}

func TestCLI_Healthcheck(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	p, base := w.serve()
	addr := strings.TrimPrefix(base, "http://")
	if code, stdout, stderr := w.cli("healthcheck", "--addr", addr); code != 0 || stdout+stderr != "" {
		t.Errorf("healthcheck of a process that is ready = %d %s%s", code, stdout, stderr)
	}
	if code, stdout, stderr := run(t, w.env("jobs", "ROOKERY_HTTP_ADDR="+addr), program("rookery"), "healthcheck"); code != 0 {
		t.Errorf("healthcheck by ROOKERY_HTTP_ADDR = %d %s%s", code, stdout, stderr)
	}
	p.terminate(30 * time.Second)
	if code, _, stderr := w.cli("healthcheck", "--addr", addr); code != 1 || !strings.Contains(stderr, "nobody answers") {
		t.Errorf("healthcheck of a process that has ended = %d %s", code, stderr)
	}
	if code, _, stderr := w.cli("healthcheck", "--addr", "8080"); code != 2 || !strings.Contains(stderr, "host:port") {
		t.Errorf("healthcheck of no address = %d %s", code, stderr)
	}
}

// A binary before its migration ends, and says what to type, instead of failing at
// each statement.
func TestSchema_AnOlderOneIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	database := "DATABASE_URL=" + devtest.EmptyPostgres(t)
	for _, args := range [][]string{{"up"}, {"down", "--yes"}} {
		if code, stdout, stderr := run(t, w.env("migrate", database), append([]string{program("rookery"), "migrate"}, args...)...); code != 0 {
			t.Fatalf("rookery migrate %v = %d %s%s", args, code, stdout, stderr)
		}
	}
	for _, command := range []string{"serve --http 127.0.0.1:0", "relay", "worker --queue q --exec true"} {
		code, _, stderr := run(t, w.env("serve", database), append([]string{program("rookery")}, strings.Fields(command)...)...)
		if code != 1 || !strings.Contains(stderr, "run `rookery migrate up`") {
			t.Errorf("rookery %s on an older schema = %d %s, want 1 and what to type", command, code, stderr)
		}
	}
}

// deploy/postgres/roles.sql on a new server, and then the migration by the owner it
// makes: every process has what it needs, and no login is more than it must be.
func TestDeploy_RolesOfANewServer(t *testing.T) {
	t.Parallel()
	server := devtest.PostgresServer(t, nil)
	w := newWorld(t, worldOptions{})
	const script = "../../deploy/postgres/roles.sql"
	psql := func(env ...string) (int, string) {
		cmd := exec.Command(filepath.Join(server.Bin(), "psql"), "-X", "-q", "-d", server.URL("postgres"), "-f", script)
		cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, env...)
		out, _ := cmd.CombinedOutput() // how it ended is asked of ProcessState
		return cmd.ProcessState.ExitCode(), string(out)
	}
	if code, out := psql("ROOKERY_OWNER_PASSWORD=a", "ROOKERY_SERVE_PASSWORD=b"); code == 0 || !strings.Contains(out, "ROOKERY_WORKER_PASSWORD must be set") {
		t.Fatalf("roles.sql without a password = %d %s", code, out)
	}
	for range 2 { // again: to change passwords
		if code, out := psql("ROOKERY_OWNER_PASSWORD=it's", "ROOKERY_SERVE_PASSWORD=b", "ROOKERY_WORKER_PASSWORD=c", "ROOKERY_PUSH_PASSWORD=d"); code != 0 {
			t.Fatalf("roles.sql = %d %s", code, out)
		}
	}
	pushMayMakeKeys := func() bool {
		t.Helper()
		cmd := exec.Command(filepath.Join(server.Bin(), "psql"), "-X", "-A", "-t", "-d", server.URL("postgres"), "-c",
			"SELECT pg_has_role('rookery_push', 'rookery_api', 'MEMBER')")
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out)) == "t"
	}
	as := func(user string) string {
		u, err := url.Parse(server.URL("postgres"))
		if err != nil {
			t.Fatal(err)
		}
		u.User = url.User(user)
		return "DATABASE_URL=" + u.String()
	}
	try := func(user, want string, args ...string) {
		t.Helper()
		code, stdout, stderr := run(t, w.env("migrate", as(user)), append([]string{program("rookery")}, args...)...)
		if code != 0 || !strings.Contains(stdout, want) || strings.Contains(stdout+stderr, "WARN") || strings.Contains(stdout, "roles:") {
			t.Errorf("rookery %v as %s = %d %s%s", args, user, code, stdout, stderr)
		}
	}
	try("rookery_owner", "applied", "migrate", "up")
	try("rookery_serve", "", "doctor", "--for", "serve")
	try("rookery_work", "", "doctor", "--for", "worker")
	try("rookery_push", "", "doctor", "--for", "push")
	if pushMayMakeKeys() {
		t.Error("rookery_push is a member of rookery_api, which makes keys: it speaks to the internet")
	}
}
