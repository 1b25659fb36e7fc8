package db_test

import (
	"errors"
	"testing"

	"github.com/penguinmails/rookery/job"
)

// A page of some queues' operations looks at so many and no more, and can be gone on from.
func TestOperations_OfSomeQueues(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	begin := func(queue string, n int) {
		w.exec(`INSERT INTO outbox.operations (action, filter, principal, up_to_id, status)
			SELECT 'cancel', jsonb_build_object('queue_name', $1::text), 'config', 0, 'completed' FROM generate_series(1, $2::integer)`, queue, n)
	}
	begin("mine.a", 3)
	begin("theirs.b", job.OperationsCap+1)
	begin("mine.a", 2)
	found, pages := 0, 0
	for f := (job.OperationFilter{Queues: []string{"mine.*"}, Limit: 4}); ; pages++ {
		p, err := w.Operations(t.Context(), f)
		if err != nil || len(p.Operations) > f.Limit {
			t.Fatalf("Operations(%+v) = %+v, %v", f, p, err)
		}
		for _, o := range p.Operations {
			if o.Filter.QueueName != "mine.a" {
				t.Errorf("operation %d is on %s", o.ID, o.Filter.QueueName)
			}
		}
		found += len(p.Operations)
		if f.Before = p.Next; p.Next == 0 {
			break
		}
	}
	if found != 5 || pages != 1 {
		t.Errorf("%d operations on %d pages before the last, want 5 on 1, which ended at the cap", found, pages)
	}
}

// What somebody with some queues begins is of these; of others they begin and end nothing.
func TestOperations_BySomebodyWithSomeQueues(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	some := people
	some.Queues = []string{"mine.*", "spare"}
	kind := "k"
	o, err := w.StartOperation(t.Context(), some, job.ActionCancel, job.Listing{Kind: &kind, Queues: []string{"theirs.b"}}, "")
	if err != nil || !o.Filter.Within(some.Queues) || len(o.Filter.Queues) != 2 {
		t.Errorf("StartOperation on a kind = %+v, %v, want it narrowed to their queues", o, err)
	}
	if _, err := w.StartOperation(t.Context(), some, job.ActionPurge, job.Listing{QueueName: "theirs.b"}, ""); !errors.Is(err, job.ErrNotFound) {
		t.Errorf("StartOperation on another's queue = %v, want ErrNotFound", err)
	}
	theirs := w.begins(job.ActionCancel, job.Listing{QueueName: "theirs.b"}, "")
	if _, done, err := w.CancelOperation(t.Context(), some, theirs.ID); done || !errors.Is(err, job.ErrNotFound) {
		t.Errorf("CancelOperation of another's = %t, %v, want ErrNotFound", done, err)
	}
	if _, done, err := w.CancelOperation(t.Context(), some, o.ID); !done || err != nil {
		t.Errorf("CancelOperation of one's own = %t, %v", done, err)
	}
}
