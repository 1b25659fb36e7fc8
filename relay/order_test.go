package relay_test

import (
	"cmp"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
)

func TestOrder_ByPriorityThenIDOverTheBacklog(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.exec(t, `INSERT INTO outbox.jobs (queue_name, payload, priority) SELECT 'q', '{}', (n * 7919) % 1001 FROM generate_series(1, 3000) AS n`)
	h.start(t, wiring{})
	h.await(t, 3000, "all dispatched", dispatched)
	h.await(t, 0, "all recorded", unrecorded)
	got := h.copies(t, "q")
	want := slices.SortedFunc(slices.Values(got), func(a, b job.Envelope) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.ID, b.ID))
	})
	if len(got) != 3000 {
		t.Fatalf("the window has %d jobs, want 3000", len(got))
	}
	for i := range got {
		if got[i].ID != want[i].ID {
			t.Fatalf("place %d: job %d of priority %d, want job %d of priority %d", i, got[i].ID, got[i].Priority, want[i].ID, want[i].Priority)
		}
	}
}

func TestOrder_ReserveIsForTheHighBand(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.exec(t, `INSERT INTO outbox.queues (name, window_size) VALUES ('q', 100)`)
	h.insert(t, "q", 300)
	h.start(t, wiring{})
	h.await(t, 90, "the window but for its reserve", dispatched)
	h.exec(t, `INSERT INTO outbox.jobs (queue_name, payload, priority) SELECT 'q', '{}', 5 FROM generate_series(1, 30)`)
	h.await(t, 10, "urgent jobs in the reserve", dispatched+` AND priority = 5`)
	got := h.take(t, "q", 15)
	for i, e := range got {
		if (e.Priority == 5) != (i < 10) {
			t.Errorf("place %d has priority %d: bands are strict", i, e.Priority)
		}
	}
	h.await(t, 25, "more urgent jobs as room appears", dispatched+` AND priority = 5`)
	if n := h.count(t, dispatched+` AND priority = 100`); n != 90 {
		t.Errorf("%d ordinary jobs were claimed, want 90", n)
	}
}

func TestWindow_NeverExceededByMoreThanABatchPerRelay(t *testing.T) {
	t.Parallel()
	const relays, window = 3, 1000
	h := newHouse(t)
	h.exec(t, `INSERT INTO outbox.queues (name, window_size) VALUES ('q', $1)`, window)
	h.insert(t, "q", 8000)
	for range relays {
		h.start(t, wiring{})
	}
	var most, taken int64
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				w, err := h.redis.Depths(t.Context(), []string{"q"})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				most = max(most, w["q"].Depth())
				done := taken >= 5000
				mu.Unlock()
				if done {
					return
				}
				if w["q"].Epoch == 0 {
					continue
				}
				got, err := h.redis.Take(t.Context(), h.taking(t, "q", 100, time.Minute))
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				taken += int64(len(got.Jobs))
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	t.Logf("window %d, %d relays: at most %d waited", window, relays, most)
	if most > window+500*relays {
		t.Errorf("%d jobs waited in Redis, want at most %d", most, window+500*relays)
	}
}

// One odd job must not hold up the others: no halving waits for the poll. See PROTOCOL
// hole 1.
func TestHole01_OddJobDiesAndItsNeighboursGoOn(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.insert(t, "q", 500)
	h.exec(t, `UPDATE outbox.jobs SET attempt_count = 2147483647 WHERE id = 1`)
	h.start(t, wiring{poll: never})
	h.await(t, 499, "its neighbours dispatched", dispatched)
	var status, reason string
	if err := h.pool.QueryRow(t.Context(), `SELECT status, last_error FROM outbox.jobs WHERE id = 1`).Scan(&status, &reason); err != nil {
		t.Fatal(err)
	}
	if status != "dead" || reason == "" {
		t.Errorf("the odd job is %s with reason %q, want dead with one", status, reason)
	}
	if n := h.count(t, `SELECT count(*) FROM outbox.dead_letters`); n != 1 {
		t.Errorf("%d dead letters, want 1", n)
	}
	h.await(t, 0, "recorded", unrecorded)
	h.onceEach(t, "q", 499)
}

// Scheduled jobs are handed out once they are due, and none before. How soon after is
// TestScheduled_LooksWhenTheNextIsDue's.
func TestScheduled_PromotedWhenDue(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start(t, wiring{})
	h.insert(t, "q", 1)
	h.take(t, "q", 1)
	h.exec(t, `INSERT INTO outbox.jobs (queue_name, payload, run_at) VALUES ('q', '{}', now() + interval '1.5 seconds'), ('q', '{}', now() + interval '3.2 seconds'), ('q', '{}', now() + interval '1 hour')`)
	h.await(t, 3, "two promoted", dispatched)
	devtest.Until(t, patience, "pushed", func() (bool, error) { return len(h.copies(t, "q")) == 2, nil })
	if n := h.count(t, `SELECT count(*) FROM outbox.jobs WHERE status = 'dispatched' AND dispatched_at < run_at`); n != 0 {
		t.Errorf("%d jobs were claimed before run_at", n)
	}
	if n := h.count(t, `SELECT count(*) FROM outbox.scheduled`); n != 1 {
		t.Errorf("%d jobs still scheduled, want 1", n)
	}
}
