package db_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/penguinmails/rookery/job"
)

// Design section 1, lost_count: the first loss comes back at once and first, the
// second and third after a random 0-30 s, apart from their neighbours, and the
// fourth is the end. A job that was missing is no loss.
func TestLose_FourTimes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.insert(1)[0]
	for nth := int16(1); nth <= 4; nth++ {
		b := w.claim(1)
		if len(b.Jobs) != 1 {
			t.Fatalf("loss %d: nothing to claim", nth)
		}
		e := b.Jobs[0]
		if e.LostCount != nth-1 || e.Alone != (nth == 4) {
			t.Errorf("loss %d: the envelope says lost_count %d, alone %t", nth, e.LostCount, e.Alone)
		}
		w.reconcile(job.Started, 0, e.Ref())
		before := get[time.Time](w, "SELECT clock_timestamp()")
		verdicts := w.requeue(true, e.Ref())
		want := traces{Status: job.Queued, LostCount: nth, AttemptCount: int32(nth), DispatchID: e.DispatchID, Attempts: int(nth), LastOutcome: "lose", Priorities: "-1"}
		switch nth {
		case 1:
			want.Ready = 1
		case 2, 3:
			want.Scheduled = 1
			within := `SELECT run_at >= $1 AND run_at <= clock_timestamp() + interval '30 seconds' FROM outbox.scheduled`
			if !get[bool](w, within, before) {
				t.Errorf("loss %d: run_at does not lie within 30 s", nth)
			}
			w.exec("UPDATE outbox.scheduled SET run_at = now()")
			if n, _, err := w.Promote(t.Context(), epochStart); n != 1 || err != nil {
				t.Errorf("Promote = %d, %v, want 1", n, err)
			}
			want.Scheduled, want.Ready = 0, 1
		case 4:
			want.Status, want.DeadLetters, want.Reason, want.Priorities = job.Dead, 1, "poison", ""
		}
		if len(verdicts) != 1 || verdicts[0] != (job.Verdict{Ref: e.Ref(), Status: want.Status}) {
			t.Errorf("loss %d: verdicts = %v, want %s", nth, verdicts, want.Status)
		}
		if diff := cmp.Diff(want, w.traces(id)); diff != "" {
			t.Errorf("loss %d (-want +got):\n%s", nth, diff)
		}
	}
	j, err := w.Job(t.Context(), id)
	if err != nil || j.LastError != "poison pill: its worker was lost 4 times" || j.FinishedAt == nil || j.FailureCount != 0 {
		t.Errorf("Job = %+v, %v, want dead as a poison pill, without a failure", j, err)
	}
}

func TestLose_MissingDoesNotCount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.insert(1)
	for nth := int32(1); nth <= 5; nth++ {
		ref := w.claim(1).Jobs[0].Ref()
		w.requeue(false, ref)
		want := traces{Status: job.Queued, Ready: 1, Priorities: "100", AttemptCount: nth, DispatchID: ref.DispatchID, Attempts: int(nth), LastOutcome: "missing"}
		if diff := cmp.Diff(want, w.traces(ref.ID)); diff != "" {
			t.Errorf("%d times missing (-want +got):\n%s", nth, diff)
		}
	}
}

// The jobs of one crashed worker come back apart.
func TestLose_NeighboursComeBackApart(t *testing.T) {
	t.Parallel()
	const jobs = 50
	w := newWorld(t)
	w.insert(jobs)
	w.requeue(true, w.claim(jobs).Refs()...)
	before := get[time.Time](w, "SELECT clock_timestamp()")
	w.requeue(true, w.claim(jobs).Refs()...)
	if n := get[int](w, "SELECT count(DISTINCT run_at) FROM outbox.scheduled"); n < jobs*9/10 {
		t.Errorf("moments at which %d jobs come back = %d, want nearly as many", jobs, n)
	}
	sql := "SELECT count(*) FROM outbox.scheduled WHERE run_at < $1 OR run_at > clock_timestamp() + interval '30 seconds'"
	if n := get[int](w, sql, before); n != 0 {
		t.Errorf("jobs that come back outside of 0-30 s = %d, want none", n)
	}
	sql = "SELECT count(*) FROM outbox.scheduled AS s JOIN outbox.jobs AS j ON j.id = s.job_id WHERE j.run_at <> s.run_at"
	if n := get[int](w, sql); n != 0 {
		t.Errorf("jobs whose row names another run_at = %d, want none: the walk would call them strays", n)
	}
}

// In one call some are current, and some are over.
func TestLose_OnlyWhatIsCurrent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.insert(4)
	refs := w.claim(4).Refs()
	w.reconcile(job.Succeeded, 0, refs[0])
	w.reconcile(job.Started, 0, refs[1])
	asked := append(refs, job.Ref{ID: refs[2].ID, DispatchID: 1}, job.Ref{ID: 1 << 40, DispatchID: refs[0].DispatchID})
	current, err := w.Verify(t.Context(), asked)
	if err != nil || len(current) != 3 {
		t.Errorf("Verify = %v, %v, want %v", current, err, refs[1:])
	}
	if got := w.requeue(true, asked...); len(got) != 3 {
		t.Errorf("Requeue = %v, want %v", got, refs[1:])
	}
	if got := w.requeue(true, asked...); len(got) != 0 {
		t.Errorf("Requeue again = %v, want none", got)
	}
	if current, err = w.Verify(t.Context(), asked); err != nil || len(current) != 0 {
		t.Errorf("Verify after it = %v, %v, want none", current, err)
	}
}

// An attempt nobody reported of is not put down to the worker, nor to the start, of
// the attempt before it.
func TestLose_BlamesNobodyForAnotherAttempt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.bring(job.Running)
	w.reconcile(job.Failed, 0, first)
	w.requeue(true, w.claim(1).Jobs[0].Ref())
	got, err := w.Attempts(t.Context(), first.ID)
	if err != nil || len(got) != 2 {
		t.Fatalf("Attempts = %v, %v, want 2", got, err)
	}
	if a := got[0]; a.WorkerID != worker || a.StartedAt == nil || a.Outcome != "fail" {
		t.Errorf("the first attempt = %+v, want a failure of %s", a, worker)
	}
	if a := got[1]; a.WorkerID != "" || a.StartedAt != nil || a.Outcome != "lose" {
		t.Errorf("the second attempt = %+v, want it lost, by nobody known", a)
	}
}

// Redis lists what it lost by deadline; rows are locked in id order all the same, as
// by a worker that reconciles some of them at this moment: else one of the two is
// now and then the victim of a deadlock.
func TestLose_LocksInIDOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.insert(2)
	refs := w.claim(2).Refs()
	tx := w.begun()
	w.in(tx, "SELECT FROM outbox.jobs WHERE id = $1 FOR UPDATE", refs[0].ID)
	done := make(chan error, 1)
	go func() {
		_, err := w.Requeue(w.Context(), job.Requeue{QueueName: queue, Epoch: 1, Attempts: []job.LostAttempt{{Ref: refs[1]}, {Ref: refs[0]}}})
		done <- err
	}()
	w.waitsForLock()
	w.in(tx, "SELECT FROM outbox.jobs WHERE id = $1 FOR UPDATE NOWAIT", refs[1].ID)
	if err := tx.Rollback(w.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("Requeue: %v", err)
	}
}
