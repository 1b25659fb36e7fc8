package db_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
)

// A statement killed after its UPDATE of jobs and before its last narrow row leaves
// nothing of either behind. A row of the same key, inserted by an open transaction,
// stops it at that very place.
func TestHole13_KilledBetweenStatusAndNarrowRow(t *testing.T) {
	t.Parallel()
	const (
		intoReady    = "INSERT INTO outbox.ready SELECT queue_name, priority, id, outbox.size_of(payload, headers) FROM outbox.jobs WHERE id = $1"
		intoLost     = "INSERT INTO outbox.ready SELECT queue_name, -1, id, outbox.size_of(payload, headers) FROM outbox.jobs WHERE id = $1"
		intoAttempts = "INSERT INTO outbox.attempts (job_id, attempt_count, outcome) VALUES ($1, 1, 'x')"
		intoDead     = "INSERT INTO outbox.dead_letters (job_id, queue_name, kind, reason) VALUES ($1, 'mail', '', 'x')"
		intoCancels  = "INSERT INTO outbox.cancels (job_id, dispatch_id, queue_name) SELECT id, dispatch_id, queue_name FROM outbox.jobs WHERE id = $1"
		intoLedger   = "INSERT INTO outbox.dispatches (id, queue_name, job_ids, epoch, relay_id) VALUES (4711, 'mail', ARRAY[$1::bigint], 1, 'x')"
	)
	claim := func(w *world, _ job.Ref) error {
		c := order(1)
		c.DispatchID = 4711
		_, err := w.Claim(w.Context(), c)
		return err
	}
	for _, tt := range []struct {
		name, stop string
		from       job.Status
		do         func(*world, job.Ref) error
	}{
		{"claim", intoLedger, job.Queued, claim},
		{"fail before attempts", intoAttempts, job.Running, outcome(job.Failed, 0)},
		{"fail before ready", intoReady, job.Running, outcome(job.Failed, 0)},
		{"snooze before ready", intoReady, job.Dispatched, outcome(job.Snoozed, 0)},
		{"discard before dead_letters", intoDead, job.Running, outcome(job.Discarded, 0)},
		{"lose before ready", intoLost, job.Running, requeued(true)},
		{"missing before ready", intoReady, job.Dispatched, requeued(false)},
		{"cancel before cancels", intoCancels, job.Dispatched, byHand((*world).cancel)},
		{"redrive before ready", intoReady, job.Dead, byHand((*world).redrive)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			ref := w.bring(tt.from)
			want := w.traces(ref.ID)
			tx := w.begun()
			w.in(tx, tt.stop, ref.ID)
			done := make(chan error, 1)
			go func() { done <- tt.do(w, ref) }()
			w.waitsForLock()
			w.exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
			if err := <-done; err == nil {
				t.Error("the statement that was killed says nothing")
			}
			if err := tx.Rollback(t.Context()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, w.traces(ref.ID)); diff != "" {
				t.Errorf("(-before +after):\n%s", diff)
			}
			if err := tt.do(w, ref); err != nil { // a session that was killed is not used again
				t.Errorf("sent again: %v", err)
			}
			if cmp.Equal(want, w.traces(ref.ID)) {
				t.Error("sent again, it changed nothing")
			}
		})
	}
}

// A cancel that races with a return of its job leaves a stale row in ready. A redrive
// must not trust it: a claim may be dropping it at that moment.
func TestHole13_RedriveWhileAClaimDropsAStaleRow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ids := w.insert(2) // the claim stops at the first, and comes to the second later
	w.exec("UPDATE outbox.jobs SET status = 'cancelled', finished_at = now() WHERE id = $1", ids[1])
	tx := w.begun()
	w.in(tx, "SELECT FROM outbox.jobs WHERE id = $1 FOR UPDATE", ids[0])
	claimed := make(chan error, 1)
	go func() {
		_, err := w.Claim(context.Background(), order(2))
		claimed <- err
	}()
	w.waitsForLock()
	redriven := make(chan error, 1)
	go func() {
		_, err := w.Redrive(context.Background(), ids[1])
		redriven <- err
	}()
	devtest.Until(t, patience, "the redrive to end or to wait", func() (bool, error) {
		if len(redriven) > 0 {
			return true, nil
		}
		return get[int](w, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") == 2, nil
	})
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-claimed; err != nil {
		t.Fatalf("Claim: %v", err)
	}
	if err := <-redriven; err != nil {
		t.Fatalf("Redrive: %v", err)
	}
	if s := w.traces(ids[1]); s.Status != job.Queued || s.Ready != 1 {
		t.Errorf("the redriven job = %+v, want queued and ready", s)
	}
}

func (w *world) walk(after int64) job.Walk {
	w.Helper()
	got, err := w.Walk(w.Context(), after)
	if err != nil {
		w.Fatalf("Walk(%d): %v", after, err)
	}
	return got
}

func TestHole13_WalkFilesStraysAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ids := w.insert(4)
	later := get[int64](w, "INSERT INTO outbox.jobs (queue_name, run_at) VALUES ('mail', now() + interval '1 hour') RETURNING id")
	w.exec("DELETE FROM outbox.ready WHERE job_id = $1", ids[1])
	w.exec("DELETE FROM outbox.scheduled WHERE job_id = $1", later)
	w.exec("UPDATE outbox.ready SET priority = -1 WHERE job_id = $1", ids[2]) // where a lost job stands

	want := job.Walk{Seen: 5, LastID: later, Strays: []int64{ids[1], later}, Orphans: []int64{}}
	if diff := cmp.Diff(want, w.walk(0)); diff != "" {
		t.Errorf("Walk (-want +got):\n%s", diff)
	}
	want.Strays = []int64{}
	if diff := cmp.Diff(want, w.walk(0)); diff != "" {
		t.Errorf("Walk again (-want +got):\n%s", diff)
	}
	if b := w.claim(500); len(b.Jobs) < 4 {
		t.Errorf("Claim = %d jobs, want the four due ones", len(b.Jobs))
	}
}

