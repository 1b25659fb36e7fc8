package db_test

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/penguinmails/rookery/db"
	"github.com/penguinmails/rookery/job"
)

// holdRefs holds refs for a worker, and returns the ids that are held.
func (w *world) holdRefs(dispatch int64, lease time.Duration, refs ...job.Ref) []int64 {
	w.Helper()
	ids, err := w.Hold(w.Context(), job.Hold{QueueName: queue, WorkerID: worker, DispatchID: dispatch, Lease: lease, Refs: refs})
	if err != nil {
		w.Fatalf("Hold: %v", err)
	}
	slices.Sort(ids)
	return ids
}

// takeBackHeld takes back what ended, with a deadline an hour from now.
func (w *world) takeBackHeld(deadline time.Duration) int {
	w.Helper()
	back, err := w.TakeBackHeld(w.Context(), get[time.Time](w, "SELECT clock_timestamp()").Add(deadline))
	if err != nil {
		w.Fatalf("TakeBackHeld: %v", err)
	}
	return len(back[queue])
}

const far = int64(1) << 40 // a dispatch id of the tests' own

func TestHold_MovesTheFence(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ids := w.insert(4)
	refs := w.claim(4).Refs()
	w.reconcile(job.Started, 0, refs[1])
	w.reconcile(job.Succeeded, 0, refs[2])
	old := job.Ref{ID: refs[3].ID, DispatchID: refs[3].DispatchID - 1}
	want := []int64{refs[0].ID, refs[1].ID}
	for range 3 { // the same again does the same again
		if got := w.holdRefs(far, time.Hour, refs[0], refs[1], refs[2], old); !slices.Equal(got, want) {
			t.Errorf("Hold = %v, want %v", got, want)
		}
	}
	if n := w.reconcile(job.Succeeded, 0, refs[0]); n != 0 {
		t.Errorf("outcomes accepted under the old fence = %d, want 0", n)
	}
	if n := w.requeue(false, refs[0], refs[1]); len(n) != 0 {
		t.Errorf("Requeue of what is held = %v, want nothing: another dispatch is current", n)
	}
	if n := w.reconcile(job.Succeeded, 0, job.Ref{ID: refs[0].ID, DispatchID: far}, job.Ref{ID: refs[1].ID, DispatchID: far}); n != 2 {
		t.Errorf("outcomes accepted under the new fence = %d, want 2", n)
	}
	if s := w.traces(ids[3]); s.Status != job.Dispatched || s.DispatchID != refs[3].DispatchID {
		t.Errorf("job of another attempt = %+v, want it untouched", s)
	}
}

// What is held is nobody else's: not to be recovered, settled, or counted against
// the window.
// Clients know an attempt by the dispatch it had when they leased it.
func TestLeaseStanding_FollowsWhatWasMoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.insert(3)
	refs := w.claim(3).Refs()
	w.holdRefs(far, time.Hour, refs[2], refs[1])
	w.holdRefs(far, time.Hour, refs[2], refs[1]) // the same again
	w.reconcile(job.Succeeded, 0, job.Ref{ID: refs[2].ID, DispatchID: far})
	for _, c := range []struct {
		what   string
		ref    job.Ref
		want   job.LeaseStanding
		status job.Status
	}{
		{"leased", refs[0], job.LeaseStanding{Ours: true}, job.Dispatched},
		{"held", refs[1], job.LeaseStanding{Ours: true, Moved: true}, job.Dispatched},
		{"held, by its new name", job.Ref{ID: refs[1].ID, DispatchID: far}, job.LeaseStanding{Ours: true}, job.Dispatched},
		{"held and completed", refs[2], job.LeaseStanding{Ours: true, Moved: true}, job.Completed},
		{"another's", job.Ref{ID: refs[1].ID, DispatchID: refs[1].DispatchID + 1}, job.LeaseStanding{}, job.Dispatched},
	} {
		got, err := w.LeaseStanding(w.Context(), c.ref)
		if err != nil || got.Ours != c.want.Ours || got.Moved != c.want.Moved || got.Job.Status != c.status || got.Job.ID != c.ref.ID {
			t.Errorf("LeaseStanding(%s) = %+v, %v, want %+v of a job that is %s", c.what, got, err, c.want, c.status)
		}
	}
	if _, err := w.LeaseStanding(w.Context(), job.Ref{ID: 1 << 40, DispatchID: 1}); !errors.Is(err, job.ErrNotFound) {
		t.Errorf("LeaseStanding of no job = %v, want %v", err, job.ErrNotFound)
	}
}

