package relay_test

import (
	"testing"
	"time"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/relay"
)

// After Postgres was away, no worker has a beat that is young enough to be waited
// for: "nobody is behind" then says nothing, and settling waits for one lease.
func TestSettle_AfterAnOutageOfPostgresWaitsForALease(t *testing.T) {
	t.Parallel()
	const lease = 20 * time.Second
	h := newHouse(t)
	_, stop := h.start(t, wiring{Options: relay.Options{Lease: lease}})
	h.insert(t, "q", 1)
	held := h.take(t, "q", 1)
	stop()
	h.exec(t, `INSERT INTO outbox.processes (id, role, beat_at, epochs) VALUES ('w', 'worker', now() - interval '1 minute', '{"q": 1}')`)
	h.flush(t)
	h.start(t, wiring{Options: relay.Options{Lease: lease}}) // its contact with Postgres is as young as after an outage
	devtest.Until(t, patience, "the next epoch open", func() (bool, error) {
		w, err := h.redis.Depths(t.Context(), []string{"q"})
		return w["q"].Epoch == 2, err
	})
	pass(t, 2*time.Second) // two turns of settling, and most of a lease to spare
	refused, err := h.redis.Announce(t.Context(), "q", 2, time.Minute, []job.Ref{held[0].Ref()})
	if err != nil || len(refused) != 0 {
		t.Errorf("Announce = %v refused, %v; want the attempt of a prompt worker kept", refused, err)
	}
	if n := h.count(t, `SELECT count(*) FROM outbox.jobs WHERE attempt_count = 1 AND dispatch_id = $1 AND status IN ('dispatched', 'running')`, held[0].DispatchID); n != 1 {
		t.Error("the attempt was taken back before its worker could announce it")
	}
}

// A row of outbox.queues that somebody deletes, or puts back to a lower epoch (a
// dump restored into the same server: its life is the same), is no old answer.
func TestQueues_DeletedOrPutBackGoOn(t *testing.T) {
	t.Parallel()
	for name, meddle := range map[string]string{
		"deleted":  `DELETE FROM outbox.queues`,
		"put back": `UPDATE outbox.queues SET epoch = 1`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			h.start(t, wiring{Options: relay.Options{Lease: quick}})
			h.insert(t, "q", 1)
			h.take(t, "q", 1)
			for range 2 {
				h.flush(t)
				h.insert(t, "q", 1)
				h.take(t, "q", 1)
			}
			h.exec(t, meddle)
			h.insert(t, "q", 1)
			h.await(t, 0, "all claimed", `SELECT count(*) FROM outbox.jobs WHERE status = 'queued'`)
			h.await(t, 1, "an epoch above the window's", `SELECT count(*) FROM outbox.queues WHERE name = 'q' AND epoch > 3`)
		})
	}
}
