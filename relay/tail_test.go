package relay_test

import (
	"log/slog"
	"testing"

	"github.com/penguinmails/rookery/db"
	"github.com/penguinmails/rookery/internal/devstack/devtest"
)

// A relay that tails the WAL dispatches what comes now and then, and what comes all
// at once, and goes on when its tail breaks in between. It hands out each job once.
func TestSource_RelayOnTheTail(t *testing.T) {
	t.Parallel()
	server := devtest.PostgresServer(t, map[string]string{"wal_level": "logical"})
	devtest.Migrate(t, server.URL("postgres"))
	h := houseOn(t, server.URL("postgres"), devtest.RedisServer(t))
	tail, err := db.NewTail(h.url, db.TailOptions{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	h.start(t, wiring{source: tail})
	const keys = `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 1380928331 AND mode = 'ExclusiveLock'`
	want := int64(0)
	add := func(n int) {
		t.Helper()
		h.insert(t, "q", n)
		want += int64(n)
	}
	for range 3 {
		h.await(t, 2, "both locks: it sleeps, and is told by the WAL", keys)
		for range 5 {
			add(1)
			h.await(t, want, "dispatched, one by one", dispatched)
		}
		add(1200) // full batches: it goes hot
		h.await(t, want, "dispatched, all at once", dispatched)
		h.await(t, 2, "both locks, asleep again", keys)
		h.exec(t, "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots")
		add(1)
		h.await(t, want, "dispatched, with the tail broken", dispatched)
	}
	h.onceEach(t, "q", int(want))
}
