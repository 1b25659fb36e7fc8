package db_test

import (
	"context"
	"net/url"
	"testing"

	"github.com/penguinmails/rookery/job"
)

// Everything a relay and a worker do, done by a user who has rookery_server and
// nothing else.
func TestRoles_ServerRunsTheStore(t *testing.T) {
	t.Parallel()
	admin := newWorld(t)
	name := get[string](admin, "SELECT 'server_of_' || current_database()")
	admin.exec("CREATE ROLE " + name + " LOGIN IN ROLE rookery_server")
	t.Cleanup(func() { _, _ = admin.side.Exec(context.Background(), "DROP ROLE "+name) })
	u, err := url.Parse(admin.url)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.User(name)
	w := worldAt(t, u.String())
	if got := get[string](w, "SELECT current_user::text"); got != name {
		t.Fatalf("user = %s, want %s", got, name)
	}
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
	_, takeOver := w.TakeOver(t.Context(), relay)
	_, walk := w.Walk(t.Context(), 0)
	_, sweep := w.Sweep(t.Context(), job.Cursor{})
	_, unsettled := w.Unsettled(t.Context(), "other", epoch, job.Cursor{})
	_, beat := w.Beat(t.Context(), job.Process{ID: relay, Role: "relay"})
	_, cancel := w.Cancel(t.Context(), refs[3].ID)
	_, cancels := w.Cancels(t.Context())
	_, redrive := w.Redrive(t.Context(), refs[3].ID)
	_, stats := w.QueueStats(t.Context())
	_, look := w.Job(t.Context(), refs[0].ID)
	for what, err := range map[string]error{
		"Promote": promote, "Requeue": requeue, "TakeOver": takeOver, "Walk": walk, "Sweep": sweep, "Unsettled": unsettled, "Beat": beat,
		"Cancel": cancel, "Cancels": cancels, "Redrive": redrive, "QueueStats": stats, "Job": look,
		"Refuse": w.Refuse(t.Context(), refs[3], "because"), "Retire": w.Retire(t.Context(), relay),
		"DropCancels": w.DropCancels(t.Context(), refs), "SetPaused": w.SetPaused(t.Context(), queue, true),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	l := listen(t, u.String())
	w.hold(l)
	if _, err := l.Release(t.Context()); err != nil {
		t.Errorf("Release: %v", err)
	}
}