func TestHold_RowIsLeftAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.insert(2)
	refs := w.claim(2).Refs()
	w.holdRefs(far, time.Hour, refs...)
	w.exec("UPDATE outbox.dispatches SET created_at = now() - interval '1 hour', taken_at = now() - interval '1 hour'")
	w.begin(queue)
	page, err := w.Unsettled(t.Context(), queue, 2, job.Cursor{})
	if err != nil || len(page.Refs) != 0 {
		t.Errorf("Unsettled = %v, %v, want none", page.Refs, err)
	}
	if back := w.takeBackHeld(time.Hour); back != 0 {
		t.Errorf("TakeBackHeld = %d jobs, want 0: the lease goes on", back)
	}
	walk, err := w.Walk(t.Context(), 0)
	if err != nil || len(walk.Strays)+len(walk.Orphans) != 0 {
		t.Errorf("Walk = %+v, %v, want nothing found", walk, err)
	}
}

func TestRenew_SaysWhatIsCurrent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.insert(4)
	refs := w.claim(4).Refs()
	w.holdRefs(far, time.Millisecond, refs...)
	held := func(i int) job.Ref { return job.Ref{ID: refs[i].ID, DispatchID: far} }
	w.reconcile(job.Started, 0, held(1))
	w.reconcile(job.Succeeded, 0, held(2))
	if done, err := w.Cancel(t.Context(), refs[3].ID); !done || err != nil {
		t.Fatalf("Cancel = %t, %v", done, err)
	}
	current, cancelled, err := w.Renew(t.Context(), worker, time.Hour, []int64{far, far + 1})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(current, func(a, b job.Ref) int { return cmp.Compare(a.ID, b.ID) })
	if diff := gocmp.Diff([]job.Ref{held(0), held(1)}, current); diff != "" {
		t.Errorf("current (-want +got):\n%s", diff)
	}
	if diff := gocmp.Diff([]job.Ref{held(3)}, cancelled); diff != "" {
		t.Errorf("cancelled (-want +got):\n%s", diff)
	}
	if back := w.takeBackHeld(time.Hour); back != 0 {
		t.Errorf("TakeBackHeld after the renewal = %d, want 0", back)
	}
	if current, _, err = w.Renew(t.Context(), "another worker", time.Hour, []int64{far}); err != nil || len(current) != 0 {
		t.Errorf("Renew by another worker = %v, %v, want nothing", current, err)
	}
}

