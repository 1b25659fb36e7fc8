package e2e

import (
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
)

// A worker that gets SIGTSTP takes nothing more, finishes what it has, longer than a
// lease, and lives on; undone, it goes on. The API does the same.
func TestWorker_Quiet(t *testing.T) {
	slow(t)
	t.Parallel()
	w := newWorld(t, worldOptions{})
	_, base := w.serve()
	p := w.rookery("worker --queue " + queue + " --concurrency 2 --exec -- sleep 5")
	held := w.insert(1, `{}`)
	w.untilStatus(patience, "running", held)
	p.signal(syscall.SIGTSTP)
	w.until(patience, "Postgres to know", `SELECT bool_or(quiet) FROM outbox.processes WHERE role = 'worker'`)
	ids := w.insert(1, `{}`)
	w.untilStatus(patience, "dispatched", ids)
	w.untilStatus(patience, "completed", held)
	w.until(patience, "two beats more", `SELECT max(beat_at) > (SELECT max(finished_at) FROM outbox.jobs) + interval '1500 milliseconds' FROM outbox.processes WHERE role = 'worker'`)
	if n := w.count(`SELECT count(*) FROM outbox.jobs WHERE id = ANY ($1) AND status = 'dispatched'`, ids); n != 1 || p.ended() {
		t.Errorf("of one job %d waits, the worker has ended: %t", n, p.ended())
	}
	if n := w.count(`SELECT count(*) FROM outbox.jobs WHERE lost_count > 0 OR attempt_count > 1`); n != 0 {
		t.Errorf("%d jobs were taken from the quiet worker", n)
	}
	var id string
	if err := w.pool.QueryRow(t.Context(), `SELECT id FROM outbox.processes WHERE role = 'worker'`).Scan(&id); err != nil {
		t.Fatal(err)
	}
	if list := w.mustCLI("workers", "list", "--role", "worker"); !strings.Contains(list, "true") {
		t.Errorf("workers list = %s, want it quiet", list)
	}
	w.mustCLI("workers", "quiet", id, "--undo")
	w.untilStatus(patience, "running", ids)
	if status, body := call(t, http.MethodPost, base+"/v1/workers/"+id+"/quiet", `{"quiet":true}`); status != http.StatusOK {
		t.Fatalf("quiet = %d %s", status, body)
	}
	devtest.Until(t, patience, "the worker to be quiet", func() (bool, error) {
		return strings.Count(p.err.String(), "worker takes no new jobs") == 2, nil
	})
	if code, _, stderr := w.cli("workers", "quiet", "nobody"); code != 3 || !strings.Contains(stderr, "nobody") {
		t.Errorf("quiet of nobody = %d %s", code, stderr)
	}
	w.untilStatus(patience, "completed", ids)
	p.terminate(30 * time.Second)
}
