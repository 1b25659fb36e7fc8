package e2e

import (
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
)

// Every connection of a relay and a worker is cut again and again, to Postgres and to
// Redis, under load: what they have of goroutines, open files and memory in the end is
// what they had in the beginning. ROOKERY_FLAT_CUTS=1000 is the long form.
func TestFlat_OverReconnects(t *testing.T) {
	slow(t)
	t.Parallel()
	cuts := 60
	if text := os.Getenv("ROOKERY_FLAT_CUTS"); text != "" {
		var err error
		if cuts, err = strconv.Atoi(text); err != nil {
			t.Fatalf("ROOKERY_FLAT_CUTS: %v", err)
		}
	}
	w := newWorld(t, worldOptions{lease: 15 * time.Second})
	relay, worker := w.relay(), w.worker(20)
	w.untilStatus(patience, "completed", w.insert(500, `{}`))
	had := worker.usage()
	for i := range cuts {
		w.exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'rookery%'`)
		for _, kind := range []string{"normal", "pubsub"} {
			if err := w.rdb.Do(t.Context(), "CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes").Err(); err != nil {
				t.Fatal(err)
			}
		}
		if i%10 == 0 {
			w.insert(20, `{}`)
		}
		if i%50 == 49 {
			w.untilStatus(patience, "completed", w.committed)
		}
		began := time.Now()
		devtest.Until(t, patience, "a moment to reconnect", func() (bool, error) { return time.Since(began) > 50*time.Millisecond, nil })
	}
	w.untilStatus(patience, "completed", w.committed)
	var has usage
	devtest.Until(t, patience, "the worker to have what it had", func() (bool, error) {
		has = worker.usage()
		return has.goroutines <= had.goroutines+10 && has.files <= had.files+10, nil
	})
	t.Logf("%d cuts: %+v before, %+v after", cuts, had, has)
	if grown := has.bytes - had.bytes; grown > 64<<20 {
		t.Errorf("resident memory grew by %.0f MiB, want next to nothing", grown/(1<<20))
	}
	if relay.ended() || worker.ended() {
		t.Error("a process has ended")
	}
	w.verify(patience, allowance{})
}

// usage is what a process has at a moment.
type usage struct{ goroutines, files, bytes float64 }

func (p *process) usage() usage {
	p.t.Helper()
	return usage{p.metric("go_goroutines", ""), p.metric("process_open_fds", ""), p.metric("process_resident_memory_bytes", "")}
}
