package db_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/penguinmails/rookery/db"
	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
)

func (w *world) begins(action job.Action, l job.Listing, holder string) job.Operation {
	w.Helper()
	o, err := w.StartOperation(w.Context(), admin, action, l, holder)
	if err != nil || o.ID == 0 || o.Status != job.OperationRunning || o.Principal != admin.Principal {
		w.Fatalf("StartOperation = %+v, %v", o, err)
	}
	return o
}

// works does batches until the operation is over, and returns how it ended.
func (w *world) works(id int64, holder string) job.Operation {
	w.Helper()
	for range 1000 {
		o, held, err := w.WorkOperation(w.Context(), job.Turn{ID: id, Holder: holder})
		if err != nil || !held {
			w.Fatalf("WorkOperation = %+v, %t, %v", o, held, err)
		}
		if o.Status != job.OperationRunning {
			return o
		}
	}
	w.Fatal("the operation does not end")
	return job.Operation{}
}

func (w *world) statuses() string {
	w.Helper()
	return get[string](w, `SELECT coalesce(string_agg(s, ' ' ORDER BY s), '') FROM (
		SELECT queue_name || ':' || status || ':' || count(*) AS s FROM outbox.jobs GROUP BY queue_name, status) AS by_status`)
}

// Whatever finds them, all jobs are changed that were there, none of others, and none
// that came later.
func TestOperation_ChangesWhatItsFilterFinds(t *testing.T) {
	t.Parallel()
	const many = 2*job.BulkBatch + 7
	for _, tt := range []struct {
		action job.Action
		filter job.Listing
		setup  string // statuses of the queue's jobs, by the remainder of n by 4
		done   int64
		want   string
	}{
		{job.ActionCancel, job.Listing{QueueName: queue}, "", many, "cancelled:1007"},
		{job.ActionCancel, job.Listing{QueueName: queue, Status: "queued"}, "", many, "cancelled:1007"},
		{job.ActionPurge, job.Listing{QueueName: queue}, "", many, "cancelled:1007"},
		{job.ActionRedrive, job.Listing{QueueName: queue, Status: "dead"}, "dead", many, "queued:1007"},
		{job.ActionDelete, job.Listing{QueueName: queue}, "dead", many, ""},
		{job.ActionDelete, job.Listing{QueueName: queue, Status: "completed"}, "completed", many, ""},
		{job.ActionDelete, job.Listing{QueueName: queue, Status: "dead"}, "completed", 0, "completed:1007"},
	} {
		t.Run(fmt.Sprint(tt.action, " ", tt.filter.Status), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.insert(many)
			w.exec(`UPDATE outbox.jobs SET run_at = now() + id * interval '1 minute' WHERE id % 2 = 0`)
			w.exec(`WITH r AS (DELETE FROM outbox.ready WHERE job_id % 2 = 0 RETURNING *)
				INSERT INTO outbox.scheduled SELECT j.run_at, j.id, j.queue_name, j.priority, r.size FROM r JOIN outbox.jobs AS j ON j.id = r.job_id`)
			w.exec("INSERT INTO outbox.jobs (queue_name) SELECT 'other' FROM generate_series(1, 10)")
			if tt.setup != "" {
				w.exec("DELETE FROM outbox.ready; DELETE FROM outbox.scheduled")
				w.exec("UPDATE outbox.jobs SET status = $1, finished_at = now() WHERE queue_name = 'mail'", tt.setup)
				w.exec("INSERT INTO outbox.dead_letters (job_id, queue_name, kind, reason) SELECT id, queue_name, kind, '' FROM outbox.jobs WHERE status = 'dead'")
			}
			o := w.begins(tt.action, tt.filter, "me")
			w.exec("INSERT INTO outbox.jobs (queue_name, status) SELECT 'mail', $1 FROM generate_series(1, 3)", map[bool]string{true: "queued", false: tt.setup}[tt.setup == ""])
			w.exec("UPDATE outbox.jobs SET kind = 'later' WHERE id > $1", many+10)
			o = w.works(o.ID, "me")
			if o.Status != job.OperationCompleted || o.FinishedAt == nil || o.Done != tt.done || o.Matched != tt.done || o.Failed != 0 {
				t.Errorf("operation = %+v, want %d done", o, tt.done)
			}
			if n := get[int](w, "SELECT count(*) FROM outbox.jobs WHERE kind = 'later' AND status = $1", map[bool]string{true: "queued", false: tt.setup}[tt.setup == ""]); n != 3 {
				t.Errorf("%d of 3 later jobs are as they were", n)
			}
			w.exec("DELETE FROM outbox.jobs WHERE kind = 'later'")
			want := "other:queued:10"
			if tt.want != "" {
				want = "mail:" + tt.want + " " + want
			}
			if got := w.statuses(); got != want {
				t.Errorf("jobs are %s, want %s", got, want)
			}
		})
	}
}

