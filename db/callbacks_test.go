package db_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/penguinmails/rookery/job"
)

// A token goes on when its attempt's worker holds it in Postgres, by another fence.
func TestExtendCallback_OfWhatIsHeld(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	ref := w.out()
	held := job.Ref{ID: ref.ID, DispatchID: job.NewDispatchID()}
	w.holdRefs(held.DispatchID, time.Minute, ref)
	if _, err := w.ExtendCallback(ctx, ref, time.Hour); err != nil {
		t.Errorf("ExtendCallback of an attempt that is held = %v", err)
	}
	if _, err := w.ExtendCallback(ctx, job.Ref{ID: ref.ID, DispatchID: ref.DispatchID + 1}, time.Hour); !errors.Is(err, job.ErrLeaseLost) {
		t.Errorf("ExtendCallback of another fence = %v, want %v", err, job.ErrLeaseLost)
	}
	for _, as := range []int64{held.DispatchID, ref.DispatchID} { // its worker may not have heard yet
		states, err := w.OpenAttempts(ctx, []job.OpenAttempt{{Ref: ref, HeldAs: as, AttemptCount: 1}})
		if err != nil || len(states) != 1 || !states[0].Open || !states[0].Extended || states[0].Ref != ref {
			t.Errorf("OpenAttempts = %+v, %v, want it open and extended", states, err)
		}
	}
	w.reconcile(job.Failed, 0, held)
	w.claim(1)
	if _, err := w.ExtendCallback(ctx, ref, time.Hour); !errors.Is(err, job.ErrLeaseLost) {
		t.Errorf("ExtendCallback of the attempt before = %v, want %v", err, job.ErrLeaseLost)
	}
}

// More time is for what is current, by Postgres' clock; the push worker is told.
func TestExtendCallback_OfWhatIsCurrent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	ref := w.out()
	look := func(ref job.Ref) job.OpenState {
		t.Helper()
		states, err := w.OpenAttempts(ctx, []job.OpenAttempt{{Ref: ref, HeldAs: ref.DispatchID, AttemptCount: 1}})
		if err != nil || len(states) != 1 {
			t.Fatalf("OpenAttempts = %+v, %v", states, err)
		}
		return states[0]
	}
	if s := look(ref); !s.Open || s.Extended || s.Left != 0 || s.Ended != "" {
		t.Errorf("OpenAttempts = %+v, want it open and not extended", s)
	}
	for _, d := range []time.Duration{time.Hour, time.Minute} { // it may become shorter
		until, err := w.ExtendCallback(ctx, ref, d)
		if err != nil || until.IsZero() {
			t.Fatalf("ExtendCallback = %v, %v", until, err)
		}
		if s := look(ref); !s.Open || !s.Extended || s.Left <= d-time.Minute || s.Left > d {
			t.Errorf("after %s: OpenAttempts = %+v", d, s)
		}
	}
	w.exec("UPDATE outbox.callbacks SET open_until = now() - interval '1 second'")
	if s := look(ref); !s.Extended || s.Left >= 0 {
		t.Errorf("once it is over: OpenAttempts = %+v, want a negative rest", s)
	}
	stale := ref
	stale.DispatchID++
	if _, err := w.ExtendCallback(ctx, stale, time.Hour); !errors.Is(err, job.ErrLeaseLost) {
		t.Errorf("ExtendCallback of another fence = %v, want %v", err, job.ErrLeaseLost)
	}
	if s := look(stale); s.Open || s.Ended != "" {
		t.Errorf("OpenAttempts of another fence = %+v, want it over", s)
	}
	w.reconcile(job.Succeeded, 0, ref)
	if _, err := w.ExtendCallback(ctx, ref, time.Hour); !errors.Is(err, job.ErrLeaseLost) {
		t.Errorf("ExtendCallback of what is over = %v, want %v", err, job.ErrLeaseLost)
	}
	if s := look(ref); s.Open || s.Ended != job.Completed {
		t.Errorf("OpenAttempts of what is over = %+v", s)
	}
	if s := look(job.Ref{ID: 4711, DispatchID: 1}); s.Open || s.Ended != "" {
		t.Errorf("OpenAttempts of no job = %+v", s)
	}
}

// The push worker is told what became of an attempt, also when the job has gone on
// before it asks.
func TestOpenAttempts_SayWhatBecameOfThem(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		end  func(*world, job.Ref)
		want job.Status
	}{
		"completed":  {func(w *world, ref job.Ref) { w.reconcile(job.Succeeded, 0, ref) }, job.Completed},
		"failed":     {func(w *world, ref job.Ref) { w.reconcile(job.Failed, time.Hour, ref) }, job.Queued},
		"runs again": {func(w *world, ref job.Ref) { w.reconcile(job.Failed, 0, ref); w.claim(1) }, job.Queued},
		"discarded":  {func(w *world, ref job.Ref) { w.reconcile(job.Discarded, 0, ref) }, job.Dead},
		"taken back": {func(w *world, ref job.Ref) { w.requeue(true, ref) }, ""},
		"done by another": {func(w *world, ref job.Ref) {
			w.requeue(true, ref)
			w.exec("UPDATE outbox.jobs SET status = 'completed', dispatch_id = 7, finished_at = now()")
		}, ""},
		"deleted": {func(w *world, _ job.Ref) { w.exec("DELETE FROM outbox.jobs") }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			ref := w.out()
			c.end(w, ref)
			states, err := w.OpenAttempts(t.Context(), []job.OpenAttempt{{Ref: ref, HeldAs: ref.DispatchID, AttemptCount: 1}})
			if err != nil || len(states) != 1 || states[0].Open || states[0].Ended != c.want {
				t.Errorf("OpenAttempts = %+v, %v, want it ended as %q", states, err, c.want)
			}
		})
	}
}

// Rows die of age, with an extension: with the first one, and once in a minute then.
func TestExtendCallback_ForgetsOldRows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ref := w.out()
	rows := func(from, n int, age string) {
		w.exec(fmt.Sprintf(`INSERT INTO outbox.callbacks (job_id, dispatch_id, open_until, noted_at)
			SELECT n, n, now(), now() - interval '%s' FROM generate_series(%d, %d) AS n`, age, from, from+n-1))
	}
	extend := func(what string, want int) {
		t.Helper()
		if _, err := w.ExtendCallback(t.Context(), ref, time.Minute); err != nil {
			t.Fatal(err)
		}
		if n := get[int](w, "SELECT count(*) FROM outbox.callbacks"); n != want {
			t.Errorf("%s: %d rows are left, want %d", what, n, want)
		}
	}
	rows(1_000_001, 150, "26 hours")
	rows(2_000_001, 50, "24 hours")
	extend("the first extension", 51) // the young ones, and the attempt's
	rows(1_000_001, 150, "26 hours")
	w.PrunedCallbacks(time.Hour) // ahead, however slow the machine is
	extend("within the minute", 201)
	w.PrunedCallbacks(-time.Minute)
	extend("a minute later", 51)
}
