package relay_test

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/relay"
)

func TestRelay_HandsOverWhatIsInserted(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start(t, wiring{})
	h.exec(t, `INSERT INTO outbox.jobs (queue_name, payload, priority) VALUES ('mail', '{"n": 1}', 100), ('mail', '{"n": 2}', 10)`)
	jobs := h.take(t, "mail", 2)
	if string(jobs[0].Payload) != `{"n": 2}` || jobs[0].AttemptCount != 1 {
		t.Fatalf("take = %+v, want the urgent one first", jobs)
	}
	h.await(t, 0, "push recorded", unrecorded)
	h.complete(t, jobs)
	h.await(t, 0, "ledger swept", `SELECT count(*) FROM outbox.dispatches`)
}

func TestRelay_ThreeSideBySideHandOverEachJobOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for range 3 {
		h.start(t, wiring{})
	}
	const producers, transactions, each = 5, 100, 10
	var wg sync.WaitGroup
	for p := range producers {
		wg.Go(func() {
			for i := range transactions {
				if i%10 == 9 {
					h.insertRolledBack(t)
				}
				if _, err := h.pool.Exec(t.Context(), `INSERT INTO outbox.jobs (queue_name, payload, priority) SELECT 'q', '{}', $1 FROM generate_series(1, $2)`, 20+40*p, each); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	h.await(t, producers*transactions*each, "all dispatched", dispatched)
	h.await(t, 0, "all pushes recorded", unrecorded)
	h.onceEach(t, "q", producers*transactions*each)
	if n := h.count(t, `SELECT count(*) FROM outbox.jobs WHERE attempt_count <> 1`); n != 0 {
		t.Errorf("%d jobs were handed out more than once", n)
	}
}

func (h *house) insertRolledBack(t *testing.T) {
	tx, err := h.pool.Begin(t.Context())
	if err == nil {
		_, err = tx.Exec(t.Context(), `INSERT INTO outbox.jobs (queue_name, payload) VALUES ('q', '{"phantom": true}')`)
	}
	if err == nil {
		err = tx.Rollback(t.Context())
	}
	if err != nil {
		t.Error(err)
	}
}

func TestRelay_ManyNewQueuesAtOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for range 2 {
		h.start(t, wiring{})
	}
	h.exec(t, `INSERT INTO outbox.jobs (queue_name, payload) SELECT 'q' || n, '{}' FROM generate_series(1, 20) AS n`)
	h.await(t, 20, "first jobs of new queues dispatched", dispatched)
	for n := range 20 {
		h.onceEach(t, fmt.Sprint("q", n+1), 1)
	}
}

func TestRelay_LargePayloadsDoNotWaitForThePoll(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start(t, wiring{poll: never})
	h.insert(t, "q", 1) // so that the queue is open
	h.take(t, "q", 1)
	h.exec(t, `INSERT INTO outbox.jobs (queue_name, payload) SELECT 'q', jsonb_build_object('text', repeat('x', 200000)) FROM generate_series(1, 24)`)
	h.await(t, 25, "5 MB dispatched, 4 jobs a batch", dispatched)
}

func TestRelay_FallingDueTogetherDoesNotHoldUpUrgentJobs(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.exec(t, `INSERT INTO outbox.jobs (queue_name, payload, run_at) SELECT 'later', '{}', now() + interval '1 hour' FROM generate_series(1, 12000)`)
	h.exec(t, `UPDATE outbox.scheduled SET run_at = now() - interval '1 minute'`)
	h.exec(t, `INSERT INTO outbox.jobs (queue_name, payload, priority) VALUES ('urgent', '{}', 0)`)
	f := &faultyStore{Store: h.store}
	h.start(t, wiring{store: f})
	h.await(t, 1, "urgent job dispatched", dispatched+` AND queue_name = 'urgent'`)
	if n := f.promotedBeforeClaim.Load(); n > 6 {
		t.Errorf("%d promotions of a thousand came before the first claim", n)
	}
	h.await(t, 0, "all promoted", `SELECT count(*) FROM outbox.scheduled`)
}

func TestRun_EndsWithAllItStarted(t *testing.T) {
	h := newHouse(t)
	h.insert(t, "q", 1)
	h.take1(t) // whatever pools start is started
	before := stacks()
	for range 3 {
		_, stop := h.start(t, wiring{Options: relay.Options{Lease: quick}})
		h.insert(t, "q", 1)
		h.take(t, "q", 1)
		began := time.Now()
		stop()
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("Run took %s to end", took)
		}
	}
	devtest.Until(t, patience, "all goroutines of the relays to end", func() (bool, error) {
		return stacks() <= before, nil
	})
}

func (h *house) take1(t *testing.T) {
	t.Helper()
	_, stop := h.start(t, wiring{})
	h.take(t, "q", 1)
	stop()
}

// stacks counts the goroutines that run code of package relay or of its listener.
func stacks() (n int) {
	buf := make([]byte, 1<<20)
	for stack := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if strings.Contains(stack, "rookery/relay.(*Relay)") || strings.Contains(stack, "db.(*Listener)") {
			n++
		}
	}
	return n
}
