package relay_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/penguinmails/rookery/db"
	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/relay"
)

// latency waits until a job is dispatched, and returns how long after from that was,
// by this process' clock.
func (h *house) latency(t *testing.T, from time.Time, id int64) time.Duration {
	t.Helper()
	for {
		var out bool
		if err := h.pool.QueryRow(t.Context(), `SELECT status = 'dispatched' FROM outbox.jobs WHERE id = $1`, id).Scan(&out); err != nil {
			t.Fatal(err)
		}
		if now := time.Now(); out {
			return now.Sub(from)
		} else if now.Sub(from) > patience {
			t.Fatalf("job %d is not dispatched", id)
		}
	}
}

// gateClosed reports whether producers are mute.
func (h *house) gateClosed(t *testing.T) bool {
	t.Helper()
	return h.count(t, `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 1380928331 AND objid = 1 AND mode = 'ExclusiveLock' AND granted
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`) > 0
}

// keepHot keeps a relay awake with a queue of its own until stop.
func (h *house) keepHot(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			_, _ = h.pool.Exec(ctx, `INSERT INTO outbox.jobs (queue_name, payload) VALUES ('noise', '{}')`)
			<-time.After(time.Millisecond)
		}
	})
	stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	t.Cleanup(stop)
	devtest.Until(t, patience, "the gate closed", func() (bool, error) { return h.gateClosed(t), nil })
	return stop
}

func summary(took []time.Duration) (p50, most time.Duration) {
	slices.Sort(took)
	return took[len(took)/2], took[len(took)-1]
}

func (h *house) insertIn(t *testing.T, tx pgx.Tx, queue string) (id int64) {
	t.Helper()
	if err := tx.QueryRow(t.Context(), `INSERT INTO outbox.jobs (queue_name, payload) VALUES ($1, '{}') RETURNING id`, queue).Scan(&id); err != nil {
		t.Fatal(err)
	}
	return id
}

func (h *house) begin(t *testing.T) pgx.Tx {
	t.Helper()
	tx, err := h.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	return tx
}

func commit(t *testing.T, tx pgx.Tx) time.Time {
	t.Helper()
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	return time.Now()
}

// Two producers whose inserts overlap, a long transaction and a quick one. The relay
// does not poll while it sleeps: a wake that got lost would leave its job for ever.
func TestWake_OverlappingProducers(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start(t, wiring{poll: never})
	h.insert(t, "q", 1)
	h.take(t, "q", 1)
	round := func() (quick, long time.Duration) {
		slow := h.begin(t)
		first := h.insertIn(t, slow, "q")
		fast := h.begin(t)
		second := h.insertIn(t, fast, "q")
		at := commit(t, fast)
		quick = h.latency(t, at, second)
		for time.Since(at) < 30*time.Millisecond {
			<-time.After(time.Millisecond)
		}
		at = commit(t, slow)
		return quick, h.latency(t, at, first)
	}
	for _, hot := range []bool{false, true} {
		stop := func() {}
		if hot {
			stop = h.keepHot(t)
		}
		var quicks, longs []time.Duration
		for range 20 {
			if !hot {
				devtest.Until(t, patience, "the relay asleep", func() (bool, error) { return !h.gateClosed(t), nil })
			}
			quick, long := round()
			quicks, longs = append(quicks, quick), append(longs, long)
		}
		stop()
		q50, qMost := summary(quicks)
		l50, lMost := summary(longs)
		t.Logf("hot %v: commit to dispatched, quick producer p50 %s max %s, long producer p50 %s max %s", hot, q50, qMost, l50, lMost)
	}
}

// A producer saw the gate closed, and commits after the relay would have slept: its
// commit wakes nobody, and no poll finds its job. See PROTOCOL hole 15a.
func TestHole15_ProducerWhoSawTheGateClosedIsNotForgotten(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start(t, wiring{poll: never})
	var took []time.Duration
	for range 5 {
		stop := h.keepHot(t)
		tx := h.begin(t)
		id := h.insertIn(t, tx, "q")
		if !h.gateClosed(t) {
			t.Log("the gate opened before the insert") // a busy machine; the round still counts
		}
		stop()
		began := time.Now()
		devtest.Until(t, patience, "the transaction to be half a second old", func() (bool, error) {
			return time.Since(began) > 500*time.Millisecond, nil
		})
		took = append(took, h.latency(t, commit(t, tx), id))
	}
	p50, most := summary(took)
	t.Logf("commit to dispatched after the relay cooled down: p50 %s max %s", p50, most)
}

