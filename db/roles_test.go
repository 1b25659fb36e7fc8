package db_test

import (
	"context"
	"errors"
	"net/url"
	"testing"

	"github.com/penguinmails/rookery/db"
	"github.com/penguinmails/rookery/job"
)

// Everything a relay and a worker do, done by a user who has rookery_server and
// nothing else.
func TestRoles_ServerRunsTheStore(t *testing.T) {
	t.Parallel()
	login := newWorld(t).loginIn("rookery_server")
	w := worldAt(t, login)
	epoch := w.begin("other")
	w.exec("INSERT INTO outbox.jobs (queue_name) VALUES ('mail'), ('mail'), ('mail'), ('mail')")
	c := order(4)
	c.Epoch = get[int64](w, "SELECT epoch FROM outbox.queues WHERE name = 'mail'")
	b, err := w.Claim(t.Context(), c)
	if err != nil || len(b.Jobs) != 4 {
		t.Fatalf("Claim = %d jobs, %v, want 4", len(b.Jobs), err)
	}
	refs := b.Refs()
	w.reconcile(job.Started, 0, refs[0])
	w.reconcile(job.Succeeded, 0, refs[0])
	w.reconcile(job.Failed, job.MaxDelay, refs[1])
	_, _, promote := w.Promote(t.Context(), epochStart)
	_, requeue := w.Requeue(t.Context(), job.Requeue{QueueName: queue, Epoch: c.Epoch, Attempts: []job.LostAttempt{{Ref: refs[2], Counts: true}}})
	_, takeOver := w.TakeOver(t.Context(), relay, []string{queue})
	_, walk := w.Walk(t.Context(), 0)
	_, sweep := w.Sweep(t.Context(), job.Cursor{})
	_, unsettled := w.Unsettled(t.Context(), "other", epoch, job.Cursor{})
	_, beat := w.Beat(t.Context(), job.Process{ID: relay, Role: "relay"})
	_, cancel := w.Cancel(t.Context(), refs[3].ID)
	_, cancels := w.Cancels(t.Context())
	_, redrive := w.Redrive(t.Context(), refs[3].ID)
	_, look := w.Job(t.Context(), refs[0].ID)
	_, clone := w.Clone(t.Context(), refs[3].ID)
	_, gone := w.Delete(t.Context(), refs[0].ID)
	_, stats := w.QueueStats(t.Context(), job.StatsCap)
	for what, err := range map[string]error{
		"Promote": promote, "Requeue": requeue, "TakeOver": takeOver, "Walk": walk, "Sweep": sweep, "Unsettled": unsettled, "Beat": beat,
		"Cancel": cancel, "Cancels": cancels, "Redrive": redrive, "QueueStats": stats, "Job": look, "Clone": clone, "Delete": gone,
		"Refuse": w.Refuse(t.Context(), refs[3], "because"), "Retire": w.Retire(t.Context(), relay),
		"DropCancels": w.DropCancels(t.Context(), refs), "SetPaused": w.SetPaused(t.Context(), queue, true),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	l := listen(t, login)
	w.hold(l)
	if _, err := l.Release(t.Context()); err != nil {
		t.Errorf("Release: %v", err)
	}
}

// loginIn makes a login that has role and nothing else, and returns its URL.
func (w *world) loginIn(role string) string {
	w.Helper()
	name := get[string](w, "SELECT '"+role+"_of_' || current_database()")
	w.exec("CREATE ROLE " + name + " LOGIN IN ROLE " + role)
	w.Cleanup(func() { _, _ = w.side.Exec(context.Background(), "DROP ROLE "+name) })
	u, err := url.Parse(w.url)
	if err != nil {
		w.Fatal(err)
	}
	u.User = url.User(name)
	return u.String()
}

// People with rookery_readonly see jobs without payloads, by the same calls.
func TestRoles_ReadonlySeesFactsOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.insert(1)[0]
	s, err := db.Open(t.Context(), w.loginIn("rookery_readonly"), db.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	got, err := s.Job(t.Context(), id)
	if err != nil || got.ID != id || got.Status != job.Queued || got.Payload != nil {
		t.Errorf("Job as rookery_readonly = %+v, %v, want it without payload", got, err)
	}
	for _, status := range append(job.Filters(), "") {
		if _, err := s.List(t.Context(), job.Listing{Status: status, Limit: 5}); err != nil {
			t.Errorf("List(%q) as rookery_readonly: %v", status, err)
		}
	}
	if _, err := s.Processes(t.Context(), ""); err != nil {
		t.Errorf("Processes as rookery_readonly: %v", err)
	}
	if _, err := s.Delete(t.Context(), id); !errors.Is(err, job.ErrDenied) {
		t.Errorf("Delete as rookery_readonly = %v, want ErrDenied", err)
	}
	if _, err := s.QueueStats(t.Context(), job.StatsCap); err != nil {
		t.Errorf("QueueStats as rookery_readonly: %v", err)
	}
}
