package relay_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/penguinmails/rookery/db"
	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/relay"
)

// unsteady is a Postgres whose clock jumps by a minute with each answer, until it is
// mended: what it says of living workers was said by another clock.
type unsteady struct {
	*db.Store
	mended atomic.Bool
	jumped atomic.Bool
}

func (u *unsteady) Queues(ctx context.Context) ([]job.Queue, string, time.Time, error) {
	queues, life, clock, err := u.Store.Queues(ctx)
	if !u.mended.Load() && u.jumped.Swap(!u.jumped.Load()) {
		clock = clock.Add(time.Minute)
	}
	return queues, life, clock, err
}

// pass lets time pass.
func pass(t *testing.T, d time.Duration) {
	t.Helper()
	began := time.Now()
	devtest.Until(t, 2*d+time.Minute, "time to pass", func() (bool, error) { return time.Since(began) > d, nil })
}

// A worker whose heartbeats reach nobody may hold its jobs in Postgres, so a relay
// that has not had a lease of steady contact with Postgres takes nothing from it.
func TestReap_OnlyAfterSteadyContactWithPostgres(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	store := &unsteady{Store: h.store}
	h.start(t, wiring{store: store, Options: relay.Options{Lease: quick}})
	h.insert(t, "q", 1)
	h.takeFor(t, "q", 1, quick/2)
	pass(t, 5*quick)
	if n := h.count(t, `SELECT count(*) FROM outbox.jobs WHERE lost_count > 0`); n != 0 {
		t.Error("a job was taken back without steady contact with Postgres")
	}
	store.mended.Store(true)
	h.await(t, 1, "the job taken back", `SELECT count(*) FROM outbox.jobs WHERE lost_count = 1`)
}

// The same when Redis is away, and nobody but Postgres can say who holds what.
func TestAway_SettlesOnlyAfterSteadyContactWithPostgres(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	fake := newFakeWindow()
	store := &unsteady{Store: h.store}
	h.start(t, wiring{store: store, redis: fake, Options: relay.Options{Lease: quick}})
	h.insert(t, "q", 3)
	h.await(t, 3, "dispatched", dispatched)
	epoch := h.count(t, `SELECT epoch FROM outbox.queues`)
	fake.set(func() { fake.fails = job.ErrUnavailable })
	h.await(t, epoch+1, "the window given up", `SELECT epoch FROM outbox.queues`)
	pass(t, 4*quick)
	if n := h.count(t, `SELECT count(*) FROM outbox.ready`); n != 0 {
		t.Errorf("%d jobs were taken back without steady contact with Postgres", n)
	}
	store.mended.Store(true)
	h.await(t, 3, "ready", `SELECT count(*) FROM outbox.ready`)
}

// givenUp is a house whose Redis is away, with n jobs that were in its window ready
// again, and the epoch that was begun for that.
func givenUp(t *testing.T, n int) (h *house, epoch int64) {
	t.Helper()
	h, fake := entrusted(t, n)
	fake.set(func() { fake.fails = job.ErrUnavailable })
	h.await(t, int64(n), "ready", `SELECT count(*) FROM outbox.ready`)
	return h, h.count(t, `SELECT epoch FROM outbox.queues`)
}

// In an epoch of another Postgres nobody may claim. Nothing is left to settle, and
// still the next must begin, or workers would stand until Redis is back.
func TestAway_AnotherPostgresEndsTheEpochToo(t *testing.T) {
	t.Parallel()
	h, epoch := givenUp(t, 3)
	life := `SELECT count(*) FROM outbox.queues WHERE life = $1`
	var own string
	if err := h.pool.QueryRow(t.Context(), `UPDATE outbox.queues AS q SET life = 'another' FROM outbox.queues AS was
		WHERE was.name = q.name RETURNING was.life`).Scan(&own); err != nil {
		t.Fatal(err)
	}
	h.await(t, 1, "an epoch of this Postgres", life+` AND epoch > $2`, own, epoch)
}

// A claim that was under way when the window was given up comes late, into an epoch
// whose window nobody can reach.
func TestAway_LateClaimIsTakenBack(t *testing.T) {
	t.Parallel()
	h, epoch := givenUp(t, 3)
	b, err := h.store.Claim(t.Context(), job.Claim{
		QueueName: "q", Epoch: epoch, RelayID: "late", DispatchID: 78, Limit: 3,
		Spans: []job.Span{{LoPriority: job.LostPriority - 1, HiPriority: job.MaxPriority}},
	})
	if err != nil || len(b.Jobs) != 3 {
		t.Fatalf("Claim = %d jobs, %v; want 3", len(b.Jobs), err)
	}
	h.await(t, 3, "ready again", `SELECT count(*) FROM outbox.ready WHERE (SELECT epoch FROM outbox.queues) > $1`, epoch)
}
