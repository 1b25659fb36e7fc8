package relay_test

import (
	"context"
	"errors"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/relay"
)

// worker holds attempts as a prompt worker does: it renews them often, announces
// them in a new epoch, and says in Postgres which epoch it is in.
type worker struct {
	h     *house
	queue string
	refs  []job.Ref
	lease time.Duration

	mu        sync.Mutex
	gone      []job.Ref
	cancelled []job.Ref
	epoch     int64
}

// hold begins to hold, until the test ends or the function it returns is called.
func (h *house) hold(t *testing.T, queue string, jobs []job.Envelope, lease time.Duration) (w *worker, stop func()) {
	t.Helper()
	w = &worker{h: h, queue: queue, refs: job.Batch{Jobs: jobs}.Refs(), lease: lease, epoch: h.taking(t, queue, 1, lease).Epoch}
	ctx, cancel := context.WithCancel(context.Background())
	w.beat(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(min(lease, quick) / 10)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				w.beat(ctx)
			}
		}
	})
	stop = func() { cancel(); wg.Wait() }
	t.Cleanup(stop)
	return w, stop
}

func (w *worker) beat(ctx context.Context) {
	w.mu.Lock()
	epoch := w.epoch
	w.mu.Unlock()
	_, _ = w.h.store.Beat(ctx, job.Process{ID: "w-" + w.queue, Role: "worker", Epochs: map[string]int64{w.queue: epoch}})
	gone, cancelled, err := w.h.redis.Beat(ctx, w.queue, epoch, w.lease, w.refs)
	var stale *job.StaleError
	if errors.As(err, &stale) && stale.Epoch > epoch {
		gone, err = w.h.redis.Announce(ctx, w.queue, stale.Epoch, w.lease, w.refs)
		epoch = stale.Epoch
	}
	if err != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gone, w.cancelled, w.epoch = gone, cancelled, epoch
}

func (w *worker) seen() (gone, cancelled []job.Ref, epoch int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.gone, w.cancelled, w.epoch
}

func TestReap_EndedLeaseComesBackAheadOfItsBand(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start(t, wiring{Options: relay.Options{Lease: quick}})
	h.insert(t, "q", 1)
	silent := h.takeFor(t, "q", 1, quick/2)
	h.insert(t, "q", 5)
	h.await(t, 1, "the lost job handed out again", `SELECT count(*) FROM outbox.jobs WHERE lost_count = 1 AND attempt_count = 2 AND status = 'dispatched'`)
	h.await(t, 0, "recorded", unrecorded)
	got := h.copies(t, "q")
	if len(got) != 6 || got[0].ID != silent[0].ID || got[0].LostCount != 1 {
		t.Fatalf("window = %+v, want six with the lost job first", got)
	}
	v, err := h.store.Reconcile(t.Context(), "w", []job.Outcome{{Ref: silent[0].Ref(), Kind: job.Succeeded}})
	if err != nil || len(v) != 0 {
		t.Errorf("late outcome = %v, %v; want it refused", v, err)
	}
	if n := h.count(t, `SELECT count(*) FROM outbox.attempts WHERE outcome = 'lose'`); n != 1 {
		t.Errorf("%d lost attempts on record, want 1", n)
	}
}

func TestReap_PromptWorkerKeepsItsLease(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start(t, wiring{Options: relay.Options{Lease: quick}})
	h.insert(t, "q", 20)
	prompt := h.takeFor(t, "q", 10, patience) // a worker that stands still for a lease would be none
	h.takeFor(t, "q", 10, quick)
	_, _ = h.hold(t, "q", prompt, patience)
	h.await(t, 10, "the silent half lost", `SELECT count(*) FROM outbox.jobs WHERE lost_count = 1`)
	h.await(t, 10, "the prompt half running", `SELECT count(*) FROM outbox.jobs WHERE attempt_count = 1 AND status = 'dispatched'`)
}

