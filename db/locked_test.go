package db_test

import (
	"errors"
	"testing"

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