// Retries and snoozes do not fire the trigger on jobs; their statement wakes the
// relay itself, which would not poll. See PROTOCOL hole 13.
func TestHole13_ShortRetryWakesTheRelay(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start(t, wiring{poll: never})
	h.insert(t, "q", 1)
	var took []time.Duration
	for range 6 {
		got := h.take(t, "q", 1)
		began := time.Now()
		if _, err := h.store.Reconcile(t.Context(), "w", []job.Outcome{{Ref: got[0].Ref(), Kind: job.Snoozed, Delay: 50 * time.Millisecond}}); err != nil {
			t.Fatal(err)
		}
		took = append(took, h.latency(t, began, got[0].ID))
	}
	p50, most := summary(took)
	t.Logf("snooze of 50 ms to dispatched: p50 %s max %s", p50, most)
}

// deaf is a source that never wakes anybody: every NOTIFY is lost.
type deaf struct{}

func (deaf) Run(ctx context.Context) error      { <-ctx.Done(); return nil }
func (deaf) Woken() <-chan struct{}             { return nil }
func (deaf) Hold(context.Context) (bool, error) { return false, job.ErrUnavailable }
func (deaf) Release(context.Context) (func(context.Context) (bool, error), error) {
	return nil, job.ErrUnavailable
}

// How often it polls is TestPace_CoolsByDoublingThenOpensTheGate's.
func TestWake_WithoutNotificationsThePollFindsTheJob(t *testing.T) {
	t.Parallel()
	for name, source := range map[string]relay.Source{"deaf": deaf{}, "terminated": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			h.start(t, wiring{source: source})
			h.insert(t, "q", 1)
			h.take(t, "q", 1)
			if source == nil {
				h.await(t, 1, "the listener there", `SELECT count(*) FROM pg_stat_activity WHERE application_name = 'rookery listener' AND datname = current_database()`)
				h.exec(t, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'rookery listener' AND datname = current_database()`)
			}
			began := time.Now()
			h.insert(t, "q", 1)
			took := h.latency(t, began, 2)
			t.Logf("%s: found after %s", name, took)
		})
	}
}

// What claims skip no survey reads, or the two of them would read a million dead entries
// in turn; and when claims skip nothing any more, surveys look at the queue again.
func TestSurvey_SkipsWhatClaimsSkip(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	var slow, spared atomic.Bool
	slow.Store(true)
	f := &faultyStore{Store: h.store,
		claim: func(c job.Claim) error {
			if slow.Load() && c.Spans[0].LoID == 0 && c.Spans[0].HiPriority == job.MaxPriority {
				<-time.After(20 * time.Millisecond)
			}
			return nil
		},
		skips: func(skipped []string) { spared.Store(slices.Contains(skipped, "q")) },
	}
	h.start(t, wiring{store: f})
	const jobs = 40
	for range jobs {
		h.insert(t, "q", 1)
		h.insert(t, "other", 1)
	}
	h.await(t, 2*jobs, "all dispatched", dispatched)
	devtest.Until(t, patience, "a survey that skips q", func() (bool, error) { return spared.Load(), nil })
	h.insert(t, "q", 1)
	h.await(t, 2*jobs+1, "one more of q", dispatched)
	slow.Store(false)
	devtest.Until(t, patience, "a survey that looks at q", func() (bool, error) { return !spared.Load(), nil })
}

// Two relays, one gate: whoever does not get it polls all the same, and what both
// leave behind is open.
func TestWake_GateIsOpenWhenAllSleep(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start(t, wiring{})
	_, stopSecond := h.start(t, wiring{})
	stop := h.keepHot(t)
	stop()
	devtest.Until(t, patience, "the gate open", func() (bool, error) { return !h.gateClosed(t), nil })
	stop = h.keepHot(t)
	stopSecond()
	stop()
	devtest.Until(t, patience, "the gate open after one has gone", func() (bool, error) { return !h.gateClosed(t), nil })
}

var _ relay.Source = (*db.Listener)(nil)
