package db_test

import (
	"math"
	"testing"

	"github.com/penguinmails/rookery/job"
)

// near reports whether a share is what it should be.
func near(share *float64, want float64) bool { return share != nil && math.Abs(*share-want) < 1e-9 }

func TestOperation_KnowsHowMuchThereIs(t *testing.T) {
	t.Parallel()
	for _, l := range []job.Listing{{QueueName: queue}, {QueueName: queue, Status: "queued"}, {Status: "ready"}} {
		w := newWorld(t)
		ids := w.insert(job.BulkBatch + 7)
		w.exec("UPDATE outbox.jobs SET status = 'completed' WHERE id = ANY ($1)", ids[:2])
		w.exec("DELETE FROM outbox.ready WHERE job_id = ANY ($1)", ids[:2])
		o := w.begins(job.ActionCancel, l, "one")
		if o.Total == nil || *o.Total != job.BulkBatch+5 || !near(o.Share, 0) {
			t.Fatalf("%+v: it begins with total %v and share %v, want %d and 0", l, o.Total, o.Share, job.BulkBatch+5)
		}
		w.insert(1) // later, and none of its business
		o, _, err := w.WorkOperation(t.Context(), job.Turn{ID: o.ID, Holder: "one"})
		if err != nil || o.Total == nil || *o.Total != job.BulkBatch+5 || !near(o.Share, job.BulkBatch/float64(job.BulkBatch+5)) {
			t.Errorf("%+v: after a batch total %v and share %v, %v", l, o.Total, o.Share, err)
		}
		if o = w.works(o.ID, "one"); !near(o.Share, 1) || o.Matched != job.BulkBatch+5 {
			t.Errorf("%+v: it ends with share %v, %d matched", l, o.Share, o.Matched)
		}
	}
}

// Where there are too many to count, an operation that goes by id knows how many ids are
// behind it, and another knows nothing: it does not guess.
func TestOperation_TooManyToCount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec("ALTER TABLE outbox.jobs DISABLE TRIGGER jobs_inserted")
	w.exec("INSERT INTO outbox.jobs (queue_name, status, finished_at) SELECT 'mail', 'completed', now() FROM generate_series(1, $1)", job.OperationCount+1)
	w.exec("INSERT INTO outbox.dead_letters (job_id, queue_name, kind, dead_at, reason) SELECT n, 'mail', 'k', now(), 'exhausted' FROM generate_series(1, $1::bigint) AS n", job.OperationCount+1)

	byID := w.begins(job.ActionDelete, job.Listing{Status: "completed"}, "one")
	if byID.Total != nil || !near(byID.Share, 0) {
		t.Errorf("by id it begins with total %v and share %v, want none and 0", byID.Total, byID.Share)
	}
	byID, _, err := w.WorkOperation(t.Context(), job.Turn{ID: byID.ID, Holder: "one"})
	if last := float64(job.OperationCount + 1); err != nil || byID.Total != nil || !near(byID.Share, job.BulkBatch/last) {
		t.Errorf("by id, after a batch: total %v, share %v, %v, want none and %g", byID.Total, byID.Share, err, job.BulkBatch/last)
	}
	byAge := w.begins(job.ActionRedrive, job.Listing{Status: "dead"}, "two")
	if byAge.Total != nil || byAge.Share != nil {
		t.Errorf("by age it begins with total %v and share %v, want neither", byAge.Total, byAge.Share)
	}
	if got, err := w.Operation(t.Context(), byID.ID); err != nil || !near(got.Share, *byID.Share) {
		t.Errorf("Operation = share %v, %v, want %g", got.Share, err, *byID.Share)
	}
}
