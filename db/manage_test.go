package db_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
)

// Delete takes a job that is over with all that belongs to it, and leaves every other
// as it is.
func TestDelete_InEveryStatus(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, s := range job.Statuses() {
		neighbour, id := w.bring(job.Dead).ID, w.bring(s).ID
		w.exec("INSERT INTO outbox.attempts (job_id, attempt_count, outcome) VALUES ($1, 99, 'fail')", id)
		was, beside := w.traces(id), w.traces(neighbour)
		done, err := w.Delete(t.Context(), id)
		if err != nil || done != s.Terminal() {
			t.Errorf("Delete(%s) = %t, %v, want %t", s, done, err, s.Terminal())
		}
		if diff := cmp.Diff(beside, w.traces(neighbour)); diff != "" {
			t.Errorf("Delete(%s) changed another job (-want +got):\n%s", s, diff)
		}
		if !s.Terminal() {
			if diff := cmp.Diff(was, w.traces(id)); diff != "" {
				t.Errorf("Delete(%s) changed the job (-want +got):\n%s", s, diff)
			}
			w.exec("DELETE FROM outbox.ready; DELETE FROM outbox.scheduled") // bring wants nothing else to be due
			continue
		}
		left := get[int](w, `SELECT (SELECT count(*) FROM outbox.jobs WHERE id = $1) + (SELECT count(*) FROM outbox.attempts WHERE job_id = $1)
			+ (SELECT count(*) FROM outbox.dead_letters WHERE job_id = $1) + (SELECT count(*) FROM outbox.ready WHERE job_id = $1)`, id)
		if left != 0 {
			t.Errorf("Delete(%s) left %d rows", s, left)
		}
		if _, err := w.Delete(t.Context(), id); !errors.Is(err, job.ErrNotFound) {
			t.Errorf("Delete again = %v, want ErrNotFound", err)
		}
	}
}

// A redrive that commits while Delete waits for its row wins: the job lives.
func TestDelete_WhileSomebodyRedrives(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.bring(job.Dead).ID
	tx := w.begun()
	w.in(tx, "SELECT outbox.redrive($1)", id)
	type result struct {
		done bool
		err  error
	}
	deleted := make(chan result, 1)
	go func() {
		done, err := w.Delete(w.Context(), id)
		deleted <- result{done, err}
	}()
	w.waitsForLock()
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := <-deleted; r.err != nil || r.done {
		t.Errorf("Delete = %t, %v, want false", r.done, r.err)
	}
	if s := w.traces(id); s.Status != job.Queued || s.Ready != 1 {
		t.Errorf("the job = %+v, want it queued and ready", s)
	}
}

func TestClone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := get[int64](w, `INSERT INTO outbox.jobs (queue_name, kind, payload, headers, priority, max_attempts, run_at)
		VALUES ('mail', 'welcome', '{"to": "a@b.c"}', '{"h": 1}', 7, 2, now() + interval '1 day') RETURNING id`)
	clone, err := w.Clone(t.Context(), id)
	if err != nil || clone == id {
		t.Fatalf("Clone = %d, %v", clone, err)
	}
	of, err := w.Job(t.Context(), id)
	got, err2 := w.Job(t.Context(), clone)
	if diff := cmp.Diff(of, got, cmpopts.IgnoreFields(job.Job{}, "ID", "RunAt", "CreatedAt")); diff != "" || errors.Join(err, err2) != nil {
		t.Errorf("the clone, %v (-job +clone):\n%s", errors.Join(err, err2), diff)
	}
	if s := w.traces(clone); s.Ready != 1 || s.Scheduled != 0 {
		t.Errorf("the clone = %+v, want it ready", s)
	}
	if _, err := w.Clone(t.Context(), 4711); !errors.Is(err, job.ErrNotFound) {
		t.Errorf("Clone of no job = %v, want ErrNotFound", err)
	}
}

