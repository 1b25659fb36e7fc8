package relay_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/relay"
)

// Each step of a look with something in between: whatever moves, nothing is missing.
// See PROTOCOL hole 6, the letters.
func TestHole06_WhatMovesDuringALookIsNotMissing(t *testing.T) {
	t.Parallel()
	type step struct {
		what            string
		absent, waiting func(t *testing.T, h *house, n int) // before the nth call
	}
	var parked sync.Map // what a step has taken, by house
	takeOne := func(t *testing.T, h *house) []job.Envelope {
		t.Helper()
		got, err := h.redis.Take(t.Context(), h.taking(t, "q", 1, time.Minute))
		if err != nil {
			t.Error(err)
		}
		return got.Jobs
	}
	for _, s := range []step{
		{what: "d: taken after it was asked for and before the lists are read", waiting: func(t *testing.T, h *house, n int) {
			if n%3 == 1 {
				takeOne(t, h)
			}
		}},
		{what: "d: taken, and released behind the reader", waiting: func(t *testing.T, h *house, n int) {
			switch n % 3 {
			case 1:
				parked.Store(h, takeOne(t, h))
			case 0: // the normal band has been read
				jobs, _ := parked.Load(h)
				if err := h.redis.Release(t.Context(), "q", 1, jobs.([]job.Envelope)); err != nil {
					t.Error(err)
				}
			}
		}},
		{what: "taken, run and acked during the look", waiting: func(t *testing.T, h *house, n int) {
			if n%3 == 1 {
				h.complete(t, takeOne(t, h))
			}
		}},
		{what: "taken, failed and dispatched again during the look", waiting: func(t *testing.T, h *house, n int) {
			if n%3 != 1 {
				return
			}
			jobs := takeOne(t, h)
			if _, err := h.store.Reconcile(t.Context(), "w", []job.Outcome{{Ref: jobs[0].Ref(), Kind: job.Failed}}); err != nil {
				t.Error(err)
			}
			if err := h.redis.Ack(t.Context(), "q", 1, job.Batch{Jobs: jobs}.Refs()); err != nil {
				t.Error(err)
			}
			h.await(t, 8, "dispatched again", `SELECT count(*) FROM outbox.jobs WHERE status = 'dispatched'`)
		}},
		{what: "lease ended and reaped during the look", absent: func(t *testing.T, h *house, n int) {
			if n%2 == 0 {
				return
			}
			jobs, err := h.redis.Take(t.Context(), h.taking(t, "q", 1, time.Millisecond))
			if err != nil {
				t.Error(err)
			}
			var lost []job.LostAttempt
			devtest.Until(t, patience, "an ended lease", func() (bool, error) {
				lost, err = h.redis.Expired(t.Context(), "q", 1, job.NoDeadline, 1)
				return len(lost) == 1, err
			})
			if _, err := h.store.Requeue(t.Context(), job.Requeue{QueueName: "q", Epoch: 1, Attempts: lost}); err != nil {
				t.Error(err)
			}
			if err := h.redis.Drop(t.Context(), "q", 1, job.Batch{Jobs: jobs.Jobs}.Refs()); err != nil {
				t.Error(err)
			}
		}},
		{what: "held in lost by a reaper that stands still", absent: func(t *testing.T, h *house, n int) {
			if n > 1 {
				return
			}
			if _, err := h.redis.Take(t.Context(), h.taking(t, "q", 1, time.Millisecond)); err != nil {
				t.Error(err)
			}
			devtest.Until(t, patience, "an ended lease", func() (bool, error) {
				lost, err := h.redis.Expired(t.Context(), "q", 1, job.NoDeadline, 1)
				return len(lost) == 1, err
			})
		}},
		{what: "i: held in Postgres during the look", absent: func(t *testing.T, h *house, n int) {
			if n > 1 {
				return
			}
			jobs := takeOne(t, h)
			hold := job.Hold{QueueName: "q", WorkerID: "w", DispatchID: job.NewDispatchID(), Lease: time.Hour, Refs: job.Batch{Jobs: jobs}.Refs()}
			if held, err := h.store.Hold(t.Context(), hold); len(held) != 1 || err != nil {
				t.Errorf("Hold = %v, %v", held, err)
			}
			if err := h.redis.Drop(t.Context(), "q", 1, hold.Refs); err != nil { // as the reaper will
				t.Error(err)
			}
			h.aged(t)
		}},
	} {
		t.Run(s.what, func(t *testing.T) {
			t.Parallel()
			h := filled(t, 8)
			w := &watched{Redis: h.redis}
			a := h.auditor(t, wiring{redis: w})
			bind := func(hook func(*testing.T, *house, int)) func(int) {
				if hook == nil {
					return nil
				}
				return func(n int) { hook(t, h, n) }
			}
			w.absent, w.waiting = bind(s.absent), bind(s.waiting)
			for range 2 {
				if a.looks(t, 1); a.Suspects() != 0 {
					t.Errorf("a look suspects %d attempts", a.Suspects())
				}
			}
			w.absent, w.waiting = nil, nil
			a.looks(t, 2)
			a.found(t, 0)
			if len(w.calls) == 0 {
				t.Error("the audit has not looked at Redis")
			}
		})
	}
}

