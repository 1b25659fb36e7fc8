package db_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/penguinmails/rookery/db"
	"github.com/penguinmails/rookery/job"
)

// hourAgo is a whole minute within what is kept.
func hourAgo() time.Time { return time.Now().Add(-time.Hour).Truncate(time.Minute).UTC() }

// chart is ten minutes from a moment on, by the minute.
func chart(queue string, from time.Time) job.StatRange {
	return job.StatRange{QueueName: queue, From: from, To: from.Add(10 * time.Minute), Step: time.Minute}
}

// putStats writes rows of one writer.
func (w *world) putStats(writer int64, rows ...job.Stat) {
	w.Helper()
	if err := w.PutStats(w.Context(), writer, rows); err != nil {
		w.Fatalf("PutStats: %v", err)
	}
}

// stats reads a chart, its times in UTC.
func (w *world) stats(r job.StatRange) []job.StatPoint {
	w.Helper()
	points, err := w.Stats(w.Context(), r)
	if err != nil {
		w.Fatalf("Stats(%+v): %v", r, err)
	}
	for i := range points {
		points[i].At = points[i].At.UTC()
	}
	return points
}

func TestStats_AddsUpWritersAndQueues(t *testing.T) {
	t.Parallel()
	w, from := newWorld(t), hourAgo()
	full := job.Stat{
		Minute: from, QueueName: "a", Dispatched: 1, Lost: 2, Completed: 3, Failed: 4, Dead: 5, Cancelled: 6, Snoozed: 7,
		Ran: 1500 * time.Millisecond, Waited: 30 * time.Millisecond,
	}
	full.RunTimes.Add(1500 * time.Millisecond)
	full.WaitTimes.Add(time.Hour) // the last bucket
	other := full
	other.QueueName = "b"
	w.putStats(1, full, other)
	w.putStats(2, full)
	w.putStats(1, job.Stat{Minute: from.Add(time.Minute), QueueName: "a", Completed: 1}, job.Stat{Minute: from.Add(-time.Minute), QueueName: "a", Completed: 1},
		job.Stat{Minute: from.Add(10 * time.Minute), QueueName: "a", Completed: 1})

	point := func(n int64, at time.Time) job.StatPoint {
		return job.StatPoint{
			At: at, Dispatched: n, Lost: 2 * n, Completed: 3 * n, Failed: 4 * n, Dead: 5 * n, Cancelled: 6 * n, Snoozed: 7 * n,
			Run:  job.Times{Count: n, Seconds: 1.5 * float64(n), P50: 1.75, P95: 2.425},
			Wait: job.Times{Count: n, Seconds: 0.03 * float64(n), P50: 1800, P95: 1800},
		}
	}
	second := job.StatPoint{At: from.Add(time.Minute), Completed: 1}
	near := cmp.Comparer(func(x, y float64) bool { return x-y < 1e-6 && y-x < 1e-6 })
	if diff := cmp.Diff([]job.StatPoint{point(2, from), second}, w.stats(chart("a", from)), near); diff != "" {
		t.Errorf("queue a, by the minute (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]job.StatPoint{point(3, from), second}, w.stats(chart("", from)), near); diff != "" {
		t.Errorf("all queues (-want +got):\n%s", diff)
	}
	r := chart("a", from)
	r.Step = 5 * time.Minute
	got := w.stats(r)
	if len(got) != 1 || got[0].Completed != 7 || !got[0].At.Equal(from) {
		t.Errorf("in steps of five minutes = %+v, want one of 7 completed", got)
	}
}

func TestPutStats_TheSameAgainChangesNothing(t *testing.T) {
	t.Parallel()
	w, from := newWorld(t), hourAgo()
	row := job.Stat{Minute: from, QueueName: "a", Completed: 3}
	w.putStats(1, row)
	w.putStats(1, row)
	if got := w.stats(chart("a", from)); len(got) != 1 || got[0].Completed != 3 {
		t.Errorf("Stats after writing twice = %+v, want 3 completed", got)
	}
	row.Completed = 5 // the last write of a process that began the minute anew
	w.putStats(1, row)
	if got := w.stats(chart("a", from)); len(got) != 1 || got[0].Completed != 5 {
		t.Errorf("Stats after writing more = %+v, want 5 completed", got)
	}
}

func TestStats_RefusesTooMuch(t *testing.T) {
	t.Parallel()
	w, from := newWorld(t), hourAgo()
	r := chart("a", from)
	r.Step = time.Second
	var field *job.FieldError
	if _, err := w.Stats(t.Context(), r); !errors.As(err, &field) || field.Field != "step" {
		t.Errorf("Stats by the second = %v, want an error of field step", err)
	}
	if _, err := w.Depths(t.Context(), r); !errors.As(err, &field) || field.Field != "step" {
		t.Errorf("Depths by the second = %v, want an error of field step", err)
	}
}

func TestSampleDepths_OncePerMinute(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.begin("empty")
	ids := w.insert(5)
	w.exec("UPDATE outbox.jobs SET run_at = now() - interval '1 minute' WHERE id = $1", ids[4])
	w.exec("INSERT INTO outbox.jobs (queue_name, run_at) VALUES ('mail', now() + interval '1 hour')")
	w.claim(2)
	for id, beat := range map[string]string{"alive": "0 seconds", "silent": "1 minute"} {
		w.exec(`INSERT INTO outbox.processes (id, role, epochs, beat_at) VALUES ($1, 'worker', '{"mail": 1}', now() - $2::text::interval)`, id, beat)
	}
	if err := w.SetPaused(t.Context(), "empty", true); err != nil {
		t.Fatal(err)
	}
	depths, sampled, err := w.SampleDepths(t.Context())
	if err != nil || !sampled {
		t.Fatalf("SampleDepths = %v, %t, %v", depths, sampled, err)
	}
	got := map[string]job.Depth{}
	for _, d := range depths {
		if d.QueueName == "mail" && (d.Oldest < time.Minute || d.Oldest > time.Hour) {
			t.Errorf("the oldest job of mail has been due for %s, want a minute", d.Oldest)
		}
		d.At, d.Oldest = time.Time{}, 0
		got[d.QueueName] = d
	}
	want := map[string]job.Depth{
		"mail":  {QueueName: "mail", Ready: 3, Scheduled: 1, Out: 2, Workers: 1},
		"empty": {QueueName: "empty", Paused: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("SampleDepths (-want +got):\n%s", diff)
	}
	// Unless the minute has just ended, in which case it is as if the first had never been.
	again, sampled, err := w.SampleDepths(t.Context())
	if minutes := get[int](w, "SELECT count(DISTINCT minute) FROM outbox.depths"); err != nil || minutes == 1 && sampled {
		t.Errorf("SampleDepths again = %v, %t, %v, want that it is done", again, sampled, err)
	}
}

func TestSampleDepths_TwoAtOnceAreOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tx := w.begun()
	w.in(tx, "SELECT pg_advisory_xact_lock(1380928331, 4)") // another relay is at it
	if depths, sampled, err := w.SampleDepths(t.Context()); err != nil || sampled {
		t.Errorf("SampleDepths beside another = %v, %t, %v, want nothing", depths, sampled, err)
	}
}

func TestDepths_LastOfEachStep(t *testing.T) {
	t.Parallel()
	w, from := newWorld(t), hourAgo()
	for minute, ready := range []int{10, 20, 30, 40} {
		w.exec(`INSERT INTO outbox.depths (minute, queue_name, paused, ready, scheduled, out, workers, oldest_ms)
			VALUES ($1, 'a', false, $2, 1, 2, 3, 1500), ($1, 'b', true, 0, 0, 0, 0, 0)`, from.Add(time.Duration(minute)*time.Minute), ready)
	}
	r := chart("a", from)
	r.Step = 2 * time.Minute
	got, err := w.Depths(t.Context(), r)
	for i := range got {
		got[i].At = got[i].At.UTC()
	}
	one := job.Depth{At: from, QueueName: "a", Ready: 20, Scheduled: 1, Out: 2, Workers: 3, Oldest: 1500 * time.Millisecond}
	two := one
	two.At, two.Ready = from.Add(2*time.Minute), 40
	if diff := cmp.Diff([]job.Depth{one, two}, got); diff != "" || err != nil {
		t.Errorf("Depths = %v (-want +got):\n%s", err, diff)
	}
	r.QueueName = ""
	if got, err := w.Depths(t.Context(), r); err != nil || len(got) != 4 || !got[3].Paused {
		t.Errorf("Depths of all queues = %+v, %v, want two of each", got, err)
	}
}

func TestPruneStats_KeepsEightDays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	now := time.Now().UTC()
	for name, at := range map[string]time.Time{
		"old": now.Add(-job.StatKept - time.Minute), "young": now.Add(-job.StatKept + time.Hour),
		"ahead": now.Add(50 * time.Minute), "mad": now.Add(2 * time.Hour),
	} {
		w.putStats(1, job.Stat{Minute: at, QueueName: name, Completed: 1})
		w.exec("INSERT INTO outbox.depths (minute, queue_name, paused, ready, scheduled, out, workers, oldest_ms) VALUES ($1, $2, false, 0, 0, 0, 0, 0)", at, name)
	}
	if err := w.PruneStats(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := get[string](w, "SELECT string_agg(queue_name, ' ' ORDER BY queue_name) FROM outbox.stats"); got != "ahead young" {
		t.Errorf("stats has %q, want ahead young", got)
	}
	if got := get[string](w, "SELECT string_agg(queue_name, ' ' ORDER BY queue_name) FROM outbox.depths"); got != "ahead mad young" {
		t.Errorf("depths has %q, want all but old", got)
	}
}

func TestRoles_WriteAndReadStats(t *testing.T) {
	t.Parallel()
	w, from := newWorld(t), hourAgo()
	row := []job.Stat{{Minute: from, QueueName: "a", Completed: 1}}
	relay, worker, api, readonly := storeOf(w, "rookery_relay"), storeOf(w, "rookery_worker"), storeOf(w, "rookery_api"), storeOf(w, "rookery_readonly")
	_, _, sample := relay.SampleDepths(t.Context())
	_, apiStats := api.Stats(t.Context(), chart("a", from))
	_, apiDepths := api.Depths(t.Context(), chart("a", from))
	_, readStats := readonly.Stats(t.Context(), chart("a", from))
	for what, err := range map[string]error{
		"relay writes": relay.PutStats(t.Context(), 1, row), "relay writes again": relay.PutStats(t.Context(), 1, row),
		"relay samples": sample, "relay prunes": relay.PruneStats(t.Context()), "relay rolls up": relay.RollUp(t.Context()),
		"worker writes": worker.PutStats(t.Context(), 2, row), "worker writes again": worker.PutStats(t.Context(), 2, row),
		"api reads stats": apiStats, "api reads depths": apiDepths, "readonly reads stats": readStats,
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, err := range map[string]error{
		"worker prunes": worker.PruneStats(t.Context()), "worker rolls up": worker.RollUp(t.Context()), "api writes": api.PutStats(t.Context(), 3, row), "readonly writes": readonly.PutStats(t.Context(), 3, row),
	} {
		if err == nil {
			t.Errorf("%s: may", what)
		}
	}
	if get[bool](w, "SELECT has_table_privilege('rookery_producer', 'outbox.stats', 'SELECT') OR has_table_privilege('rookery_producer', 'outbox.depths', 'SELECT') OR has_table_privilege('rookery_producer', 'outbox.rollups', 'SELECT')") {
		t.Error("a producer may read figures")
	}
}

// storeOf opens a Store as a login that has role and nothing else.
func storeOf(w *world, role string) *db.Store {
	w.Helper()
	return openStore(w.T, w.loginIn(role), db.Patient(db.Options{}, patience))
}

func TestRates_AreOfTheLastMinutes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	now := time.Now().Truncate(time.Minute).UTC()
	ago := func(m int) time.Time { return now.Add(-time.Duration(m) * time.Minute) }
	w.putStats(1,
		job.Stat{Minute: ago(7), QueueName: "a", Completed: 1000},                             // too old
		job.Stat{Minute: ago(4), QueueName: "a", Completed: 60, Failed: 20, Ran: time.Second}, // the first minute that counts
		job.Stat{Minute: ago(2), QueueName: "b", Dead: 1, Cancelled: 2, Ran: 3 * time.Second}, //
		job.Stat{Minute: ago(2), QueueName: "c", Dispatched: 9, Snoozed: 5},                   // nothing ended
		job.Stat{Minute: ago(-2), QueueName: "a", Completed: 1000})                            // of a clock that runs ahead
	w.putStats(2, job.Stat{Minute: ago(3), QueueName: "a", Completed: 40, Ran: 2 * time.Second})
	got, err := w.Rates(w.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]job.Rate{
		"a": {Ended: 120, Span: 3 * time.Minute, Ran: 3 * time.Second}, // up to the last minute of any queue
		"b": {Ended: 3, Span: time.Minute, Ran: 3 * time.Second},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Rates (-want +got):\n%s", diff)
	}
}
