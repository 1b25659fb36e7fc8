package db_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/penguinmails/rookery/job"
)

func TestQueueStats_Counts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bring(job.Dispatched)
	w.bring(job.Running)
	w.bring(job.Dead)
	w.insert(3)
	w.exec("UPDATE outbox.jobs SET run_at = '2020-01-02 03:04:05Z' WHERE id = (SELECT max(id) FROM outbox.jobs)")
	w.later(2, "1 hour")
	w.begin("empty")
	if err := w.SetWindow(t.Context(), "empty", 77); err != nil {
		t.Fatal(err)
	}
	w.sweep(job.Cursor{}) // finished rows count no more

	got, err := w.QueueStats(t.Context(), job.StatsCap)
	if err != nil || len(got) != 2 {
		t.Fatalf("QueueStats = %+v, %v, want two queues", got, err)
	}
	one, err := w.QueueStatsOf(t.Context(), queue)
	if diff := cmp.Diff(got[1], one, cmpopts.IgnoreFields(job.QueueStats{}, "EpochAge", "OldestAge")); err != nil || diff != "" || one.OldestAge <= 0 {
		t.Errorf("QueueStatsOf = %v with the oldest job %s old (-QueueStats +QueueStatsOf):\n%s", err, one.OldestAge, diff)
	}
	var field *job.FieldError
	if _, err := w.QueueStatsOf(t.Context(), "nowhere"); !errors.Is(err, job.ErrNotFound) {
		t.Errorf("QueueStatsOf(nowhere) = %v, want ErrNotFound", err)
	}
	if _, err := w.QueueStatsOf(t.Context(), "a b"); !errors.As(err, &field) {
		t.Errorf("QueueStatsOf(a b) = %v, want a FieldError", err)
	}
	if s := got[0]; s.Name != "empty" || s.Ready+s.Scheduled+s.Out != 0 || s.OldestAt != nil || s.WindowSize != 77 || s.Epoch != 1 {
		t.Errorf("the empty queue = %+v", s)
	}
	s := got[1]
	if s.Name != queue || s.Ready != 3 || s.Scheduled != 2 || s.Out != 2 || s.WindowSize != job.DefaultWindow || s.Paused {
		t.Errorf("the queue = %+v, want 3 ready, 2 scheduled, 2 out", s)
	}
	if s.OldestAt == nil || s.OldestAt.Year() != 2020 {
		t.Errorf("oldest_at = %v, want 2020", s.OldestAt)
	}
}

func TestSetPaused_AndWindowOfNewQueues(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var field *job.FieldError
	if err := w.SetPaused(t.Context(), "a b", true); !errors.As(err, &field) {
		t.Errorf("SetPaused(a b) = %v, want a FieldError", err)
	}
	if err := w.SetWindow(t.Context(), "{x}", 1); !errors.As(err, &field) {
		t.Errorf("SetWindow({x}) = %v, want a FieldError", err)
	}
	for _, size := range []int{-1, 0, job.MaxWindow + 1, 1<<32 + 1} {
		if err := w.SetWindow(t.Context(), queue, size); !errors.As(err, &field) {
			t.Errorf("SetWindow(%d) = %v, want a FieldError", size, err)
		}
	}
	for _, size := range []int{1, job.MaxWindow} {
		if err := w.SetWindow(t.Context(), queue, size); err != nil {
			t.Errorf("SetWindow(%d) = %v", size, err)
		}
	}
	if err := errors.Join(w.SetPaused(t.Context(), "new", true), w.SetWindow(t.Context(), "newer", 5)); err != nil {
		t.Fatal(err)
	}
	// A queue that an operator made before any relay is still opened by one.
	if epoch := w.begin("new"); epoch != 1 {
		t.Errorf("the first epoch = %d, want 1", epoch)
	}
	queues, _, _, err := w.Queues(t.Context())
	if err != nil || len(queues) != 3 || !queues[1].Paused || queues[2].WindowSize != 5 {
		t.Errorf("Queues = %+v, %v", queues, err)
	}
}

func TestJob_AndItsAttempts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := get[int64](w, `INSERT INTO outbox.jobs (queue_name, kind, payload, headers, priority, max_attempts)
		VALUES ('mail', 'welcome', '{"to": "a@b.c"}', '{"h": 1}', 7, 2) RETURNING id`)
	fresh, err := w.Job(t.Context(), id)
	if err != nil {
		t.Fatalf("Job: %v", err)
	}
	want := job.Job{ID: id, QueueName: queue, Kind: "welcome", Payload: []byte(`{"to": "a@b.c"}`), Headers: []byte(`{"h": 1}`),
		Priority: 7, Status: job.Queued, MaxAttempts: 2, RunAt: fresh.RunAt, CreatedAt: fresh.CreatedAt}
	if diff := cmp.Diff(want, fresh); diff != "" || fresh.RunAt.IsZero() || fresh.CreatedAt.IsZero() {
		t.Errorf("Job (-want +got):\n%s", diff)
	}
	if got, err := w.Attempts(t.Context(), id); err != nil || got == nil || len(got) != 0 {
		t.Errorf("Attempts = %v, %v, want an empty list", got, err)
	}
	for _, o := range []job.Outcome{{Kind: job.Failed, Error: "first", Stack: "goroutine 1"}, {Kind: job.Failed}} {
		o.Ref = w.claim(1).Jobs[0].Ref()
		if _, err := w.Reconcile(t.Context(), worker, []job.Outcome{o}); err != nil {
			t.Fatalf("Reconcile: %v", err)
		}
	}
	j, err := w.Job(t.Context(), id)
	if err != nil || j.Status != job.Dead || j.FailureCount != 2 || j.AttemptCount != 2 || j.WorkerID != worker ||
		j.LastError != "first" || j.FinishedAt == nil || j.StartedAt == nil || j.DispatchedAt == nil {
		t.Errorf("Job = %+v, %v, want dead after two failures", j, err)
	}
	got, err := w.Attempts(t.Context(), id)
	if err != nil || len(got) != 2 {
		t.Fatalf("Attempts = %v, %v, want 2", got, err)
	}
	var errs []string
	for i, a := range got {
		errs = append(errs, string(a.Error))
		if a.JobID != id || a.AttemptCount != int32(i+1) || a.Outcome != "fail" || a.WorkerID != worker || a.StartedAt == nil || a.FinishedAt.IsZero() {
			t.Errorf("attempt = %+v", a)
		}
	}
	if !slices.Equal(errs, []string{`{"stack": "goroutine 1", "message": "first"}`, ""}) {
		t.Errorf("errors = %q", errs)
	}
}

// What is over, and what is not there any more; what goes on is not.
func TestOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ids, want := []int64{4711}, []int64{4711}
	for _, s := range job.Statuses() {
		id := w.bring(s).ID
		w.exec("DELETE FROM outbox.ready; DELETE FROM outbox.scheduled")
		if ids = append(ids, id); s.Terminal() {
			want = append(want, id)
		}
	}
	got, err := w.Over(t.Context(), ids)
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("Over = %v (-want +got):\n%s", err, diff)
	}
}
