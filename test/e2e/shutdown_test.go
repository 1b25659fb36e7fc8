package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
)

// SIGTERM lets running jobs end, begins no other, and leaves nothing to a lease.
func TestShutdown_WorkerDrains(t *testing.T) {
	slow(t)
	t.Parallel()
	w := newWorld(t, worldOptions{lease: 15 * time.Second})
	w.relay()
	leaving := w.worker(2)
	w.insert(2, `{"do": "sleep", "ms": 2000}`)
	w.untilStarted(patience, 2)
	w.insert(50, `{}`)
	leaving.signal(syscall.SIGTERM)
	began := time.Now()
	w.worker(10)
	if code := leaving.wait(30 * time.Second); code != 0 {
		t.Errorf("the worker ended with %d", code)
	}
	t.Logf("drained after %s", time.Since(began).Round(time.Millisecond))
	w.verify(patience, allowance{}) // sooner than a lease
	if n := w.count(`SELECT count(*) FROM outbox.jobs WHERE attempt_count <> 1`); n != 0 {
		t.Errorf("%d jobs were handed out again", n)
	}
}

// A relay that is told to end leaves nothing half-done behind.
func TestShutdown_RelaysTakeTurns(t *testing.T) {
	slow(t)
	t.Parallel()
	w := newWorld(t, worldOptions{})
	w.worker(10)
	for range 3 {
		r := w.relay()
		r.says(patience, "relay started")
		ids := w.insert(300, `{}`)
		w.until(patience, "something to be done", `SELECT count(*) > 0 FROM outbox.jobs WHERE id = ANY ($1) AND status = 'completed'`, ids)
		r.terminate(30 * time.Second)
	}
	w.relay()
	w.verify(patience, allowance{})
}

// rookery dev shows somebody new the whole way, and leaves nothing behind.
func TestDev_RunsAJobAndCleansUp(t *testing.T) {
	slow(t)
	t.Parallel()
	// Not t.TempDir: when we are root, the servers run as another user.
	folder, err := os.MkdirTemp("", "rookery-e2e-dev-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	p := start(t, "rookery dev", []string{"PATH=" + os.Getenv("PATH"), "HOME=" + folder, "TMPDIR=" + folder}, program("rookery"), "dev")
	t.Cleanup(p.kill)
	p.says(patience, "REDIS_URL=redis://")
	p.says(patience, "curl -sS")
	_, rest, _ := strings.Cut(p.out.String(), "API       ")
	base := strings.Fields(rest)[0]
	devtest.Until(t, patience, "the API", func() (bool, error) {
		status, _ := call(t, http.MethodGet, base+"/readyz", "")
		return status == http.StatusOK, nil
	})
	if status, text := call(t, http.MethodPost, base+"/v1/jobs", `{"queue_name": "default", "payload": {"hello": "world"}}`); status != http.StatusCreated {
		t.Fatalf("POST = %d %s", status, text)
	}
	p.says(patience, `{"hello": "world"}`)
	if len(workingIn(t, folder)) < 2 {
		t.Error("no servers were found: what follows proves nothing")
	}
	p.signal(syscall.SIGINT)
	if code := p.wait(time.Minute); code != 0 {
		t.Errorf("rookery dev ended with %d after SIGINT: %s", code, p.tail())
	}
	if left := workingIn(t, folder); len(left) > 0 {
		t.Errorf("processes are left behind: %v", left)
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		t.Errorf("%s is left behind", e.Name())
	}
}

// workingIn returns the processes whose working directory is in folder. It may be
// deleted already.
func workingIn(t *testing.T, folder string) (found []string) {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		if at, err := os.Readlink(link); err == nil && strings.HasPrefix(at, folder+"/") {
			found = append(found, link+" "+at)
		}
	}
	return found
}
