package db_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/penguinmails/rookery/job"
)

// reader follows events, a page at a time.
type reader struct {
	*world
	at   job.EventCursor
	gaps int
}

// listen opens the gate as one that has been open for long, and follows it from here.
func (w *world) listen() *reader {
	w.Helper()
	if err := w.OpenEvents(w.Context(), false); err != nil {
		w.Fatalf("OpenEvents: %v", err)
	}
	w.exec("UPDATE outbox.event_gate SET opened_at = now() - interval '1 minute'")
	r := &reader{world: w}
	r.settle()
	r.gaps = 0
	return r
}

// settle reads until no transaction is under way that may have seen the gate shut; those
// of other databases count too.
func (r *reader) settle() {
	r.Helper()
	for end := time.Now().Add(patience); !r.at.Settled; {
		if time.Now().After(end) {
			r.Fatal("the gate does not settle")
		}
		r.next()
	}
}

// next reads all there is, as "id status" in order.
func (r *reader) next() (seen []string) {
	r.Helper()
	for {
		p, err := r.Events(r.Context(), r.at, false)
		if err != nil {
			r.Fatalf("Events: %v", err)
		}
		// As a client would keep it.
		if r.at, err = job.ParseEventCursor(p.Next.String()); err != nil {
			r.Fatalf("cursor %q: %v", p.Next, err)
		}
		if p.Gap {
			r.gaps++
		}
		for _, e := range p.Events {
			seen = append(seen, fmt.Sprint(e.JobID, " ", e.Status))
		}
		if !p.More {
			slices.Sort(seen)
			return seen
		}
	}
}

func (r *reader) want(want ...string) {
	r.Helper()
	if diff := cmp.Diff(want, r.next()); diff != "" || r.gaps > 0 {
		r.Errorf("events (-want +got), %d gaps:\n%s", r.gaps, diff)
	}
}

func is(id int64, s job.Status) string { return fmt.Sprint(id, " ", s) }

func TestEvents_EachTransitionThatEndsAnAttemptOrAJob(t *testing.T) {
	t.Parallel()
	for _, h := range happenings() {
		if h.event == job.EventDispatch {
			continue
		}
		t.Run(strings.TrimSpace(string(h.event)+" "+h.name), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.listen()
			for _, from := range []job.Status{job.Queued, job.Dispatched, job.Running, job.Completed, job.Dead, job.Cancelled} {
				to, ok := job.Next(from, h.event)
				if !ok {
					continue
				}
				ref := w.bring(from)
				if h.setup != "" {
					w.exec(h.setup, ref.ID)
				}
				r.next()
				if err := h.do(w, ref); err != nil {
					t.Fatalf("%s from %s: %v", h.event, from, err)
				}
				r.want(is(ref.ID, to))
				w.exec("DELETE FROM outbox.ready")
			}
		})
	}
}

// Ids, times and numbers of transactions are drawn before a transaction commits: the
// first to begin may be the last to be seen.
func TestEvents_NoneIsSkippedWhenTransactionsCommitInTheOtherOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ids, r := w.insert(4), w.listen()
	first, second := w.begun(), w.begun()
	w.in(first, "SELECT outbox.cancel($1)", ids[0])
	w.in(second, "SELECT outbox.cancel($1)", ids[1])
	r.want()
	if err := second.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.want(is(ids[1], job.Cancelled)) // the first, which began before, does not hold it up
	third := w.begun()
	w.in(third, "SELECT outbox.cancel($1)", ids[2])
	if err := first.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.want(is(ids[0], job.Cancelled))
	gone := w.begun()
	w.in(gone, "SELECT outbox.cancel($1)", ids[3])
	if err := errors.Join(gone.Rollback(t.Context()), third.Commit(t.Context())); err != nil {
		t.Fatal(err)
	}
	r.want(is(ids[2], job.Cancelled))
	r.want()
}

