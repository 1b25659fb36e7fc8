package db_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/penguinmails/rookery/job"
)

// After a lock_timeout Reconcile says whose row it was, so that the others need not
// wait for it.
func TestReconcile_NamesLockedJobs(t *testing.T) {
	t.Parallel()
	w := newWorld(t).hasty()
	ids := w.insert(5)
	batch := w.claim(5)
	var ends []job.Outcome
	for _, ref := range batch.Refs() {
		ends = append(ends, job.Outcome{Ref: ref, Kind: job.Succeeded})
	}
	tx := w.begun()
	w.in(tx, "SELECT FROM outbox.jobs WHERE id = $1 FOR UPDATE", ids[2])
	_, err := w.Reconcile(t.Context(), worker, ends)
	var busy *job.BusyError
	if !errors.As(err, &busy) || !errors.Is(err, job.ErrConflict) || !cmp.Equal(busy.IDs, ids[2:3]) {
		t.Fatalf("Reconcile(5 jobs, the third locked) = %v, want a BusyError of %v", err, ids[2:3])
	}
	if n := get[int](w, "SELECT count(*) FROM outbox.jobs WHERE status = 'completed'"); n != 0 {
		t.Errorf("after it %d jobs are completed, want none", n)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := w.Reconcile(t.Context(), worker, ends); err != nil || len(got) != 5 {
		t.Errorf("Reconcile(5 jobs) = %d verdicts, %v, want 5", len(got), err)
	}
}

// So does Hold: a worker that cannot hold one attempt must not lose the others.
func TestHold_NamesLockedJobs(t *testing.T) {
	t.Parallel()
	w := newWorld(t).hasty()
	ids := w.insert(5)
	batch := w.claim(5)
	tx := w.begun()
	w.in(tx, "SELECT FROM outbox.jobs WHERE id = $1 FOR UPDATE", ids[2])
	hold := job.Hold{QueueName: queue, WorkerID: worker, DispatchID: 77, Lease: time.Minute, Refs: batch.Refs()}
	_, err := w.Hold(t.Context(), hold)
	var busy *job.BusyError
	if !errors.As(err, &busy) || !errors.Is(err, job.ErrUndone) || !cmp.Equal(busy.IDs, ids[2:3]) {
		t.Fatalf("Hold(5 jobs, the third locked) = %v, want a BusyError of %v, and that nothing was done", err, ids[2:3])
	}
	if n := get[int](w, "SELECT count(*) FROM outbox.jobs WHERE dispatch_id = 77"); n != 0 {
		t.Errorf("after it %d jobs are held, want none", n)
	}
	hold.Refs = append(hold.Refs[:2:2], hold.Refs[3:]...)
	if got, err := w.Hold(t.Context(), hold); err != nil || len(got) != 4 {
		t.Errorf("Hold(the other 4) = %v, %v, want 4", got, err)
	}
}

// A job that somebody has locked keeps its ledger row, and no other job. A renewal that
// waited for that row sees the jobs as they were, and must not take the others for current.
func TestTakeBackHeld_LockedJobKeepsItsRow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ids := w.insert(3)
	refs := slices.Concat(w.claim(1).Refs(), w.claim(1).Refs(), w.claim(1).Refs())
	w.holdRefs(far, time.Millisecond, refs...)
	w.until("the lease to end", "SELECT lease_until < now() FROM outbox.dispatches WHERE id = $1", far)
	locker, taking := w.begun(), w.begun()
	w.in(locker, "SELECT FROM outbox.jobs WHERE id = $1 FOR UPDATE", ids[1])
	w.in(taking, statements(t)["TakeBackHeld"], time.Now().Add(time.Hour))
	renewed := make(chan []job.Ref, 1)
	go func() {
		current, _, err := w.Renew(t.Context(), worker, time.Millisecond, []int64{far})
		if err != nil {
			t.Errorf("Renew = %v", err)
		}
		renewed <- current
	}()
	w.waitsForLock()
	if err := taking.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := <-renewed, []job.Ref{{ID: ids[1], DispatchID: far}}; !cmp.Equal(got, want) {
		t.Errorf("Renew beside it = %v, want %v, which was not taken back", got, want)
	}
	if got, want := get[[]int64](w, "SELECT job_ids FROM outbox.dispatches WHERE id = $1", far), ids[1:2]; !cmp.Equal(got, want) {
		t.Errorf("jobs in the ledger row = %v, want %v", got, want)
	}
	if s, err := w.LeaseStanding(t.Context(), refs[1]); err != nil || !s.Ours || !s.Moved {
		t.Errorf("LeaseStanding of what is left = %+v, %v, want it to be found by the dispatch it had", s, err)
	}
	for _, id := range []int64{ids[0], ids[2]} {
		if got := w.traces(id); got.Status != job.Queued || got.Ready != 1 || got.LostCount != 1 {
			t.Errorf("job %d, which nobody has locked: %+v, want it ready and lost once", id, got)
		}
	}
	if err := locker.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.until("the lease to end again", "SELECT lease_until < now() FROM outbox.dispatches WHERE id = $1", far)
	if back := w.takeBackHeld(time.Hour); back != 1 {
		t.Errorf("TakeBackHeld of the last one = %d, want 1", back)
	}
	if get[bool](w, "SELECT EXISTS (SELECT FROM outbox.dispatches WHERE id = $1)", far) {
		t.Error("the ledger row is left")
	}
}

// A claim that is told to passes by what is locked, takes as many of the others as it
// may, and does not wait.
func TestClaim_SkipsLockedJobs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	all := w.insert(6)
	locker := w.begun()
	w.in(locker, "SELECT FROM outbox.jobs WHERE id = ANY ($1) FOR NO KEY UPDATE", []int64{all[0], all[2]})
	c := order(3)
	c.SkipLocked = true
	b, err := w.Claim(t.Context(), c)
	if want := []int64{all[1], all[3], all[4]}; err != nil || !cmp.Equal(ids(b), want) {
		t.Errorf("Claim(3), the first and the third locked = %s, %v, want %v", idsOf(b), err, want)
	}
	c.DispatchID++
	if b, err = w.Claim(t.Context(), c); err != nil || !cmp.Equal(ids(b), all[5:]) {
		t.Errorf("Claim of what is left = %s, %v, want %v", idsOf(b), err, all[5:])
	}
	if err := locker.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.DispatchID++
	if b, err = w.Claim(t.Context(), c); err != nil || len(b.Jobs) != 2 {
		t.Errorf("Claim once they are free = %s, %v, want both", idsOf(b), err)
	}
}
