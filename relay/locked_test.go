package relay_test

import (
	"errors"
	"testing"
	"time"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/relay"
)

// What an ended epoch left behind comes back from every page of the ledger, in one walk,
// whoever has locked a job of the first.
func TestSettle_LockedJobKeepsNoOthers(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	_, stop := h.start(t, wiring{})
	const batches = 25 // a page has twenty
	for n := range int64(batches) {
		h.insert(t, "q", 1)
		h.await(t, n+1, "dispatched", dispatched)
	}
	h.await(t, batches, "ledger rows", `SELECT count(*) FROM outbox.dispatches`)
	stop()
	h.flush(t)
	r := h.auditor(t, wiring{})
	devtest.Until(t, patience, "the next epoch begun", func() (bool, error) { // not in the first second of the last
		return h.count(t, `SELECT epoch FROM outbox.queues`) == 2, r.Acquaint(t.Context())
	})
	tx := h.begin(t)
	if _, err := tx.Exec(t.Context(), `SELECT FROM outbox.jobs WHERE id = 1 FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	if err := r.Settle(t.Context(), "q"); !errors.Is(err, job.ErrConflict) {
		t.Errorf("settling with a job locked = %v, want a conflict", err)
	}
	if n := h.count(t, dispatched); n != 1 {
		t.Errorf("%d jobs are left behind, want the locked one", n)
	}
	if err := errors.Join(tx.Rollback(t.Context()), r.Settle(t.Context(), "q")); err != nil {
		t.Fatal(err)
	}
	if n := h.count(t, dispatched); n != 0 {
		t.Errorf("%d jobs are left behind, want none", n)
	}
}

// So do attempts that were held in Postgres by workers that are gone: those of other
// ledger rows, and those of the same one.
func TestTakeBackHeld_LockedJobKeepsNoOthers(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start(t, wiring{Options: relay.Options{Lease: quick}})
	h.insert(t, "q", 4)
	refs := job.Batch{Jobs: h.takeFor(t, "q", 4, time.Minute)}.Refs()
	for i := range 2 {
		held := job.Hold{QueueName: "q", WorkerID: "w", DispatchID: int64(77 + i), Lease: time.Minute, Refs: refs[2*i : 2*i+2]}
		if ids, err := h.store.Hold(t.Context(), held); err != nil || len(ids) != 2 {
			t.Fatalf("Hold = %v, %v, want two", ids, err)
		}
	}
	tx := h.begin(t)
	if _, err := tx.Exec(t.Context(), `SELECT FROM outbox.jobs WHERE id = $1 FOR UPDATE`, refs[0].ID); err != nil {
		t.Fatal(err)
	}
	h.exec(t, `UPDATE outbox.dispatches SET lease_until = now() - interval '1 second' WHERE id IN (77, 78)`)
	const lost = `SELECT count(*) FROM outbox.jobs WHERE lost_count = 1`
	h.await(t, 3, "the others lost", lost)
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.await(t, 4, "the last one lost", lost)
}

// A claim passes by however many jobs somebody has locked.
func TestHole24_ManyLockedJobsAreLeftAside(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.insert(t, "q", 40)
	tx := h.begin(t)
	if _, err := tx.Exec(t.Context(), `SELECT FROM outbox.jobs WHERE id % 2 = 1 FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	h.start(t, wiring{})
	h.await(t, 20, "those that nobody has locked", dispatched)
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.await(t, 40, "all", dispatched)
}