// What waits in Redis is purged as what waits in Postgres is, and what runs is not.
func TestOperation_PurgeLeavesWhatRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	runs, out := w.bring(job.Running), w.bring(job.Dispatched)
	waits := w.insert(1)[0]
	o := w.begins(job.ActionPurge, job.Listing{QueueName: queue}, "me")
	if o = w.works(o.ID, "me"); o.Done != 2 {
		t.Errorf("operation = %+v, want 2 done", o)
	}
	if a, b, c := w.traces(runs.ID).Status, w.traces(out.ID), w.traces(waits); a != job.Running || b.Status != job.Cancelled || b.Cancels != 1 || c.Status != job.Cancelled || c.Ready != 0 {
		t.Errorf("running = %s, dispatched = %+v, ready = %+v", a, b, c)
	}
}

// Before the commit nothing has happened, and whoever goes on does it once.
func TestOperation_CutOffBeforeItsCommit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.insert(job.BulkBatch + 5)
	o := w.begins(job.ActionCancel, job.Listing{QueueName: queue}, "me")
	cut := func() {
		w.exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'")
	}
	if _, _, err := w.WorkOperation(t.Context(), job.Turn{ID: o.ID, Holder: "me", BeforeCommit: cut}); !errors.Is(err, job.ErrUnavailable) {
		t.Fatalf("WorkOperation, cut off = %v, want ErrUnavailable", err)
	}
	if got, err := w.Operation(t.Context(), o.ID); err != nil || got.Matched != 0 || w.statuses() != "mail:queued:505" {
		t.Fatalf("after the cut = %+v, %v, %s", got, err, w.statuses())
	}
	if o = w.works(o.ID, "me"); o.Done != 505 || o.Failed != 0 || w.statuses() != "mail:cancelled:505" {
		t.Errorf("operation = %+v, jobs %s", o, w.statuses())
	}
}

// Another goes on when the lease has ended, and the first one then does nothing.
func TestOperation_TakenOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.insert(job.BulkBatch + 5)
	o := w.begins(job.ActionCancel, job.Listing{QueueName: queue}, "")
	if id, found, err := w.TakeOperation(t.Context(), "one"); err != nil || !found || id != o.ID {
		t.Fatalf("TakeOperation = %d, %t, %v", id, found, err)
	}
	if _, found, err := w.TakeOperation(t.Context(), "two"); err != nil || found {
		t.Fatalf("TakeOperation of what another holds = %t, %v", found, err)
	}
	if _, held, err := w.WorkOperation(t.Context(), job.Turn{ID: o.ID, Holder: "one"}); err != nil || !held {
		t.Fatalf("WorkOperation = %t, %v", held, err)
	}
	w.exec("UPDATE outbox.operations SET lease_until = now() - interval '1 second'")
	if _, found, err := w.TakeOperation(t.Context(), "two"); err != nil || !found {
		t.Fatalf("TakeOperation after the lease = %t, %v", found, err)
	}
	if _, held, err := w.WorkOperation(t.Context(), job.Turn{ID: o.ID, Holder: "one"}); err != nil || held {
		t.Errorf("WorkOperation of the first = %t, %v, want it not held", held, err)
	}
	if o = w.works(o.ID, "two"); o.Done != 505 || o.Matched != 505 {
		t.Errorf("operation = %+v, want 505 done", o)
	}
}

// A job that somebody else changes first is counted as left.
func TestOperation_JobChangedMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ids := w.insert(3)
	o := w.begins(job.ActionCancel, job.Listing{QueueName: queue}, "me")
	tx := w.begun()
	w.in(tx, "SELECT outbox.cancel($1)", ids[1])
	done := make(chan job.Operation, 1)
	go func() {
		o, _, err := w.WorkOperation(w.Context(), job.Turn{ID: o.ID, Holder: "me"})
		if err != nil {
			t.Error(err)
		}
		done <- o
	}()
	w.waitsForLock()
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if o = <-done; o.Matched != 3 || o.Done != 2 || o.Failed != 1 || o.Status != job.OperationCompleted {
		t.Errorf("operation = %+v, want 2 of 3 done", o)
	}
}

