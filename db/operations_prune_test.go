package db_test

import (
	"errors"
	"testing"
	"time"

	"github.com/penguinmails/rookery/job"
)

// Operations go when they have been over for long; what runs stays, and the audit says who
// began which.
func TestPruneOperations(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var ids []int64
	for range 4 {
		o, err := w.StartOperation(t.Context(), admin, job.ActionCancel, job.Listing{QueueName: queue}, "")
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, o.ID)
	}
	end := func(id int64, ago string) {
		w.exec("UPDATE outbox.operations SET status = 'completed', finished_at = now() - $2::text::interval WHERE id = $1", id, ago)
	}
	w.exec("UPDATE outbox.operations SET started_at = now() - interval '1 year'") // the first runs
	end(ids[1], "1 hour")
	end(ids[2], "59 minutes")
	end(ids[3], "61 minutes")
	for what, try := range map[string]struct {
		keep time.Duration
		want int64
	}{"for ever": {-1, 0}, "longer": {2 * time.Hour, 0}} {
		if n, err := w.PruneOperations(t.Context(), try.keep); n != try.want || err != nil {
			t.Errorf("kept %s: %d deleted, %v, want %d", what, n, err, try.want)
		}
	}
	relay := storeOf(w, "rookery_relay")
	if n, err := relay.PruneOperations(t.Context(), time.Hour); n != 2 || err != nil {
		t.Fatalf("PruneOperations as rookery_relay = %d, %v, want 2", n, err)
	}
	for i, want := range []error{nil, job.ErrNotFound, nil, job.ErrNotFound} {
		if _, err := w.Operation(t.Context(), ids[i]); !errors.Is(err, want) {
			t.Errorf("operation %d = %v, want %v", i, err, want)
		}
	}
	page, err := w.Changes(t.Context(), job.ChangeFilter{Action: "operation.start", Limit: 10})
	if err != nil || len(page.Changes) != 4 {
		t.Errorf("the audit has %d of four that were begun, %v", len(page.Changes), err)
	}
	if _, err := storeOf(w, "rookery_worker").PruneOperations(t.Context(), time.Hour); err == nil {
		t.Error("rookery_worker may delete operations")
	}
}
