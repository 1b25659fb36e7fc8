package e2e

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// before is the release before this one; while there are no releases, a commit whose
// schema (11) all later migrations must keep working. Move it on with each release.
const before = "f61635fde8cf4c1b853f2ac55d47cab120c4e4de"

// docs/upgrade.md promises that the release before runs on the schema of this one, so
// that processes can be replaced one by one after the migration.
func TestUpgrade_TheReleaseBeforeOnThisSchema(t *testing.T) {
	t.Parallel()
	slow(t)
	w := newWorld(t, worldOptions{})
	old := buildBefore(t)
	work := []string{"worker", "--queue", queue, "--exec", "--", "sh", "-c", "! grep -q fail"}

	serve, base := w.serveOf(old)
	worker := w.start("old worker", w.env("worker"), append([]string{old}, work...)...)
	w.runs(base, "the release before alone")

	newServe, newBase := w.serve()
	newWorker := w.start("new worker", w.env("worker"), append([]string{program("rookery")}, work...)...)
	w.runs(base, "both, by the old API")
	w.runs(newBase, "both, by the new API")

	serve.terminate(30 * time.Second)
	w.runs(newBase, "an old worker behind a new relay")
	worker.terminate(60 * time.Second)
	w.runs(newBase, "this release alone")
	newServe.terminate(30 * time.Second)
	newWorker.terminate(60 * time.Second)
}

// runs inserts jobs by SQL and by HTTP, and wants them completed; and some that fail,
// come back and fail again, whose outcomes take other statements, and wants them dead.
func (w *world) runs(base, who string) {
	w.t.Helper()
	w.t.Log(who)
	ids := w.insert(20, `{"to": "a@b.c"}`)
	for range 5 {
		ids = append(ids, w.post(base, `{"queue_name": "`+queue+`", "priority": 20}`).ID)
	}
	failing := w.ids(`INSERT INTO outbox.jobs (queue_name, payload, max_attempts) SELECT $1, '"fail"', 2 FROM generate_series(1, 3) RETURNING id`, queue)
	w.untilStatus(patience, "completed", ids)
	w.untilStatus(patience, "dead", failing)
}

// buildBefore builds the program of the release before from git.
func buildBefore(t *testing.T) string {
	t.Helper()
	if err := exec.Command("git", "-C", "../..", "cat-file", "-e", before).Run(); err != nil {
		t.Skipf("NOT TESTED: the release before on this schema: a clone without history lacks %s (git fetch --unshallow): %v", before, err)
	}
	dir := t.TempDir()
	script := `git -C ../.. archive "$1" | tar -x -C "$2" && cd "$2" && go build -o "$2/bin/rookery" ./cmd/rookery`
	cmd := exec.Command("/bin/bash", "-o", "pipefail", "-c", script, "bash", before, dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", before, err, out)
	}
	return filepath.Join(dir, "bin", "rookery")
}
