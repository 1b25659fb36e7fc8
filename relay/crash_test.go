package relay_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/relay"
)

func TestCrash_AtEveryPointLeavesOneCopy(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"relay.after_claim", "relay.after_push"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			h.insert(t, "q", 20)
			_, dead := h.start(t, wiring{dieAt: point})
			dead()
			h.await(t, 1, "a ledger row without seq", unrecorded)
			h.start(t, wiring{})
			h.await(t, 0, "the batch recovered", unrecorded)
			h.onceEach(t, "q", 20)
			if n := h.count(t, `SELECT count(*) FROM outbox.jobs WHERE attempt_count <> 1 OR status <> 'dispatched'`); n != 0 {
				t.Errorf("%d jobs are not in their first attempt", n)
			}
		})
	}
}

func TestCrash_RecoveredBatchKeepsItsOrder(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.exec(t, `INSERT INTO outbox.jobs (queue_name, payload, priority) VALUES ('q', '{}', 140), ('q', '{}', 60), ('q', '{}', 140), ('q', '{}', 60)`)
	_, dead := h.start(t, wiring{dieAt: "relay.after_claim"})
	dead()
	h.start(t, wiring{})
	h.await(t, 0, "the batch recovered", unrecorded)
	var got []int64
	for _, e := range h.copies(t, "q") {
		got = append(got, e.ID)
	}
	if diff := cmp.Diff([]int64{2, 4, 1, 3}, got); diff != "" {
		t.Errorf("order of taking after recovery (-want +got):\n%s", diff)
	}
}

// A relay is frozen between claim and push; another recovers the batch; the first
// goes on. See PROTOCOL hole 8.
func TestHole08_FrozenRelayPushesNoSecondCopy(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	frozen, thaw := make(chan struct{}), make(chan struct{})
	var once atomic.Bool
	f := &faultyRedis{Redis: h.redis}
	answers := make(chan job.Pushed, 100)
	f.push = func(p job.Push, next func() (job.Pushed, error)) (job.Pushed, error) {
		done, err := next()
		if err == nil {
			answers <- done
		}
		return done, err
	}
	h.insert(t, "q", 30)
	h.start(t, wiring{redis: f, Options: relay.Options{Failpoint: func(name string) {
		if name == "relay.after_claim" && !once.Swap(true) {
			close(frozen)
			<-thaw
		}
	}}})
	<-frozen
	h.start(t, wiring{})
	h.await(t, 0, "the batch recovered", unrecorded)
	done := h.take(t, "q", 10)
	h.complete(t, done)
	close(thaw)
	devtest.Until(t, patience, "the frozen relay's push answered DUP", func() (bool, error) {
		select {
		case a := <-answers:
			return a.Dup, nil
		default:
			return false, nil
		}
	})
	h.onceEach(t, "q", 20)
}

// The same, but nothing was recovered: all jobs were cancelled. The push comes after
// its deadline, when Redis may have forgotten everything about the batch.
func TestHole08_LatePushIsRefused(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	frozen, thaw := make(chan struct{}), make(chan struct{})
	var once atomic.Bool
	answers := make(chan error, 100)
	f := &faultyRedis{Redis: h.redis, push: func(p job.Push, next func() (job.Pushed, error)) (job.Pushed, error) {
		done, err := next()
		answers <- err
		return done, err
	}}
	h.insert(t, "q", 3)
	h.start(t, wiring{redis: f, Options: relay.Options{Failpoint: func(name string) {
		if name == "relay.after_claim" && !once.Swap(true) {
			close(frozen)
			<-thaw
		}
	}}})
	<-frozen
	h.exec(t, `SELECT outbox.cancel(id) FROM outbox.jobs`)
	began := time.Now()
	h.await(t, 0, "the order carried", `SELECT count(*) FROM outbox.cancels`)
	devtest.Until(t, patience, "the deadline to pass on Redis' clock", func() (bool, error) {
		return time.Since(began) > 10500*time.Millisecond, nil
	})
	h.exec(t, `SELECT outbox.redrive(id) FROM outbox.jobs`)
	close(thaw)
	if err := <-answers; !errors.Is(err, job.ErrLate) {
		t.Errorf("push after the deadline = %v, want ErrLate", err)
	}
	h.await(t, 3, "the redriven jobs dispatched", dispatched)
	h.await(t, 0, "recorded", unrecorded)
	h.onceEach(t, "q", 3)
}