// Redis stands still for longer than a lease; when it goes on, every lease has
// ended, and the reaper is faster than the heartbeats. See PROTOCOL hole 10.
func TestHole10_StalledRedisCostsNoPromptWorkerItsLease(t *testing.T) {
	t.Parallel()
	const lease = 3 * time.Second // above contactReply
	h := newHouse(t)
	h.start(t, wiring{Options: relay.Options{Lease: lease}})
	h.insert(t, "q", 10)
	jobs := h.takeFor(t, "q", 10, lease)
	w, _ := h.hold(t, "q", jobs, lease)
	alive := time.Now()
	devtest.Until(t, 2*lease, "contact for a lease", func() (bool, error) { return time.Since(alive) > lease+lease/2, nil })
	if err := h.server.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	stopped := time.Now()
	devtest.Until(t, 3*lease, "the stall to outlast the lease", func() (bool, error) { return time.Since(stopped) > lease+lease/2, nil })
	if err := h.server.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	resumed := time.Now()
	devtest.Until(t, 3*lease, "another lease to pass", func() (bool, error) { return time.Since(resumed) > lease+lease/2, nil })
	if gone, _, _ := w.seen(); len(gone) != 0 {
		t.Errorf("the worker was told that %d of its attempts are gone", len(gone))
	}
	if n := h.count(t, `SELECT count(*) FROM outbox.jobs WHERE lost_count > 0 OR attempt_count > 1`); n != 0 {
		t.Errorf("%d jobs of a prompt worker were taken back", n)
	}
}

func TestCancel_WaitingCopyIsDroppedAndRunningHandlerIsTold(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start(t, wiring{})
	h.insert(t, "q", 4)
	running := h.take(t, "q", 1)
	w, _ := h.hold(t, "q", running, time.Minute/10)
	h.await(t, 4, "all dispatched", dispatched)
	h.exec(t, `SELECT outbox.cancel(id) FROM outbox.jobs WHERE id IN ($1, $2)`, running[0].ID, running[0].ID+1)
	h.await(t, 0, "the orders carried to Redis", `SELECT count(*) FROM outbox.cancels`)
	devtest.Until(t, patience, "the handler told by a beat", func() (bool, error) {
		_, cancelled, _ := w.seen()
		return len(cancelled) == 1 && cancelled[0] == running[0].Ref(), nil
	})
	for _, e := range h.take(t, "q", 2) {
		if e.ID == running[0].ID+1 {
			t.Error("a cancelled job was handed over")
		}
	}
}

func TestHole20_PausedQueueStaysPausedThroughAFlush(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start(t, wiring{Options: relay.Options{Lease: quick}})
	h.insert(t, "q", 3)
	h.await(t, 3, "dispatched", dispatched)
	silent := h.takeFor(t, "q", 1, 3*quick)
	if err := h.store.SetPaused(t.Context(), "q", true); err != nil {
		t.Fatal(err)
	}
	paused := func(epoch int64) func() (bool, error) {
		return func() (bool, error) {
			w, err := h.redis.Depths(t.Context(), []string{"q"})
			return w["q"].Paused && w["q"].Epoch == epoch, err
		}
	}
	devtest.Until(t, patience, "the word carried to Redis", paused(1))
	// Reaping goes on while paused.
	h.await(t, 1, "the silent worker's job taken back", `SELECT count(*) FROM outbox.jobs WHERE lost_count = 1 AND status = 'queued'`)
	h.flush(t)
	devtest.Until(t, patience, "paused in the next epoch", paused(2))
	// Settling goes on too.
	h.await(t, 3, "all settled", `SELECT count(*) FROM outbox.jobs WHERE status = 'queued'`)
	h.insert(t, "other", 1)
	h.take(t, "other", 1) // relays have looked around meanwhile
	if n := h.count(t, dispatched+` AND queue_name = 'q'`); n != 0 {
		t.Errorf("%d jobs of a paused queue were claimed", n)
	}
	if err := h.store.SetPaused(t.Context(), "q", false); err != nil {
		t.Fatal(err)
	}
	if got := h.take(t, "q", 3); got[0].ID != silent[0].ID {
		t.Errorf("first after the pause is job %d, want the lost one, %d", got[0].ID, silent[0].ID)
	}
}

// A job whose row somebody has locked is left for later; the others that were lost
// with it come back.
func TestReap_LockedJobKeepsNoOthers(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start(t, wiring{Options: relay.Options{Lease: quick}})
	h.insert(t, "q", 20)
	jobs := h.takeFor(t, "q", 20, quick)
	tx := h.begin(t)
	if _, err := tx.Exec(t.Context(), `SELECT FROM outbox.jobs WHERE id = $1 FOR UPDATE`, jobs[7].ID); err != nil {
		t.Fatal(err)
	}
	h.await(t, 19, "the others lost", `SELECT count(*) FROM outbox.jobs WHERE lost_count = 1`)
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.await(t, 20, "the last one lost", `SELECT count(*) FROM outbox.jobs WHERE lost_count = 1`)
}
