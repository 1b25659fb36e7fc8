package db_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/penguinmails/rookery/job"
)

// After a lock_timeout Reconcile says whose row it was, so that the others need not
// wait for it.
func TestReconcile_NamesLockedJobs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
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
	w := newWorld(t)
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