// Recovery by job id alone would push a later attempt twice. See PROTOCOL hole 9.
func TestHole09_RecoveryLeavesLaterAttemptsAlone(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.insert(t, "q", 5)
	_, dead := h.start(t, wiring{dieAt: "relay.after_claim"})
	dead()
	h.exec(t, `SELECT outbox.cancel(id), outbox.redrive(id) FROM outbox.jobs WHERE id <= 2`)
	h.exec(t, `SELECT outbox.cancel(id) FROM outbox.jobs WHERE id = 3`)
	h.exec(t, `SELECT outbox.redrive(id) FROM outbox.jobs WHERE id <= 2 AND status = 'cancelled'`)
	h.start(t, wiring{})
	h.await(t, 4, "four dispatched", dispatched)
	h.await(t, 0, "all recorded", unrecorded)
	h.onceEach(t, "q", 4)
	var again []int64
	for _, e := range h.take(t, "q", 4) {
		if e.AttemptCount == 2 {
			again = append(again, e.ID)
		}
		if e.ID == 3 {
			t.Error("the cancelled job was pushed")
		}
	}
	if diff := cmp.Diff([]int64{1, 2}, again); diff != "" {
		t.Errorf("second attempts (-want +got):\n%s", diff)
	}
}

// Rows that a worker holds in Postgres, and rows of ended epochs, are nobody's to
// push. See PROTOCOL hole 5.
func TestHole05_RecoveryLeavesHeldAndEndedRowsAlone(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.insert(t, "q", 3)
	_, dead := h.start(t, wiring{dieAt: "relay.after_claim"})
	dead()
	h.exec(t, `UPDATE outbox.dispatches SET lease_until = now() + interval '1 hour', worker_id = 'w', created_at = created_at - interval '1 minute'`)
	h.exec(t, `INSERT INTO outbox.queues (name) VALUES ('other')`)
	r, _ := h.start(t, wiring{})
	h.insert(t, "other", 1)
	h.take(t, "other", 1)
	h.await(t, 1, "two turns of recovery", `SELECT count(*) FROM outbox.processes WHERE id = $1 AND started_at < now() - interval '3 seconds'`, r.ID())
	h.onceEach(t, "q", 0)
	h.await(t, 0, "rows taken over", `SELECT count(*) FROM outbox.dispatches WHERE relay_id = $1 AND queue_name = 'q'`, r.ID())
	h.flush(t) // and now the row's epoch ends, and its Postgres lease with it
	h.await(t, 2, "the next epoch", `SELECT epoch FROM outbox.queues WHERE name = 'q'`)
	h.exec(t, `UPDATE outbox.dispatches SET lease_until = NULL`)
	h.await(t, 3, "settled and handed out again", `SELECT count(*) FROM outbox.jobs WHERE queue_name = 'q' AND attempt_count = 2 AND lost_count = 0 AND status = 'dispatched'`)
	h.onceEach(t, "q", 3)
}

// A relay whose failed pushes others have recovered has its whole credit back.
func TestCrash_RefusedPushesCostNoCreditForEver(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.exec(t, `INSERT INTO outbox.queues (name, window_size) VALUES ('q', 100)`)
	h.insert(t, "q", 90)
	var refused atomic.Bool
	f := &faultyRedis{Redis: h.redis, push: func(p job.Push, next func() (job.Pushed, error)) (job.Pushed, error) {
		if !refused.Swap(true) {
			return job.Pushed{}, job.ErrUnavailable
		}
		return next()
	}}
	_, stop := h.start(t, wiring{redis: f, store: &noRecovery{Store: h.store}})
	h.await(t, 90, "claimed", dispatched)
	_, stopOther := h.start(t, wiring{})
	h.await(t, 0, "recovered by the other", unrecorded)
	stopOther()
	h.complete(t, h.take(t, "q", 90))
	h.insert(t, "q", 90)
	h.await(t, 90, "the first relay dispatching again", dispatched)
	stop()
}