// A lease that ended comes back as lost, once, and its worker learns it.
func TestTakeBackHeld_EndedLease(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.insert(1)[0]
	ref := w.claim(1).Refs()[0]
	w.holdRefs(far, time.Millisecond, ref)
	w.until("the lease to end", "SELECT lease_until < now() FROM outbox.dispatches WHERE id = $1", far)
	if back := w.takeBackHeld(-time.Second); back != 0 {
		t.Errorf("TakeBackHeld after its deadline = %d, want 0", back)
	}
	if back := w.takeBackHeld(time.Hour); back != 1 {
		t.Errorf("TakeBackHeld = %d, want 1", back)
	}
	want := traces{Status: job.Queued, Ready: 1, LostCount: 1, AttemptCount: 1, DispatchID: far, Attempts: 1, LastOutcome: "lose", Priorities: "-1"}
	if diff := gocmp.Diff(want, w.traces(id)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if current, _, err := w.Renew(t.Context(), worker, time.Hour, []int64{far}); err != nil || len(current) != 0 {
		t.Errorf("Renew of what was taken back = %v, %v, want nothing", current, err)
	}
	if got := w.holdRefs(far, time.Hour, ref); len(got) != 0 {
		t.Errorf("Hold of what was taken back = %v, want nothing", got)
	}
	if n := w.reconcile(job.Succeeded, 0, job.Ref{ID: id, DispatchID: far}); n != 0 {
		t.Errorf("late outcomes accepted = %d, want 0", n)
	}
}

// A renewal and the taking back meet: the row's lock decides, and never both.
func TestTakeBackHeld_AgainstRenewal(t *testing.T) {
	t.Parallel()
	for range 20 {
		w := newWorld(t)
		w.insert(1)
		ref := w.claim(1).Refs()[0]
		w.holdRefs(far, time.Millisecond, ref)
		w.until("the lease to end", "SELECT lease_until < now() FROM outbox.dispatches WHERE id = $1", far)
		var back, kept int
		w.all(
			func(ctx context.Context) error {
				b, err := w.TakeBackHeld(ctx, time.Now().Add(time.Hour))
				back = len(b[queue])
				return err
			},
			func(ctx context.Context) error {
				c, _, err := w.Renew(ctx, worker, time.Hour, []int64{far})
				kept = len(c)
				return err
			},
		)
		if back+kept != 1 {
			t.Fatalf("taken back %d, kept %d, want one of them", back, kept)
		}
	}
}

func TestClaim_ByAWorker(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.insert(5)
	c := order(3)
	c.WorkerID, c.Lease = worker, time.Hour
	first, err := w.Claim(t.Context(), c)
	if err != nil || len(first.Jobs) != 3 {
		t.Fatalf("Claim = %v, %v, want 3 jobs", idsOf(first), err)
	}
	c.Again = true // its answer was lost
	again, err := w.Claim(t.Context(), c)
	if err != nil || !slices.Equal(ids(again), ids(first)) {
		t.Errorf("the same claim again = %v, %v, want %v", idsOf(again), err, idsOf(first))
	}
	if batches, err := w.TakeOver(t.Context(), relay, []string{queue}); err != nil || len(batches) != 0 {
		t.Errorf("TakeOver = %v, %v, want none", batches, err)
	}
	if current, _, err := w.Renew(t.Context(), worker, time.Hour, []int64{c.DispatchID}); err != nil || len(current) != 3 {
		t.Errorf("Renew = %v, %v, want the three", current, err)
	}
	// The claim never arrived the first time: asked again, it is carried out.
	fresh := order(3)
	fresh.WorkerID, fresh.Lease, fresh.Again = worker, time.Hour, true
	if b, err := w.Claim(t.Context(), fresh); err != nil || len(b.Jobs) != 2 {
		t.Errorf("a claim that never arrived = %v, %v, want the other two", idsOf(b), err)
	}
	w.exec("UPDATE outbox.queues SET paused = true")
	w.insert(1)
	paused := order(3)
	paused.WorkerID, paused.Lease = worker, time.Hour
	if b, err := w.Claim(t.Context(), paused); err != nil || len(b.Jobs) != 0 {
		t.Errorf("Claim of a paused queue = %v, %v, want nothing", idsOf(b), err)
	}
}

func TestRedisSilence_IsTheLatestContact(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	silent := func() time.Duration {
		d, err := w.RedisSilence(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	if d := silent(); d != 0 {
		t.Errorf("RedisSilence without processes = %s, want 0", d)
	}
	for _, p := range []job.Process{{ID: "a", Role: "worker", RedisOK: true}, {ID: "b", Role: "relay"}} {
		if _, err := w.Beat(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	w.exec("UPDATE outbox.processes SET redis_at = redis_at - interval '1 minute', started_at = started_at - interval '1 hour'")
	if d := silent(); d < time.Minute || d > 30*time.Minute {
		t.Errorf("RedisSilence = %s, want a minute", d)
	}
	w.exec("UPDATE outbox.processes SET redis_at = NULL")
	if d := silent(); d < time.Hour {
		t.Errorf("RedisSilence when nobody ever reached it = %s, want an hour", d)
	}
	w.exec("UPDATE outbox.processes SET redis_at = now() WHERE id = 'b'")
	if d := silent(); d > 30*time.Minute {
		t.Errorf("RedisSilence after a contact = %s, want next to nothing", d)
	}
}

// Only a hold that certainly moved nothing says so.
func TestHold_Undone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ref := w.out()
	h := job.Hold{QueueName: queue, WorkerID: worker, DispatchID: far, Lease: time.Hour, Refs: []job.Ref{ref}}
	tx := w.begun()
	w.in(tx, "SELECT FROM outbox.jobs WHERE id = $1 FOR UPDATE", ref.ID)
	if _, err := w.hasty().Hold(t.Context(), h); !errors.Is(err, job.ErrUndone) || !errors.Is(err, job.ErrConflict) {
		t.Errorf("Hold of a locked job = %v, want a conflict that changed nothing", err)
	}
	done := make(chan error, 1) // one: read once
	go func() { _, err := w.Hold(t.Context(), h); done <- err }()
	w.waitsForLock()
	w.exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND pid <> pg_backend_pid()`)
	if err := <-done; err == nil || errors.Is(err, job.ErrUndone) {
		t.Errorf("Hold on a connection that was ended = %v, want an error that leaves it open", err)
	}
	nobody, err := db.Open(t.Context(), "postgres://nobody@127.0.0.1:1/none", db.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer nobody.Close()
	if _, err := nobody.Hold(t.Context(), h); !errors.Is(err, job.ErrUndone) {
		t.Errorf("Hold without a server = %v, want %v", err, job.ErrUndone)
	}
}