// a, b: a batch that no seq is recorded of, or a later one than Redis had accepted
// when the auditor asked, is none of the audit's business.
func TestHole06_WhatIsPushedDuringALookIsNotMissing(t *testing.T) {
	t.Parallel()
	h := filled(t, 3)
	a := h.auditor(t, wiring{}) // knows seq 1
	h.insert(t, "q", 1)
	h.await(t, 4, "dispatched", dispatched)
	h.await(t, 0, "recorded", unrecorded)
	h.aged(t)
	late := h.copies(t, "q")[3]
	h.remove(t, late)
	h.exec(t, `INSERT INTO outbox.dispatches (id, queue_name, job_ids, epoch, relay_id, created_at, taken_at)
		VALUES (77, 'q', '{4711}', 1, 'x', now() - interval '1 hour', now() + interval '1 hour')`) // claimed, its push under way
	a.looks(t, 4)
	a.found(t, 0)
	if n := total(t, a.metrics, "rookery_relay_audited_jobs_total"); n != 4*3 {
		t.Errorf("looked for %g attempts in four looks, want 12", n)
	}
	if err := a.Acquaint(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.looks(t, 2)
	a.found(t, 1)
}

// f: an attempt that is leased at the last moment after all is neither called off nor
// taken back.
func TestHole06_LeasedAtTheLastMomentIsLeftAlone(t *testing.T) {
	t.Parallel()
	h := filled(t, 3)
	e := h.copies(t, "q")[1]
	h.remove(t, e)
	w := &watched{Redis: h.redis}
	a := h.auditor(t, wiring{redis: w})
	w.entomb = func(int) {
		if _, err := h.redis.Announce(t.Context(), "q", 1, time.Minute, []job.Ref{e.Ref()}); err != nil {
			t.Error(err)
		}
	}
	a.looks(t, 4)
	a.found(t, 0)
	if n := h.count(t, `SELECT count(*) FROM outbox.jobs WHERE attempt_count = 1 AND status = 'dispatched'`); n != 3 {
		t.Errorf("%d jobs in their first attempt, want 3", n)
	}
	if n := h.raw.Exists(t.Context(), "queue:{q}:cancelled").Val(); n != 0 {
		t.Error("a leased attempt was called off")
	}
}

// g: an auditor that is frozen while Redis loses everything, or while a worker
// announces in the next epoch, changes nothing when it goes on.
func TestHole06_ZombieAuditorIsRefused(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"before it calls off", "before it takes back"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			h := filled(t, 3)
			e := h.copies(t, "q")[1]
			h.remove(t, e)
			flushed := func() {
				h.flush(t)
				h.await(t, 2, "the next epoch", `SELECT epoch FROM outbox.queues WHERE name = 'q'`)
				devtest.Until(t, patience, "it is open", func() (bool, error) {
					_, err := h.redis.Announce(t.Context(), "q", 2, time.Minute, []job.Ref{e.Ref()})
					return err == nil, nil
				})
			}
			w := &watched{Redis: h.redis}
			wire := wiring{redis: w}
			if point == "before it calls off" {
				w.entomb = func(int) { flushed() }
			} else {
				wire.Failpoint = func(name string) {
					if name == "relay.after_entomb" {
						flushed()
					}
				}
			}
			a := h.auditor(t, wire)
			a.looks(t, 1)
			if err := a.Look(t.Context()); err != nil && !errors.Is(err, job.ErrStale) {
				t.Errorf("Look = %v", err)
			}
			a.found(t, 0)
			if n := h.count(t, `SELECT count(*) FROM outbox.jobs WHERE attempt_count = 1 AND id = $1 AND status = 'dispatched'`, e.ID); n != 1 {
				t.Error("a job that its worker has announced was taken back")
			}
		})
	}
}

