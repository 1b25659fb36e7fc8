package e2e

import (
	"testing"
	"time"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
)

// Postgres crashes and recovers while everything runs, twice: nothing that was
// committed is lost, and nothing runs that was not.
func TestPostgres_CrashesAndRecovers(t *testing.T) {
	slow(t)
	t.Parallel()
	server := devtest.PostgresServer(t, nil)
	devtest.Migrate(t, server.URL("postgres"))
	w := newWorld(t, worldOptions{lease: 10 * time.Second, postgres: server})
	w.relay()
	w.relay()
	w.worker(10)
	w.worker(10)
	p := produce(t, w.inserts, 4, 5*time.Millisecond, `{"do": "sleep", "ms": 5}`)
	for round := range 2 {
		want := (round + 1) * 300
		devtest.Until(t, patience, "producers", func() (bool, error) { return p.count() >= want, nil })
		if err := server.Restart(t.Context(), "immediate"); err != nil {
			t.Fatal(err)
		}
		had := p.count()
		devtest.Until(t, patience, "producers after the crash", func() (bool, error) { return p.count() >= had+100, nil })
	}
	p.stop(w)
	f := w.rest(patience)
	problems, reruns := check(f, allowance{})
	for _, p := range problems {
		t.Error(p)
	}
	w.wantNoLosses(f)
	t.Logf("%d jobs, %d runs, %d again", len(f.jobs), len(f.runs), reruns)
}
