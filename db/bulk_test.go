package db_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/penguinmails/rookery/job"
)

var admin = job.Actor{Principal: "key:test", RequestID: "r1"}

// In every status many are changed as one is: the same verdict, the same rows.
func TestChangeMany_AsOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	single := map[job.Action]func(id int64) (bool, error){
		job.ActionCancel:  func(id int64) (bool, error) { return w.Cancel(t.Context(), id) },
		job.ActionRedrive: func(id int64) (bool, error) { return w.Redrive(t.Context(), id) },
		job.ActionDelete:  func(id int64) (bool, error) { return w.Delete(t.Context(), id) },
	}
	for action, one := range single {
		for _, s := range job.Statuses() {
			a := w.bring(s).ID
			want, err := one(a)
			gone := action == job.ActionDelete && want
			var as traces
			if !gone {
				as = w.traces(a)
			}
			const nothingDue = "DELETE FROM outbox.ready; DELETE FROM outbox.scheduled" // which bring wants
			w.exec(nothingDue)
			b := w.bring(s).ID
			got, err2 := w.ChangeMany(t.Context(), admin, action, []int64{b, b, 1 << 40})
			if errors.Join(err, err2) != nil || len(got) != 2 || got[0].ID != b || got[0].Done != want {
				t.Fatalf("%s(%s) = %t, of many %+v, %v", action, s, want, got, errors.Join(err, err2))
			}
			if got[1].Done || got[1].Status != "" {
				t.Errorf("%s of no job = %+v", action, got[1])
			}
			if gone {
				if n := get[int](w, "SELECT count(*) FROM outbox.jobs WHERE id = $1", b); n != 0 || got[0].Status != "" {
					t.Errorf("delete left %d, answer %+v", n, got[0])
				}
				continue
			}
			is := w.traces(b)
			if diff := cmp.Diff(as, is, cmpopts.IgnoreFields(traces{}, "DispatchID")); diff != "" || got[0].Status != is.Status {
				t.Errorf("%s(%s): answer %+v (-one +of many):\n%s", action, s, got[0], diff)
			}
			w.exec(nothingDue)
		}
	}
}

// A job that is claimed while many wait for it is cancelled as one that is out.
func TestChangeMany_CancelWaitsForAClaim(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ids := w.insert(3)
	tx := w.begun()
	w.in(tx, `WITH r AS (DELETE FROM outbox.ready WHERE job_id = $1) UPDATE outbox.jobs SET status = 'dispatched', dispatch_id = 7 WHERE id = $1`, ids[1])
	got := make(chan []job.Changed, 1)
	go func() {
		c, err := w.ChangeMany(w.Context(), admin, job.ActionCancel, ids)
		if err != nil {
			t.Error(err)
		}
		got <- c
	}()
	w.waitsForLock()
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range <-got {
		if !c.Done || c.Status != job.Cancelled {
			t.Errorf("%+v, want it cancelled", c)
		}
	}
	if s := w.traces(ids[1]); s.Cancels != 1 {
		t.Errorf("the claimed one = %+v, want an order for its worker", s)
	}
}

// A redrive that commits while delete_many waits for its row wins: the job lives. And one
// that commits first leaves the other redrive nothing to do.
func TestChangeMany_WhileSomebodyRedrives(t *testing.T) {
	t.Parallel()
	for _, action := range []job.Action{job.ActionDelete, job.ActionRedrive} {
		w := newWorld(t)
		id := w.bring(job.Dead).ID
		tx := w.begun()
		w.in(tx, "SELECT outbox.redrive($1)", id)
		done := make(chan struct{})
		go func() {
			defer close(done)
			got, err := w.ChangeMany(w.Context(), admin, action, []int64{id})
			if err != nil || got[0].Done || got[0].Status != job.Queued {
				t.Errorf("%s = %+v, %v, want nothing done", action, got, err)
			}
		}()
		w.waitsForLock()
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		<-done
		if s := w.traces(id); s.Status != job.Queued || s.Ready != 1 || s.DeadLetters != 0 {
			t.Errorf("the job = %+v, want it queued once", s)
		}
	}
}

// Every changed id is in outbox.audit, in lines that fit; those that were left alone are not.
func TestChangeMany_Recorded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ids := w.insert(job.BulkBatch + 1)
	w.exec("UPDATE outbox.jobs SET status = 'completed' WHERE id = $1", ids[3])
	got, err := w.ChangeMany(t.Context(), admin, job.ActionCancel, ids)
	if err != nil || len(got) != len(ids) || got[3].Done {
		t.Fatalf("ChangeMany = %d, %v", len(got), err)
	}
	page, err := w.Changes(t.Context(), job.ChangeFilter{Limit: 100})
	lines := page.Changes
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for _, l := range lines {
		if l.Action != "job.cancel" || l.Principal != admin.Principal || l.RequestID != "r1" {
			t.Errorf("line = %+v", l)
		}
		named += strings.Count(string(l.Detail), `"`) / 2 // the word ids, and each of them
	}
	if want := len(ids) - 1 + len(lines); named != want {
		t.Errorf("%d lines name %d, want %d", len(lines), named, want)
	}
	var field *job.FieldError
	if _, err := w.ChangeMany(t.Context(), admin, job.ActionCancel, make([]int64, job.MaxBulk+1)); !errors.As(err, &field) {
		t.Errorf("too many = %v, want a FieldError", err)
	}
	if _, err := w.side.Exec(t.Context(), "SELECT outbox.cancel_many(array_agg(n)) FROM generate_series(1, 1001) AS n"); err == nil {
		t.Error("cancel_many takes 1001 ids")
	}
}

func TestPreviewMany(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ids := w.insert(30)
	w.exec("UPDATE outbox.jobs SET status = 'completed' WHERE id = ANY ($1)", ids[:5])
	p, err := w.PreviewMany(t.Context(), job.ActionCancel, job.Listing{QueueName: queue})
	if err != nil || p.Matched != 25 || p.Capped || len(p.Examples) != job.PreviewExamples {
		t.Errorf("PreviewMany = %d (capped %t), %d examples, %v, want 25", p.Matched, p.Capped, len(p.Examples), err)
	}
	w.exec(`INSERT INTO outbox.jobs (queue_name, status) SELECT 'other', 'completed' FROM generate_series(1, $1)`, job.BrowseCap)
	if p, err = w.PreviewMany(t.Context(), job.ActionCancel, job.Listing{QueueName: queue}); err != nil || p.Matched != 0 || !p.Capped {
		t.Errorf("PreviewMany behind %d others = %+v, %v, want it capped", job.BrowseCap, p, err)
	}
	if n := get[int](w, "SELECT count(*) FROM outbox.jobs WHERE status = 'cancelled'"); n != 0 {
		t.Errorf("a preview has cancelled %d jobs", n)
	}
	for _, refused := range []struct {
		action job.Action
		status string
	}{{job.ActionRedrive, ""}, {job.ActionRedrive, "running"}, {job.ActionCancel, "dead"}, {job.ActionDelete, "ready"}, {job.ActionDelete, "out"}, {job.ActionCancel, "odd"}} {
		var field *job.FieldError
		if _, err := w.PreviewMany(t.Context(), refused.action, job.Listing{Status: refused.status}); !errors.As(err, &field) || field.Field != "status" {
			t.Errorf("PreviewMany(%+v) = %v, want status refused", refused, err)
		}
	}
}
