package devstack_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"github.com/penguinmails/rookery/internal/devstack"
	"github.com/penguinmails/rookery/internal/devstack/devtest"
)

// asParent makes this test binary the program that starts servers and is killed.
const asParent = "DEVSTACK_TEST_PARENT"

func TestMain(m *testing.M) {
	if os.Getenv(asParent) != "" {
		beParent()
		return
	}
	devtest.Main(m)
}

// beParent starts one server of each kind, writes their pids, and waits for its end.
func beParent() {
	p, err := devstack.StartPostgres(context.Background(), devstack.PostgresOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	r, err := devstack.StartRedis(context.Background(), devstack.RedisOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(p.PID(), r.PID())
	select {}
}

func TestKilledParent_TakesServersAlong(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux ties a child's life to its parent's")
	}
	t.Parallel()
	temp := openFolder(t)
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), asParent+"=1", "TMPDIR="+temp)
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var postgresPID, redisPID int
	if _, err := fmt.Sscan(line, &postgresPID, &redisPID); err != nil {
		t.Fatalf("the parent said: %s", line)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // "signal: killed", as wanted
	gone(t, postgresPID)
	gone(t, redisPID)
}

func TestPostgres_StopLeavesNothing(t *testing.T) {
	t.Parallel()
	p := devtest.PostgresServer(t, nil)
	var folder string
	scan(t, p.URL("postgres"), "SHOW data_directory", &folder)
	for range 2 {
		if err := p.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	gone(t, p.PID())
	noFolder(t, filepath.Dir(folder))
	if err := p.Signal(syscall.SIGTERM); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("Signal of a stopped server = %v, want %v", err, os.ErrProcessDone)
	}
}

func TestPostgres_RestartKeepsData(t *testing.T) {
	t.Parallel()
	p := devtest.PostgresServer(t, nil)
	url := p.URL("postgres")
	exec1(t, url, "CREATE TABLE kept (n integer)")
	restarts := map[string]func() error{
		"fast":      func() error { return p.Restart(t.Context(), "fast") },
		"immediate": func() error { return p.Restart(t.Context(), "immediate") },
		"killed": func() error {
			return errors.Join(p.Signal(syscall.SIGKILL), p.Restart(t.Context(), "fast"))
		},
		"frozen": func() error {
			return errors.Join(p.Signal(syscall.SIGSTOP), p.Restart(t.Context(), "fast"))
		},
	}
	want := 0
	for name, restart := range restarts {
		want++
		exec1(t, url, "INSERT INTO kept VALUES (1)")
		before := p.PID()
		if err := restart(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var got int
		scan(t, p.URL("postgres"), "SELECT count(*) FROM kept", &got)
		if got != want || p.PID() == before || p.URL("postgres") != url {
			t.Errorf("%s: rows = %d, want %d; pid %d, was %d; URL %s, was %s", name, got, want, p.PID(), before, p.URL("postgres"), url)
		}
	}
	if err := p.Restart(t.Context(), "smart"); err == nil {
		t.Error(`Restart("smart") = nil, want an error`)
	}
}

func TestPostgres_TwoAtOnceAndKeptFolder(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(openFolder(t), "kept")
	options := devstack.PostgresOptions{Dir: dir, Durable: true}
	first, err := devstack.StartPostgres(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = first.Stop() }()
	if _, err := devstack.StartPostgres(t.Context(), options); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("second start in the same folder = %v, want that it is in use", err)
	}
	second := devtest.PostgresServer(t, nil)
	if first.Port() == second.Port() {
		t.Errorf("both have port %d", first.Port())
	}
	exec1(t, first.URL("postgres"), "CREATE TABLE kept ()")
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	third, err := devstack.StartPostgres(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	exec1(t, third.URL("postgres"), "SELECT FROM kept")
	if err := third.Stop(); err != nil {
		t.Fatal(err)
	}
}

func TestPostgres_BadSettingSaysWhy(t *testing.T) {
	t.Parallel()
	_, err := devstack.StartPostgres(t.Context(), devstack.PostgresOptions{Settings: map[string]string{"wal_level": "none"}})
	if err == nil || !strings.Contains(err.Error(), "wal_level") {
		t.Errorf("StartPostgres(wal_level=none) = %v, want the server's words", err)
	}
}

func TestRedis_StopLeavesNothing(t *testing.T) {
	t.Parallel()
	r, err := devstack.StartRedis(t.Context(), devstack.RedisOptions{Password: "s3cret/@"})
	if err != nil {
		t.Fatal(err)
	}
	options, err := redis.ParseURL(r.URL())
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	defer client.Close()
	folder, err := client.ConfigGet(t.Context(), "dir").Result()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := r.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	gone(t, r.PID())
	noFolder(t, filepath.Dir(folder["dir"]))
}

func TestRedis_RestartKeepsDataWithAOF(t *testing.T) {
	t.Parallel()
	for _, aof := range []bool{false, true} {
		r, err := devstack.StartRedis(t.Context(), devstack.RedisOptions{AOF: aof})
		if err != nil {
			t.Fatal(err)
		}
		client := redis.NewClient(&redis.Options{Addr: r.Addr()})
		defer client.Close()
		if err := client.Set(t.Context(), "kept", "1", 0).Err(); err != nil {
			t.Fatal(err)
		}
		if err := r.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := client.Exists(t.Context(), "kept").Val() == 1; got != aof {
			t.Errorf("AOF %v: after the restart the key is there: %v", aof, got)
		}
		if err := r.Stop(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRedisCluster_IsThreeMasters(t *testing.T) {
	t.Parallel()
	addrs := devtest.RedisCluster(t)
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs})
	defer client.Close()
	shards, err := client.ClusterShards(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	slots := int64(0)
	for _, shard := range shards {
		for _, r := range shard.Slots {
			slots += r.End - r.Start + 1
		}
		if len(shard.Nodes) != 1 || shard.Nodes[0].Role != "master" {
			t.Errorf("nodes of a shard = %+v, want one master", shard.Nodes)
		}
	}
	if len(shards) != 3 || slots != 16384 {
		t.Errorf("shards = %d with %d slots, want 3 with 16384", len(shards), slots)
	}
	for i := range 100 {
		if err := client.Set(t.Context(), fmt.Sprint("threemasters:", i), i, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for _, addr := range addrs {
		node := redis.NewClient(&redis.Options{Addr: addr})
		if n := node.DBSize(t.Context()).Val(); n == 0 {
			t.Errorf("master %s has no key of 100", addr)
		}
		_ = node.Close()
	}
}

// openFolder returns a folder that the servers' user may enter, which those of
// t.TempDir are not.
func openFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "devstack-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

// gone waits until a process has ended. A zombie has: in a container nobody may
// come to reap what the killed parent left.
func gone(t *testing.T, pid int) {
	t.Helper()
	devtest.Until(t, time.Minute, fmt.Sprintf("the end of process %d", pid), func() (bool, error) {
		if state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && strings.Contains(string(state), ") Z ") {
			return true, nil
		}
		return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH), nil
	})
}

func noFolder(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Stat(%s) = %v, want %v", path, err, os.ErrNotExist)
	}
}

func exec1(t *testing.T, url, statement string) {
	t.Helper()
	conn := connect(t, url)
	if _, err := conn.Exec(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func scan(t *testing.T, url, query string, to any) {
	t.Helper()
	if err := connect(t, url).QueryRow(t.Context(), query).Scan(to); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}