func TestEvents_ManyAtOnceAreAllSeenOnce(t *testing.T) {
	t.Parallel()
	const writers, each = 6, 60
	w := newWorld(t)
	ids, r := w.insert(writers*each), w.listen()
	done := make(chan error, writers)
	for n := range writers {
		go func() {
			for i := range each {
				tx, err := w.side.Begin(context.Background())
				if err != nil {
					done <- err
					return
				}
				_, err = tx.Exec(context.Background(), "SELECT outbox.cancel($1), pg_sleep($2)", ids[n*each+i], rand.Float64()/200)
				if err = errors.Join(err, tx.Commit(context.Background())); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	var seen, want []string
	for running := writers; running > 0; {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			running--
		default:
			seen = append(seen, r.next()...)
		}
	}
	seen = append(seen, r.next()...)
	for _, id := range ids {
		want = append(want, is(id, job.Cancelled))
	}
	slices.Sort(seen)
	slices.Sort(want)
	if diff := cmp.Diff(want, seen); diff != "" || r.gaps > 0 {
		t.Errorf("events (-want +got), %d gaps:\n%s", r.gaps, diff)
	}
}

func TestEvents_PagesEndAnywhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ids, r := w.insert(95), w.listen()
	var want []string
	for _, id := range ids {
		w.exec("SELECT outbox.cancel($1)", id)
		want = append(want, is(id, job.Cancelled))
	}
	p, err := w.Events(t.Context(), r.at, false)
	if err != nil || !p.More || len(p.Events) != 40 || p.Next.Upto == "" {
		t.Fatalf("first page = %d events, more %t, %v, want 40 and more", len(p.Events), p.More, err)
	}
	late := w.insert(1)[0]
	w.exec("SELECT outbox.cancel($1)", late) // between two pages
	slices.Sort(want)
	r.want(append(want, is(late, job.Cancelled))...)
}

func TestEvents_ShutGateNotesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ref := w.out()
	w.reconcile(job.Succeeded, 0, ref)
	w.exec("SELECT outbox.cancel($1)", w.insert(1)[0])
	if n := get[int](w, "SELECT count(*) FROM outbox.events"); n != 0 {
		t.Fatalf("%d rows while nobody listens, want none", n)
	}
	r := w.listen()
	w.exec("UPDATE outbox.event_gate SET open_until = now()") // nobody has listened for long
	if r.next(); r.gaps != 1 || r.at.Settled {
		t.Fatalf("%d gaps after the gate was shut, settled %t, want one gap, not settled", r.gaps, r.at.Settled)
	}
	if err := w.OpenEvents(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if r.next(); r.gaps != 2 {
		t.Errorf("%d gaps after it was opened anew, want 2", r.gaps)
	}
}

// What saw the gate shut may commit after it was opened: that is told by one more gap.
func TestEvents_OpeningIsSettledWhenAllThatSawItShutHasEnded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.insert(1)[0]
	old := w.begun()
	w.in(old, "SELECT outbox.cancel($1)", id) // is not noted
	if err := w.OpenEvents(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	r := &reader{world: w}
	for range 2 {
		if r.next(); r.gaps != 1 || r.at.Settled {
			t.Fatalf("%d gaps, settled %t right after the opening, want the first gap alone", r.gaps, r.at.Settled)
		}
	}
	w.exec("UPDATE outbox.event_gate SET opened_at = now() - interval '1 minute'")
	for range 2 {
		if r.next(); r.gaps != 1 || r.at.Settled {
			t.Fatalf("%d gaps, settled %t while a transaction is under way, want no other gap", r.gaps, r.at.Settled)
		}
	}
	noted := w.insert(1)[0]
	w.exec("SELECT outbox.cancel($1)", noted)
	if err := old.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if seen := r.next(); len(seen) != 1 || seen[0] != is(noted, job.Cancelled) {
		t.Errorf("events before the gap = %v, want what was noted", seen)
	}
	if r.settle(); r.gaps != 2 {
		t.Fatalf("%d gaps after it has ended, want the second", r.gaps)
	}
	w.exec("SELECT outbox.redrive($1)", id)
	if seen := r.next(); r.gaps != 2 || len(seen) != 1 {
		t.Errorf("%v, %d gaps, want one event and no gap any more", seen, r.gaps)
	}
}

func TestEvents_PrunedOnesAreAGap(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ids, slow := w.insert(2), w.listen()
	prune := func() {
		if err := w.PruneStats(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	w.exec("UPDATE outbox.event_gate SET mark_at = now() - interval '20 minutes', mark = pg_current_snapshot()::text")
	w.exec("SELECT outbox.cancel($1)", ids[0])
	w.exec("UPDATE outbox.event_gate SET mark = pg_current_snapshot()::text")
	stopped := *slow // before the mark
	stopped.at.At = time.Now().Add(-time.Hour)
	prune()
	if n := get[int](w, "SELECT count(*) FROM outbox.events"); n != 1 {
		t.Fatalf("%d rows after it was said that they go, want 1: a reader may be on the page", n)
	}
	if stopped.next(); stopped.gaps != 1 {
		t.Errorf("who stopped before the mark has %d gaps, want 1", stopped.gaps)
	}
	slow.want(is(ids[0], job.Cancelled))
	w.exec("UPDATE outbox.event_gate SET warned_at = warned_at - interval '2 minutes'")
	w.exec("SELECT outbox.cancel($1)", ids[1])
	prune()
	if n := get[int](w, "SELECT count(*) FROM outbox.events"); n != 1 {
		t.Errorf("%d rows are left, want the one behind the mark", n)
	}
	slow.want(is(ids[1], job.Cancelled))
	prune()
	if n := get[int](w, "SELECT count(*) FROM outbox.events"); n != 1 {
		t.Errorf("%d rows are left though the mark is new, want 1", n)
	}
}

func TestEvents_AnotherTimelineIsAGap(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.listen()
	r.at.Line = "00000009"
	if r.next(); r.gaps != 1 {
		t.Errorf("%d gaps on another timeline, want 1", r.gaps)
	}
	r.at.Since = "9000000000:9000000000:" // this Postgres was restored
	if r.next(); r.gaps != 2 {
		t.Errorf("%d gaps before a snapshot of the future, want 2", r.gaps)
	}
}

func TestEvents_DetailForTheExport(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.listen()
	ref := w.out()
	if _, err := w.Reconcile(t.Context(), worker, []job.Outcome{{Ref: ref, Kind: job.Started}}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Reconcile(t.Context(), worker, []job.Outcome{{Ref: ref, Kind: job.Failed, Error: "no route"}}); err != nil {
		t.Fatal(err)
	}
	w.reconcile(job.Succeeded, 0, w.claim(1).Jobs[0].Ref())
	p, err := w.Events(t.Context(), r.at, true)
	if err != nil || len(p.Events) != 3 {
		t.Fatalf("Events = %+v, %v, want three", p, err)
	}
	runs, failed, done := p.Events[0], p.Events[1], p.Events[2]
	if runs.Status != job.Running || runs.AttemptCount != 1 || runs.Outcome != "" || runs.Error != "" {
		t.Errorf("the attempt that ran = %+v", runs)
	}
	if failed.Status != job.Queued || failed.AttemptCount != 1 || failed.Outcome != "fail" || failed.Error != "no route" || failed.WorkerID != worker || failed.FinishedAt == nil {
		t.Errorf("the attempt that failed = %+v", failed)
	}
	if done.Status != job.Completed || done.AttemptCount != 2 || done.Outcome != "" || done.WorkerID != worker || done.FinishedAt == nil || done.StartedAt == nil || done.QueueName != queue || done.Kind != "test" {
		t.Errorf("the one that succeeded = %+v", done)
	}
}
