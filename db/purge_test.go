package db_test

import (
	"testing"

	"github.com/penguinmails/rookery/job"
)

// purge begins a purge of the queue.
func (w *world) purge() job.Operation {
	w.Helper()
	return w.begins(job.ActionPurge, job.Listing{QueueName: queue}, "me")
}

// batch does one batch; found happens when the jobs of it have been found, and none is locked.
func (w *world) batch(id int64, found func()) job.Operation {
	w.Helper()
	o, held, err := w.WorkOperation(w.Context(), job.Turn{ID: id, Holder: "me", Found: found})
	if err != nil || !held {
		w.Fatalf("WorkOperation = %+v, %t, %v", o, held, err)
	}
	return o
}

func (w *world) wantStatus(what string, want job.Status, ids ...int64) {
	w.Helper()
	for _, id := range ids {
		if got := w.traces(id).Status; got != want {
			w.Errorf("%s: job %d is %s, want %s", what, id, got, want)
		}
	}
}

// What a purge has found waiting may go on before its row is locked.
func TestPurge_BetweenFindingAndLocking(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	begins, ends, taken := w.out(), w.out(), w.out()
	w.exec("INSERT INTO outbox.jobs (queue_name, priority) VALUES ('mail', 1), ('mail', 500)")
	claimed, waits := taken.ID+1, taken.ID+2
	o := w.purge()
	o = w.batch(o.ID, func() {
		w.reconcile(job.Started, 0, begins)
		w.reconcile(job.Succeeded, 0, ends)
		if got := w.claim(1).Jobs; len(got) != 1 || got[0].ID != claimed {
			t.Errorf("claimed %+v, want job %d", got, claimed)
		}
	})
	w.wantStatus("begun meanwhile", job.Running, begins.ID)
	w.wantStatus("ended meanwhile", job.Completed, ends.ID)
	w.wantStatus("taken, or handed out meanwhile, or waiting", job.Cancelled, taken.ID, claimed, waits)
	if n := get[int](w, "SELECT count(*) FROM outbox.cancels"); n != 2 {
		t.Errorf("%d orders to workers, want 2: of those that were handed out", n)
	}
	if o.Status != job.OperationCompleted || o.Matched != 5 || o.Done != 3 || o.Failed != 2 {
		t.Errorf("operation = %+v, want 3 of 5 done", o)
	}
	w.wantRunsOn(begins)
}

// wantRunsOn says that an attempt is current and may end as it likes.
func (w *world) wantRunsOn(ref job.Ref) {
	w.Helper()
	w.reconcile(job.Succeeded, 0, ref)
	w.wantStatus("after its success", job.Completed, ref.ID)
}

// Between two batches jobs go from list to list: on to Redis, and, when that has lost them,
// back to where the purge has been.
func TestPurge_BetweenItsBatches(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	lost, held := w.out(), w.out()
	many := w.insert(job.BulkBatch + 2)
	o := w.purge()
	if o = w.batch(o.ID, nil); o.Status != job.OperationRunning || o.Done != job.BulkBatch {
		t.Fatalf("the first batch = %+v, want %d done and more to do", o, job.BulkBatch)
	}
	after := w.insert(1)[0]
	// The purge stands in ready, behind most: of what is left one is handed out and begins, one
	// is handed out, and one comes back to the front.
	handed := w.claim(1).Jobs[0]
	w.requeue(false, lost)
	w.exec("DELETE FROM outbox.dispatches WHERE id = $1", lost.DispatchID) // as a sweep does
	w.wantStatus("lost by Redis", job.Queued, lost.ID)
	w.reconcile(job.Started, 0, held)
	if o = w.works(o.ID, "me"); o.Status != job.OperationCompleted {
		t.Errorf("operation = %+v", o)
	}
	w.wantStatus("lost by Redis, handed out, last in its list", job.Cancelled, lost.ID, handed.ID, many[len(many)-1])
	w.wantStatus("running", job.Running, held.ID)
	w.wantStatus("inserted after the call", job.Queued, after)
}