// Whoever has rookery_api deletes jobs that are over, one by one, and no others.
func TestDelete_ByTheAPIRole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	over, out := w.bring(job.Dead).ID, w.bring(job.Running).ID
	side := sidePool(t, devtest.Login(t, w.url, "rookery_api"))
	for id, want := range map[int64]bool{over: true, out: false} {
		var done bool
		if err := side.QueryRow(t.Context(), "SELECT outbox.delete($1)", id).Scan(&done); err != nil || done != want {
			t.Errorf("outbox.delete(%d) = %t, %v, want %t", id, done, err, want)
		}
	}
	for _, role := range []string{"rookery_producer", "rookery_readonly", "rookery_worker", "rookery_relay"} {
		if _, err := sidePool(t, devtest.Login(t, w.url, role)).Exec(t.Context(), "SELECT outbox.delete($1)", out); err == nil {
			t.Errorf("%s may delete jobs", role)
		}
	}
}

func TestProcesses_ByRole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, p := range []job.Process{
		{ID: "r1", Role: "relay", Host: "h", PID: 7, RedisOK: true, Epochs: map[string]int64{queue: 1}},
		{ID: "w1", Role: "worker"},
	} {
		if _, err := w.Beat(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	w.exec("UPDATE outbox.processes SET beat_at = now() - interval '1 minute' WHERE id = 'w1'")
	all, err := w.Processes(t.Context(), "")
	if err != nil || len(all) != 2 || all[0].ID != "r1" || all[1].ID != "w1" {
		t.Fatalf("Processes = %+v, %v, want r1 and w1", all, err)
	}
	if r := all[0]; r.PID != 7 || r.Host != "h" || r.RedisAt == nil || r.Epochs[queue] != 1 || r.StartedAt.IsZero() {
		t.Errorf("the relay = %+v", r)
	}
	if p := all[1]; p.BeatAge.Minutes() < 1 || p.RedisAt != nil || p.Epochs == nil {
		t.Errorf("the worker = %+v, want it silent for a minute", p)
	}
	if one, err := w.Processes(t.Context(), "worker"); err != nil || len(one) != 1 || one[0].ID != "w1" {
		t.Errorf("Processes(worker) = %+v, %v", one, err)
	}
	var field *job.FieldError
	if _, err := w.Processes(t.Context(), "cook"); !errors.As(err, &field) || field.Field != "role" {
		t.Errorf("Processes(cook) = %v, want a FieldError of role", err)
	}
}

// Only workers can be told, the line of it is in the audit, and a worker hears of it.
func TestSetQuiet(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, p := range []job.Process{{ID: "r1", Role: "relay"}, {ID: "w1", Role: "worker"}} {
		if _, err := w.Beat(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.SetQuiet(t.Context(), admin, "w1", false), w.SetQuiet(t.Context(), admin, "w1", true)); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"r1", "nobody"} {
		if err := w.SetQuiet(t.Context(), admin, id, true); !errors.Is(err, job.ErrNotFound) {
			t.Errorf("SetQuiet(%s) = %v, want ErrNotFound", id, err)
		}
	}
	for _, queues := range []string{"there are", "there are none"} {
		if heard, err := w.Beat(t.Context(), job.Process{ID: "w1", Role: "worker"}); err != nil || !heard.Quiet || heard.Epochs[""] != 0 || len(heard.Epochs) > 1 {
			t.Errorf("Beat, where queues %s = %+v, %v, want it quiet", queues, heard, err)
		}
		w.exec("DELETE FROM outbox.queues")
	}
	before, err := w.Processes(t.Context(), "worker")
	if err != nil || len(before) != 1 || !before[0].Quiet {
		t.Fatalf("Processes = %+v, %v, want one that is quiet", before, err)
	}
	if heard, err := w.Beat(t.Context(), job.Process{ID: "w1", Role: "worker", Life: 7}); err != nil || heard.Quiet {
		t.Errorf("Beat of the next of its name = %+v, %v, want it not quiet", heard, err)
	}
	if after, err := w.Processes(t.Context(), "worker"); err != nil || len(after) != 1 || after[0].Quiet || !after[0].StartedAt.After(before[0].StartedAt) {
		t.Errorf("Processes = %+v, %v, want one that started just now", after, err)
	}
	page, err := w.Changes(t.Context(), job.ChangeFilter{Limit: 10})
	if lines := page.Changes; err != nil || len(lines) != 2 || lines[0].Action != "worker.quiet" || lines[0].Target != "w1" || string(lines[0].Detail) != `{"quiet": true}` {
		t.Errorf("Changes = %+v, %v", lines, err)
	}
}
