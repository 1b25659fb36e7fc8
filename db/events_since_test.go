package db_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/penguinmails/rookery/job"
)

// since begins an export at a moment.
func (w *world) since(at time.Time) (*reader, time.Time) {
	w.Helper()
	start, err := w.EventsSince(w.Context(), at)
	if err != nil {
		w.Fatalf("EventsSince: %v", err)
	}
	return &reader{world: w, at: start.At}, start.CompleteFrom
}

func TestEvents_SinceBeginsWithWhatIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ids := w.insert(6)
	w.listen()
	moment := func() time.Time { return get[time.Time](w, "SELECT clock_timestamp()") }
	cancel := func(id int64) { w.exec("SELECT outbox.cancel($1)", id) }
	cancel(ids[0])
	early := w.begun() // at before the moment, among those after it
	w.in(early, "SELECT 1")
	slow := w.begun() // at before the moment, committed when the export has begun
	w.in(slow, "SELECT outbox.cancel($1)", ids[5])
	before := moment()
	open := w.begun() // at after the moment, committed after the export began
	w.in(open, "SELECT outbox.cancel($1)", ids[1])
	cancel(ids[2])
	w.in(early, "SELECT outbox.cancel($1)", ids[4])
	if err := early.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	all, from := w.since(time.Unix(0, 0))
	late, _ := w.since(before)
	if err := errors.Join(open.Commit(t.Context()), slow.Commit(t.Context())); err != nil {
		t.Fatal(err)
	}
	cancel(ids[3])
	// First what was there when it began, then what has come since, whenever that began.
	want := []string{is(ids[2], job.Cancelled), is(ids[1], job.Cancelled), is(ids[3], job.Cancelled), is(ids[5], job.Cancelled)}
	if diff := cmp.Diff(want, append(late.next(), late.next()...)); diff != "" {
		t.Errorf("since a moment (-want +got):\n%s", diff)
	}
	want = append([]string{is(ids[0], job.Cancelled), want[0], is(ids[4], job.Cancelled)}, want[1:]...)
	if diff := cmp.Diff(want, append(all.next(), all.next()...)); diff != "" {
		t.Errorf("since ever (-want +got):\n%s", diff)
	}
	if more := all.next(); len(more) > 0 {
		t.Errorf("%v come a second time", more)
	}
	// Others' transactions were under way: the cursor settles by the one gap that tells of it.
	if all.settle(); all.gaps > 1 {
		t.Errorf("%d gaps, want at most the one of an opening", all.gaps)
	}

	// opened a minute ago, see listen: complete from 15 s after that, or from what was pruned.
	opened := get[time.Time](w, "SELECT opened_at FROM outbox.event_gate")
	if gap := from.Sub(opened.Add(job.EventsSettle)); gap.Abs() > time.Second && !from.Equal(get[time.Time](w, "SELECT pruned_at FROM outbox.event_gate").UTC()) {
		t.Errorf("complete from %s, want 15 s after the gate was opened at %s", from, opened)
	}
	w.exec("UPDATE outbox.event_gate SET pruned_at = now() - interval '5 seconds'")
	pruned := get[time.Time](w, "SELECT pruned_at FROM outbox.event_gate")
	if _, from = w.since(before); !from.Equal(pruned) {
		t.Errorf("complete from %s, want what was pruned, %s", from, pruned)
	}
}

// What began before the moment may be a great many rows: they are passed over some at a
// time.
func TestEvents_SincePassesOverMany(t *testing.T) {
	t.Parallel()
	const many = 250_000 // more than two pages pass over
	w := newWorld(t)
	w.listen()
	w.exec("INSERT INTO outbox.events (tx, job_ids, at) SELECT 3, ARRAY[n], now() - interval '1 day' FROM generate_series(1, $1::bigint) AS n", many)
	id := w.insert(1)[0]
	moment := get[time.Time](w, "SELECT clock_timestamp()")
	w.exec("SELECT outbox.cancel($1)", id)
	late, _ := w.since(moment)
	for page := 1; ; page++ {
		p, err := w.Events(t.Context(), late.at, false)
		if err != nil {
			t.Fatal(err)
		}
		if late.at = p.Next; len(p.Events) > 0 {
			if page != 3 {
				t.Errorf("the first event is on page %d, want the third: of 100,000 rows each", page)
			}
			break
		}
		if !p.More || page > 3 {
			t.Fatalf("page %d = %+v, want more", page, p)
		}
	}
	if more := late.next(); len(more) > 0 {
		t.Errorf("%v come a second time", more)
	}
}