func TestHole13_WalkTakesOrphansBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.insert(3)
	b := w.claim(2)
	lone := w.claim(1).Jobs[0].Ref()
	w.reconcile(job.Started, 0, b.Refs()[0])
	w.exec("DELETE FROM outbox.dispatches WHERE id = $1", b.DispatchID)

	got := w.walk(0)
	slices.Sort(got.Orphans)
	want := []int64{b.Jobs[0].ID, b.Jobs[1].ID}
	slices.Sort(want)
	if !slices.Equal(got.Orphans, want) || len(got.Strays) != 0 {
		t.Errorf("Walk = %+v, want orphans %v", got, want)
	}
	for _, id := range want {
		if s := w.traces(id); s.Status != job.Queued || s.Ready != 1 {
			t.Errorf("orphan = %+v, want queued and ready", s)
		}
	}
	if s := w.traces(lone.ID); s.Status != job.Dispatched {
		t.Errorf("a job that is in the ledger = %+v, want it left alone", s)
	}
	if n := w.reconcile(job.Succeeded, 0, b.Refs()...); n != 0 {
		t.Errorf("outcomes of orphaned attempts accepted = %d, want none", n)
	}
}

func TestHole13_WalkGoesOnFromItsCursor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ids := w.insert(1500)
	first := w.walk(0)
	if first.Seen != 1000 || first.LastID != ids[999] {
		t.Errorf("Walk = %+v, want 1000 jobs up to %d", first, ids[999])
	}
	if second := w.walk(first.LastID); second.Seen != 500 || second.LastID != ids[1499] {
		t.Errorf("Walk = %+v, want 500 jobs up to %d", second, ids[1499])
	}
	if end := w.walk(ids[1499]); end.Seen != 0 || end.LastID != 0 {
		t.Errorf("Walk at the end = %+v, want nothing", end)
	}
}

// One statement sees one state of all four tables, so a walk raises no alarm while
// everything moves.
func TestHole13_WalkFindsNothingUnderLoad(t *testing.T) {
	t.Parallel()
	const jobs = 3000
	w := newWorld(t)
	ids := w.insert(jobs)
	w.exec("UPDATE outbox.jobs SET max_attempts = 1000")
	var open atomic.Int64 // jobs that may still move
	open.Store(jobs)
	left := func() bool { return open.Load() > 0 }
	run := func(ctx context.Context) error {
		for left() {
			b, err := w.Claim(ctx, order(40))
			if err != nil {
				return fmt.Errorf("claim: %w", err)
			}
			var ends []job.Outcome
			lost := job.Requeue{QueueName: queue, Epoch: 1}
			for _, ref := range b.Refs() {
				switch n := rand.IntN(10); {
				case n < 6:
					ends = append(ends, job.Outcome{Ref: ref, Kind: job.Succeeded})
				case n < 7:
					ends = append(ends, job.Outcome{Ref: ref, Kind: job.Failed})
				case n < 9:
					ends = append(ends, job.Outcome{Ref: ref, Kind: job.Snoozed, Delay: time.Millisecond})
				default:
					lost.Attempts = append(lost.Attempts, job.LostAttempt{Ref: ref})
				}
			}
			verdicts, err := w.Reconcile(ctx, worker, ends)
			if err != nil {
				return fmt.Errorf("reconcile: %w", err)
			}
			for _, v := range verdicts {
				if v.Status.Terminal() {
					open.Add(-1)
				}
			}
			if _, err := w.Requeue(ctx, lost); err != nil {
				return fmt.Errorf("requeue: %w", err)
			}
			if _, _, err := w.Promote(ctx, time.Time{}); err != nil {
				return fmt.Errorf("promote: %w", err)
			}
		}
		return nil
	}
	cancel := func(ctx context.Context) error {
		for i := 0; i < len(ids); i += 7 {
			done, err := w.Cancel(ctx, ids[i])
			if err != nil {
				return fmt.Errorf("cancel: %w", err)
			}
			if done {
				open.Add(-1)
			}
		}
		return nil
	}
	walks := 0
	walk := func(ctx context.Context) error {
		for from := int64(0); left(); walks++ {
			got, err := w.Walk(ctx, from)
			if err != nil {
				return fmt.Errorf("walk: %w", err)
			}
			if len(got.Strays)+len(got.Orphans) > 0 {
				return fmt.Errorf("walk found strays %v and orphans %v", got.Strays, got.Orphans)
			}
			from = got.LastID
		}
		return nil
	}
	sweep := func(ctx context.Context) error {
		for from := (job.Cursor{}); left(); {
			got, err := w.Sweep(ctx, from)
			if err != nil {
				return fmt.Errorf("sweep: %w", err)
			}
			if from = got.Next; got.Seen < 50 {
				from = job.Cursor{}
			}
		}
		return nil
	}
	w.all(run, run, cancel, walk, sweep)
	if n := get[int](w, "SELECT count(*) FROM outbox.jobs WHERE status NOT IN ('completed', 'cancelled')"); n != 0 {
		t.Errorf("jobs that are not over = %d, want none", n)
	}
	t.Logf("%d steps of the walk", walks)
}