// A busy queue, with takes, releases, outcomes, retries, silent workers and reaps at
// once, and audits without a pause in between, of batches of any age: they must find
// nothing, and every job must be done in the end.
func TestAudit_FindsNothingInABusyRun(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for range 2 {
		h.start(t, wiring{Options: relay.Options{Lease: quick}})
	}
	h.exec(t, `INSERT INTO outbox.queues (name, window_size) VALUES ('q', 400)`)
	h.exec(t, `INSERT INTO outbox.jobs (queue_name, payload, priority, max_attempts) SELECT 'q', '{}', 20 + n % 200, 1000 FROM generate_series(1, 3000) AS n`)
	h.await(t, 1, "a recorded batch", `SELECT least(count(*), 1) FROM outbox.dispatches WHERE seq IS NOT NULL`)
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	again := func(do func()) {
		all.Go(func() {
			for ctx.Err() == nil {
				do()
			}
		})
	}
	metrics := prometheus.NewRegistry()
	a, err := relay.New(h.store, h.redis, deaf{}, relay.Options{Lease: quick, Registerer: metrics})
	if err != nil {
		t.Fatal(err)
	}
	again(func() {
		if err := errors.Join(a.Acquaint(ctx), a.Look(ctx), a.Look(ctx)); err != nil && ctx.Err() == nil {
			t.Error(err)
		}
	})
	again(func() { _, _ = h.pool.Exec(ctx, aging) })
	for i := range 4 {
		again(func() { h.busy(ctx, t, i) })
	}
	devtest.Until(t, patience, "most jobs done", func() (bool, error) {
		return h.count(t, `SELECT count(*) FROM outbox.jobs WHERE status = 'completed'`) > 2500, nil
	})
	cancel()
	all.Wait()
	if n := total(t, metrics, "rookery_relay_audit_missing_total"); n != 0 {
		t.Errorf("the audit found %g missing", n)
	}
	if n := total(t, metrics, "rookery_relay_audited_jobs_total"); n < 1000 {
		t.Errorf("the audit looked for %g attempts only", n)
	}
	if n := h.count(t, `SELECT count(*) FROM outbox.attempts WHERE outcome = 'missing'`); n != 0 {
		t.Errorf("%d attempts were taken for missing", n)
	}
	devtest.Until(t, patience, "all jobs done", func() (bool, error) {
		got, err := h.redis.Take(t.Context(), h.taking(t, "q", 50, time.Minute))
		if err == nil {
			h.complete(t, got.Jobs)
		}
		return h.count(t, `SELECT count(*) FROM outbox.jobs WHERE status NOT IN ('completed', 'dead')`) == 0, err
	})
}

// busy is one turn of a worker that does a little of everything.
func (h *house) busy(ctx context.Context, t *testing.T, worker int) {
	take := job.Take{QueueName: "q", Epoch: 1, WorkerID: strconv.Itoa(worker), Token: strconv.FormatInt(job.NewDispatchID(), 10), Limit: 1 + rand.IntN(20), Lease: quick}
	taken, err := h.redis.Take(ctx, take)
	if err != nil || len(taken.Jobs) == 0 {
		return
	}
	var ends []job.Outcome
	var over []job.Ref
	for _, e := range taken.Jobs {
		switch n := rand.IntN(20); {
		case n == 0: // silent: its lease ends
		case n < 4:
			if err := h.redis.Release(ctx, "q", 1, []job.Envelope{e}); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		case n < 7:
			ends, over = append(ends, job.Outcome{Ref: e.Ref(), Kind: job.Failed}), append(over, e.Ref())
		default:
			ends, over = append(ends, job.Outcome{Ref: e.Ref(), Kind: job.Succeeded}), append(over, e.Ref())
		}
	}
	if len(ends) == 0 {
		return
	}
	if _, err := h.store.Reconcile(ctx, "w", ends); err != nil {
		return
	}
	_ = h.redis.Ack(ctx, "q", 1, over)
}
