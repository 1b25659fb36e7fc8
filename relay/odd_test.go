package relay_test

import (
	"testing"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
)

// A job whose row somebody holds locked, in psql say, is left aside: the rest of
// its queue, what is more urgent and what is less, and other queues go on.
func TestHole24_LockedJobIsLeftAside(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.insert(t, "q", 1)
	tx, err := h.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	if _, err := tx.Exec(t.Context(), `SELECT FROM outbox.jobs FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	h.insert(t, "q", 300)
	h.exec(t, `INSERT INTO outbox.jobs (queue_name, priority) VALUES ('q', 0), ('q', 1000), ('other', 100)`)
	h.start(t, wiring{})
	devtest.Until(t, patience, "all but the locked job handed out", func() (bool, error) {
		return h.count(t, `SELECT count(*) FROM outbox.jobs WHERE status = 'dispatched'`) == 303, nil
	})
	if n := h.count(t, `SELECT count(*) FROM outbox.jobs WHERE status = 'queued'`); n != 1 {
		t.Errorf("%d jobs are queued, want the locked one", n)
	}
	h.exec(t, `INSERT INTO outbox.jobs (queue_name, priority) VALUES ('q', 5)`)
	devtest.Until(t, patience, "an urgent job that came later", func() (bool, error) {
		return h.count(t, `SELECT count(*) FROM outbox.jobs WHERE status = 'dispatched'`) == 304, nil
	})
}