func TestOperation_Cancel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.insert(job.BulkBatch + 5)
	o := w.begins(job.ActionCancel, job.Listing{QueueName: queue}, "me")
	if _, _, err := w.WorkOperation(t.Context(), job.Turn{ID: o.ID, Holder: "me"}); err != nil {
		t.Fatal(err)
	}
	got, done, err := w.CancelOperation(t.Context(), admin, o.ID)
	if err != nil || !done || got.Status != job.OperationCancelled || got.Done != job.BulkBatch || got.FinishedAt == nil {
		t.Errorf("CancelOperation = %+v, %t, %v", got, done, err)
	}
	if got, done, err = w.CancelOperation(t.Context(), admin, o.ID); err != nil || done || got.Status != job.OperationCancelled {
		t.Errorf("CancelOperation again = %+v, %t, %v", got, done, err)
	}
	if _, held, err := w.WorkOperation(t.Context(), job.Turn{ID: o.ID, Holder: "me"}); err != nil || held {
		t.Errorf("WorkOperation of a cancelled one = %t, %v", held, err)
	}
	if _, _, err := w.CancelOperation(t.Context(), admin, 4711); !errors.Is(err, job.ErrNotFound) {
		t.Errorf("CancelOperation of none = %v, want ErrNotFound", err)
	}
	page, err := w.Changes(t.Context(), job.ChangeFilter{Limit: 10})
	lines := page.Changes
	if err != nil || len(lines) != 2 || lines[0].Action != "operation.cancel" || lines[1].Action != "operation.start" || lines[1].QueueName != queue {
		t.Errorf("Changes = %+v, %v", lines, err)
	}
}

// A filter of a newer version is not taken for a wider one.
func TestOperation_UnknownFilter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.insert(1)
	o := w.begins(job.ActionCancel, job.Listing{QueueName: queue}, "me")
	w.exec(`UPDATE outbox.operations SET filter = filter || '{"of_next_year": 1}'`)
	var field *job.FieldError
	if _, _, err := w.WorkOperation(t.Context(), job.Turn{ID: o.ID, Holder: "me"}); !errors.As(err, &field) || field.Field != "filter" {
		t.Errorf("WorkOperation = %v, want the filter refused", err)
	}
	if err := w.FailOperation(t.Context(), o.ID, "another", "why"); err != nil {
		t.Fatal(err)
	}
	if got, err := w.Operation(t.Context(), o.ID); err != nil || got.Status != job.OperationRunning {
		t.Errorf("failed by another = %+v, %v, want it to run", got, err)
	}
	if err := w.FailOperation(t.Context(), o.ID, "me", "why"); err != nil {
		t.Fatal(err)
	}
	if got, err := w.Operation(t.Context(), o.ID); err != nil || got.Status != job.OperationFailed || got.Error != "why" {
		t.Errorf("failed = %+v, %v", got, err)
	}
}

func TestOperations_ListAndLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	kind := "k"
	for range job.MaxRunningOperations {
		w.begins(job.ActionCancel, job.Listing{QueueName: queue, Kind: &kind}, "")
	}
	if _, err := w.StartOperation(t.Context(), admin, job.ActionCancel, job.Listing{QueueName: queue}, ""); !errors.Is(err, job.ErrTooMany) || errors.Is(err, job.ErrUnavailable) {
		t.Errorf("one more = %v, want ErrTooMany", err)
	}
	page, err := w.Operations(t.Context(), job.OperationFilter{Limit: 2})
	if some := page.Operations; err != nil || len(some) != 2 || some[0].ID != some[1].ID+1 || *some[0].Filter.Kind != kind || page.Next != some[1].ID {
		t.Fatalf("Operations = %+v, %v", page, err)
	}
	next, err := w.Operations(t.Context(), job.OperationFilter{Before: page.Next, Limit: 2})
	if err != nil || len(next.Operations) != 2 || next.Operations[0].ID != page.Next-1 {
		t.Errorf("Operations behind %d = %+v, %v", page.Next, next, err)
	}
}

// Whoever has rookery_api does all of it, and producers and workers none.
func TestOperation_ByTheAPIRole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bring(job.Dead)
	w.insert(2)
	store, err := db.Open(t.Context(), devtest.Login(t, w.url, "rookery_api"), db.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	api := &world{T: t, Store: store, url: w.url, side: w.side}
	for _, a := range []job.Action{job.ActionCancel, job.ActionRedrive, job.ActionPurge, job.ActionDelete} {
		l := job.Listing{QueueName: queue}
		if a == job.ActionRedrive {
			l.Status = "dead"
		}
		o := api.begins(a, l, "me")
		if o = api.works(o.ID, "me"); o.Done == 0 {
			t.Errorf("%s = %+v, want something done", a, o)
		}
	}
	for _, role := range []string{"rookery_producer", "rookery_worker", "rookery_relay", "rookery_readonly"} {
		side := sidePool(t, devtest.Login(t, w.url, role))
		for _, sql := range []string{"SELECT outbox.cancel_many('{1}')", "SELECT outbox.redrive_many('{1}')", "SELECT outbox.delete_many('{1}')", "SELECT outbox.purge_many('{1}')", "UPDATE outbox.operations SET status = 'running'", "DELETE FROM outbox.operations"} {
			if role == "rookery_relay" && strings.HasPrefix(sql, "DELETE") {
				continue // those that are over, see TestPruneOperations
			}
			if _, err := side.Exec(t.Context(), sql); err == nil {
				t.Errorf("%s may %s", role, sql)
			}
		}
	}
}
