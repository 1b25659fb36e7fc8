package relay_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/relay"
)

// Redis dies for good with jobs in its window and in workers' hands. What no worker
// holds in Postgres is ready again; what one holds is left alone.
func TestAway_WhatNobodyHoldsIsReadyAgain(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start(t, wiring{Options: relay.Options{Lease: quick}})
	h.insert(t, "q", 10)
	jobs := h.takeFor(t, "q", 4, time.Minute)
	h.await(t, 0, "recorded", unrecorded)
	held, err := h.store.Hold(t.Context(), job.Hold{
		QueueName: "q", WorkerID: "w", DispatchID: 77, Lease: time.Hour, Refs: job.Batch{Jobs: jobs[:2]}.Refs(),
	})
	if err != nil || len(held) != 2 {
		t.Fatalf("Hold = %v, %v, want two", held, err)
	}
	if err := h.server.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	h.await(t, 8, "eight jobs ready", `SELECT count(*) FROM outbox.ready`)
	if n := h.count(t, `SELECT count(*) FROM outbox.jobs WHERE lost_count > 0`); n != 0 {
		t.Errorf("%d jobs count a loss, want none: nobody lost them", n)
	}
	if n := h.count(t, `SELECT count(*) FROM outbox.jobs WHERE dispatch_id = 77 AND status = 'dispatched'`); n != 2 {
		t.Errorf("%d jobs held, want 2", n)
	}
	// Nothing can come into an epoch that Redis does not know, so it is the last one.
	epoch := h.count(t, `SELECT epoch FROM outbox.queues`)
	h.await(t, 8, "still eight", `SELECT count(*) FROM outbox.ready WHERE (SELECT now() - epoch_at > interval '4 seconds' FROM outbox.queues)`)
	if now := h.count(t, `SELECT epoch FROM outbox.queues`); now != epoch {
		t.Errorf("epoch = %d, want %d: it had begun in this absence", now, epoch)
	}
	claim := job.Claim{
		QueueName: "q", Epoch: epoch, RelayID: "w", DispatchID: 78, Limit: 3, WorkerID: "w", Lease: time.Hour,
		Spans: []job.Span{{LoPriority: job.LostPriority - 1, HiPriority: job.MaxPriority}},
	}
	if b, err := h.store.Claim(t.Context(), claim); err != nil || len(b.Jobs) != 3 {
		t.Errorf("a worker's claim = %d jobs, %v, want 3", len(b.Jobs), err)
	}
}

// One relay that alone has lost Redis ends no epoch.
func TestAway_NotWhileAnyoneReachesRedis(t *testing.T) {
	t.Parallel()
	h, fake := entrusted(t, 3)
	epoch := h.count(t, `SELECT epoch FROM outbox.queues`)
	fake.set(func() { fake.fails = job.ErrUnavailable })
	// It beats, and will have beaten for an hour however slow this machine is.
	h.exec(t, `INSERT INTO outbox.processes (id, role, beat_at, redis_at, epochs) VALUES ('w', 'worker', now() + interval '1 hour', now() + interval '1 hour', jsonb_build_object('q', $1::bigint))`, epoch)
	pass(t, 5*quick)
	if now := h.count(t, `SELECT epoch FROM outbox.queues`); now != epoch {
		t.Errorf("epoch = %d, want %d: a worker reaches redis", now, epoch)
	}
	h.exec(t, `UPDATE outbox.processes SET redis_at = now() WHERE id = 'w'`)
	h.await(t, epoch+1, "the next epoch, once nobody does", `SELECT epoch FROM outbox.queues`)
	h.await(t, 3, "ready", `SELECT count(*) FROM outbox.ready`)
}

// Redis comes back, as the process it was, with the window it had: another epoch is
// opened in it, and nothing of the old window is handed out.
func TestAway_RedisComesBack(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	fake := newFakeWindow()
	h.start(t, wiring{redis: fake, Options: relay.Options{Lease: quick}})
	h.insert(t, "q", 3)
	h.await(t, 3, "dispatched", dispatched)
	fake.set(func() { fake.fails = job.ErrUnavailable })
	h.await(t, 3, "ready", `SELECT count(*) FROM outbox.ready`)
	fake.set(func() { fake.fails = nil })
	h.await(t, 3, "dispatched again", `SELECT count(*) FROM outbox.jobs WHERE status = 'dispatched' AND attempt_count = 2`)
	h.await(t, 0, "recorded", unrecorded)
	fake.set(func() {
		if n := fake.queues["q"].depth(); n != 3 {
			t.Errorf("copies in the window = %d, want 3", n)
		}
	})
}

// entrusted is a house with n jobs of queue q in the window of a Redis that can be told
// to fail, all of them recorded.
func entrusted(t *testing.T, n int) (*house, *fakeWindow) {
	t.Helper()
	h, fake := newHouse(t), newFakeWindow()
	h.start(t, wiring{redis: fake, Options: relay.Options{Lease: quick}})
	h.insert(t, "q", n)
	h.await(t, int64(n), "dispatched", dispatched)
	h.await(t, 0, "recorded", unrecorded)
	return h, fake
}

func TestTakeBackHeld_AfterSteadyContact(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start(t, wiring{Options: relay.Options{Lease: quick}})
	h.insert(t, "q", 2)
	jobs := h.takeFor(t, "q", 2, time.Minute)
	refs := job.Batch{Jobs: jobs}.Refs()
	for i, lease := range []time.Duration{time.Millisecond, time.Hour} {
		if _, err := h.store.Hold(t.Context(), job.Hold{QueueName: "q", WorkerID: "w", DispatchID: int64(77 + i), Lease: lease, Refs: refs[i : i+1]}); err != nil {
			t.Fatal(err)
		}
	}
	h.await(t, 1, "the ended one lost and handed out again", `SELECT count(*) FROM outbox.jobs WHERE lost_count = 1 AND attempt_count = 2`)
	if n := h.count(t, `SELECT count(*) FROM outbox.jobs WHERE dispatch_id = 78 AND status = 'dispatched'`); n != 1 {
		t.Errorf("held jobs = %d, want 1", n)
	}
}

// A job whose row somebody has locked keeps no other one from coming back.
func TestAway_LockedJobKeepsNoOthers(t *testing.T) {
	t.Parallel()
	h, fake := entrusted(t, 3)
	tx := h.begin(t)
	if _, err := tx.Exec(t.Context(), `SELECT FROM outbox.jobs WHERE id = (SELECT min(id) + 1 FROM outbox.jobs) FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	fake.set(func() { fake.fails = job.ErrUnavailable })
	h.await(t, 2, "the others ready", `SELECT count(*) FROM outbox.ready`)
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.await(t, 3, "the last one ready", `SELECT count(*) FROM outbox.ready`)
}
