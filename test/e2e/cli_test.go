package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
)

func TestCLI_MigrateUpDownUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	empty := devtest.EmptyPostgres(t)
	migrate := func(wantCode int, want string, args ...string) {
		t.Helper()
		argv := append([]string{program("rookery"), "migrate"}, args...)
		code, stdout, stderr := run(t, w.env("migrate", "DATABASE_URL="+empty), argv...)
		if code != wantCode || !strings.Contains(stdout+stderr, want) {
			t.Errorf("rookery migrate %v = %d %s%s, want %d and %q", args, code, stdout, stderr, wantCode, want)
		}
	}
	migrate(0, "no", "status")
	migrate(0, "applied", "up")
	migrate(0, "nothing to apply", "up")
	migrate(0, `"applied": true`, "status", "--json")
	migrate(2, "--yes", "down")
	migrate(0, "took back", "down", "--yes")
	migrate(0, "took back", "down", "--all", "--yes")
	migrate(0, "applied", "up")
}

func TestCLI_JobsAndQueues(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	w.relay()
	enqueue := func(args ...string) int64 {
		t.Helper()
		id, err := strconv.ParseInt(strings.TrimSpace(w.mustCLI(append([]string{"enqueue", "--queue", queue}, args...)...)), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		w.committed = append(w.committed, id)
		return id
	}
	plain := enqueue("--kind", "welcome", "--priority", "20")
	later := enqueue("--run-at", "2999-01-01T00:00:00Z")
	bad := enqueue("--payload", `{"do": "fail"}`, "--max-attempts", "1")
	w.worker(5)
	w.untilStatus(patience, "completed", []int64{plain})
	w.untilStatus(patience, "dead", []int64{bad})

	wants := func(want string, args ...string) {
		t.Helper()
		if got := w.mustCLI(args...); !strings.Contains(got, want) {
			t.Errorf("rookery %v = %s, want %q in it", args, got, want)
		}
	}
	wants(`"kind": "welcome"`, "jobs", "get", fmt.Sprint(plain))
	wants(`"told to fail"`, "jobs", "get", fmt.Sprint(bad))
	wants("welcome", "jobs", "list", "--queue", queue)
	wants(fmt.Sprint(later), "jobs", "list", "--status", "scheduled")
	wants(fmt.Sprint(bad), "jobs", "list", "--status", "dead", "--json")
	wants(queue, "queues")
	w.mustCLI("queues", "window", queue, "--size", "77")
	wants(`"window_size": 77`, "queues", "--json")
	wants(`"depth": 0`, "queues", "--json")
	wants("cancelled", "jobs", "cancel", fmt.Sprint(later))
	wants("queued again", "jobs", "redrive", fmt.Sprint(bad))
	if code, _, _ := w.cli("jobs", "get", "123456789"); code != 3 {
		t.Errorf("jobs get of no job ended with %d, want 3", code)
	}
	w.untilStatus(patience, "dead", []int64{bad})
	f := w.rest(30 * time.Second)
	if n := len(f.runsOf([]int64{bad})); n != 2 {
		t.Errorf("the redriven job ran %d times, want 2", n)
	}
}

func TestCLI_UsageErrorsExitWith2(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	for _, c := range []struct {
		line string
		code int
		want string
	}{
		{"--version", 0, "rookery version"},
		{"--help", 0, "rookery dev"},
		{"worker --help", 0, `[="-- PROGRAM"]`},
		{"", 0, "rookery dev"},
		{"jobs", 0, "redrive"},
		{"nonsense", 2, "unknown command"},
		{"jobs nonsense", 2, "unknown command"},
		{"--nonsense", 2, "unknown flag"},
		{"jobs get", 2, "usage: rookery jobs get"},
		{"jobs get abc", 2, "not a job id"},
		{"jobs cancel", 2, "usage: rookery jobs cancel"},
		{"migrate up now", 2, "not expected"},
		{"relay --wake often", 2, `--wake is "often", must be notify or wal`},
		{"serve --wake often", 2, `--wake is "often", must be notify or wal`},
		{"doctor --wake often", 2, `--wake is "often", must be notify or wal`},
		{"worker --queue q", 2, "--exec"},
		{"worker --exec true", 2, "--queue"},
		{"worker --queue q --exec printf x", 2, "follows --"},
		{"worker --queue q --exec=true -- false", 2, "not both"},
		{"worker --queue q --exec true -- false", 2, "follows --"},
		{"worker --queue q true", 2, "--exec is missing"},
		{"enqueue --priority 2000", 2, "priority"},
		{"enqueue --queue {x}", 2, "queue_name"},
		{"enqueue --payload {", 2, "payload"},
		{"enqueue --run-at tomorrow", 2, "--run-at"},
		{"queues pause", 2, "usage: rookery queues pause"},
		{"queues window q", 2, "--size is needed"},
		{"queues window q --size 0", 2, "--size is needed"},
		{"jobs redrive 1 abc", 2, "not a job id"},
		{"jobs list --status bogus", 2, "must be one of queued, ready"},
		{"jobs list --created-after now", 2, "--created-after"},
		{"jobs list --cursor x", 2, "--cursor"},
		{"queues get a/b", 2, "queue_name"},
		{"workers list --role cook --output csv", 2, "table, json or jsonl"},
		{"jobs list --limit 0", 2, "1 to 1000"},
	} {
		code, stdout, stderr := w.cli(strings.Fields(c.line)...)
		if code != c.code || !strings.Contains(stdout+stderr, c.want) {
			t.Errorf("rookery %s = %d, %s%s, want %d and %q", c.line, code, stdout, stderr, c.code, c.want)
		}
		if code != 0 && stdout != "" {
			t.Errorf("rookery %s failed and printed %q on standard output", c.line, stdout)
		}
	}
}

func TestCLI_EnvironmentWinsOverFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	file := filepath.Join(t.TempDir(), "rookery.env")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path := "PATH=" + os.Getenv("PATH")
	argv := []string{program("rookery"), "--config", file, "enqueue", "--queue", queue}
	write("DATABASE_URL=" + w.url + "\nREDIS_URL=" + w.redis.URL() + "\n")
	if code, _, stderr := run(t, []string{path}, argv...); code != 0 {
		t.Errorf("with a good file: %d %s", code, stderr)
	}
	write("DATABASE_URL=postgres://nobody@127.0.0.1:1/nothing\nREDIS_URL=" + w.redis.URL() + "\n")
	if code, _, _ := run(t, []string{path}, argv...); code != 6 {
		t.Errorf("with a bad file: %d, want 6", code)
	}
	if code, _, stderr := run(t, []string{path, "DATABASE_URL=" + w.url}, argv...); code != 0 {
		t.Errorf("with a bad file and a good environment: %d %s", code, stderr)
	}
	secret := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(secret, []byte(w.url), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := run(t, []string{path, "DATABASE_URL_FILE=" + secret}, argv...); code != 0 {
		t.Errorf("with a bad file and a good secret file: %d %s", code, stderr)
	}
	if code, _, stderr := run(t, []string{path, "ROOKERY_LEASE=5"}, argv...); code != 1 || !strings.Contains(stderr, "ROOKERY_LEASE") {
		t.Errorf("with a bad lease: %d %s", code, stderr)
	}
}

// Secrets may come from files, and come out nowhere.
func TestCLI_SecretsStaySecret(t *testing.T) {
	t.Parallel()
	const password, token = "e2e-Passw0rd-of-postgres", "e2e-Passw0rd-of-redis"
	w := newWorld(t, worldOptions{})
	if err := w.rdb.ConfigSet(t.Context(), "requirepass", token).Err(); err != nil {
		t.Fatal(err)
	}
	secret := func(name, value string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(value+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	dbURL := strings.Replace(w.url, "postgres@", "postgres:"+password+"@", 1)
	redisURL := "redis://:" + token + "@" + w.redis.Addr() + "/0"
	const key = "e2e-Api-Key-of-http-0123456789"
	base := []string{"PATH=" + os.Getenv("PATH"), "ROOKERY_LOG_LEVEL=debug", "ROOKERY_LEASE=3s"}
	files := append(base, "DATABASE_URL_FILE="+secret("db", dbURL), "REDIS_URL_FILE="+secret("redis", redisURL), "ROOKERY_API_KEYS_FILE="+secret("keys", key))
	var said strings.Builder
	try := func(wantCode int, env []string, args ...string) {
		t.Helper()
		code, stdout, stderr := run(t, env, append([]string{program("rookery")}, args...)...)
		if code != wantCode {
			t.Errorf("rookery %v = %d, want %d: %s%s", args, code, wantCode, stdout, stderr)
		}
		said.WriteString(stdout + stderr)
	}
	serve := w.start("serve", files, program("rookery"), "serve", "--http", "127.0.0.1:0")
	worker := w.start("worker --exec", files, program("rookery"), "worker", "--queue", queue, "--exec", "env >&2; exit 1")
	serve.says(patience, "listening on")
	try(0, files, "enqueue", "--queue", queue, "--max-attempts", "1")
	w.until(patience, "the program to fail", `SELECT EXISTS (SELECT FROM outbox.jobs WHERE status = 'dead')`)
	try(0, files, "jobs", "get", "1")
	try(0, files, "queues")
	try(0, files, "doctor") // warnings only
	wrong := func(db, redis string) []string { return append(base, "DATABASE_URL="+db, "REDIS_URL="+redis) }
	away := "postgres://postgres:" + password + "@127.0.0.1:1/x"
	for _, command := range [][]string{{"doctor"}, {"queues"}, {"enqueue"}, {"migrate", "up"}} {
		code := 1
		if command[0] == "queues" || command[0] == "enqueue" {
			code = 6 // Postgres does not answer
		}
		try(code, wrong(away, redisURL), command...)
		try(1, wrong("postgres://postgres:"+password+"@127.0.0.1:notaport/x", redisURL), command...)
	}
	try(1, wrong(dbURL, "redis://:"+token+"@127.0.0.1:notaport/x"), "queues")
	try(1, wrong(dbURL, "redis://:"+token+"@127.0.0.1:1/0"), "doctor")
	try(1, base, "queues", "--config", secret("broken config", "not a line of it\nDATABASE_URL="+dbURL))
	try(1, append(wrong(dbURL, redisURL), "DATABASE_URL_FILE="+secret("db2", dbURL)), "queues")
	serve.terminate(30 * time.Second)
	worker.terminate(30 * time.Second)
	for _, p := range []*process{serve, worker} {
		said.WriteString(p.out.String() + p.err.String())
	}
	for _, s := range []string{password, token, key} {
		for line := range strings.Lines(said.String()) {
			if strings.Contains(line, s) {
				t.Errorf("a secret came out: %s", line)
			}
		}
	}
	if err := w.rdb.ConfigSet(t.Context(), "requirepass", "").Err(); err != nil {
		t.Error(err)
	}
}
