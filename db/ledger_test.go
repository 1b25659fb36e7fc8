package db_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/penguinmails/rookery/job"
)

func (w *world) later(n int, in string) {
	w.Helper()
	w.exec("INSERT INTO outbox.jobs (queue_name, run_at) SELECT 'mail', now() + $2::interval FROM generate_series(1, $1::int)", n, in)
}

// due makes scheduled jobs fall due.
func (w *world) due() {
	w.Helper()
	w.exec("UPDATE outbox.scheduled SET run_at = run_at - interval '2 hours'")
	w.exec("UPDATE outbox.jobs SET run_at = run_at - interval '2 hours'")
}

func TestPromote_ByTwoAtOnce(t *testing.T) {
	t.Parallel()
	const jobs = 4500
	w := newWorld(t)
	w.later(jobs, "1 hour")
	w.due()
	w.later(3, "1 hour")
	total := make(chan int64, 2)
	promote := func(ctx context.Context) error {
		var mine int64
		defer func() { total <- mine }()
		for {
			n, _, err := w.Promote(ctx, epochStart)
			if n > 1000 {
				t.Errorf("Promote = %d, want at most 1000", n)
			}
			if mine += n; err != nil || n == 0 {
				return err
			}
		}
	}
	w.all(promote, promote)
	if n := <-total + <-total; n != jobs {
		t.Errorf("promoted by both = %d, want %d", n, jobs)
	}
	if n := get[int](w, "SELECT count(DISTINCT job_id) FROM outbox.ready"); n != jobs {
		t.Errorf("ready = %d jobs, want %d", n, jobs)
	}
	if n := get[int](w, "SELECT count(*) FROM outbox.scheduled"); n != 3 {
		t.Errorf("scheduled = %d jobs, want the 3 that are not due", n)
	}
}

func TestPromote_FromAPoint(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n, first, err := w.Promote(t.Context(), epochStart)
	if err != nil || n != 0 || !first.Equal(epochStart) {
		t.Errorf("Promote of nothing = %d, %s, %v, want 0 and the point given", n, first, err)
	}
	w.later(1, "1 hour")
	w.due()
	at := get[time.Time](w, "SELECT run_at FROM outbox.scheduled")
	if n, _, err = w.Promote(t.Context(), at.Add(time.Microsecond)); err != nil || n != 0 {
		t.Errorf("Promote from above it = %d, %v, want 0", n, err)
	}
	if n, first, err = w.Promote(t.Context(), at); err != nil || n != 1 || !first.Equal(at) {
		t.Errorf("Promote from it = %d, %s, %v, want 1, %s", n, first, err, at)
	}
	if s, err := w.Survey(t.Context(), epochStart, nil); err != nil || s.NextIn != job.Never || len(s.Queues) != 1 {
		t.Errorf("Survey = %+v, %v, want a due job and no scheduled one", s, err)
	}
}

// A job that was cancelled between promotion and claim is not claimed.
func TestPromote_OfACancelledJobIsDropped(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.later(1, "1 hour")
	w.due()
	w.exec("UPDATE outbox.jobs SET status = 'cancelled', finished_at = now()")
	if n, _, err := w.Promote(t.Context(), epochStart); n != 1 || err != nil {
		t.Fatalf("Promote = %d, %v", n, err)
	}
	if b := w.claim(1); len(b.Jobs) != 0 {
		t.Errorf("Claim = %s, want none", idsOf(b))
	}
	if n := get[int](w, "SELECT count(*) FROM outbox.ready") + get[int](w, "SELECT count(*) FROM outbox.dispatches"); n != 0 {
		t.Errorf("rows left in ready and the ledger = %d, want none", n)
	}
}

func (w *world) sweep(from job.Cursor) job.Sweep {
	w.Helper()
	s, err := w.Sweep(w.Context(), from)
	if err != nil {
		w.Fatalf("Sweep: %v", err)
	}
	return s
}

func TestSweep_DeletesWhatIsOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.insert(6)
	done, half, moved := w.claim(2), w.claim(2), w.claim(2)
	w.reconcile(job.Succeeded, 0, done.Refs()...)
	w.reconcile(job.Started, 0, half.Refs()[0])
	w.reconcile(job.Discarded, 0, half.Refs()[1])
	w.reconcile(job.Snoozed, 0, moved.Refs()...)
	again := w.claim(2) // current, but not in the batch before
	w.exec("INSERT INTO outbox.dispatches (id, queue_name, job_ids, epoch, relay_id) VALUES (1, 'mail', '{4711}', 1, 'x')")

	if s := w.sweep(job.Cursor{}); s.Seen != 5 || s.Swept != 3 || s.Shortened != 0 {
		t.Errorf("Sweep = %+v, want 3 of 5 swept", s)
	}
	want := map[int64][]job.Ref{half.DispatchID: half.Refs()[:1], again.DispatchID: again.Refs()}
	left := get[[]int64](w, "SELECT array_agg(id) FROM outbox.dispatches")
	if len(left) != 2 || want[left[0]] == nil || want[left[1]] == nil {
		t.Errorf("ledger = %v, want %v", left, want)
	}
}

// A row older than a minute of which under a tenth is left is rewritten with that.
func TestSweep_Shortens(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name       string
		jobs, left int
		old        bool
		shortened  int64
	}{
		{"under a tenth, old", 11, 1, true, 1},
		{"under a tenth, young", 11, 1, false, 0},
		{"a tenth, old", 10, 1, true, 0},
		{"two of 21", 21, 2, true, 1},
		{"none", 11, 0, true, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.insert(tt.jobs)
			refs := w.claim(tt.jobs).Refs()
			w.reconcile(job.Succeeded, 0, refs[tt.left:]...)
			if tt.old {
				w.exec("UPDATE outbox.dispatches SET created_at = created_at - interval '61 seconds'")
			}
			want := tt.jobs
			if tt.shortened == 1 {
				want = tt.left
			} else if tt.left == 0 {
				want = 0
			}
			if s := w.sweep(job.Cursor{}); s.Seen != 1 || s.Shortened != tt.shortened || s.Swept != min(1, int64(1-min(tt.left, 1))) {
				t.Errorf("Sweep = %+v, want %d shortened", s, tt.shortened)
			}
			if n := len(w.ledger()); n != want {
				t.Errorf("the ledger lists %d jobs, want %d", n, want)
			}
			if s := w.sweep(job.Cursor{}); s.Shortened != 0 {
				t.Errorf("Sweep again = %+v, want none shortened", s)
			}
			// What is left is still found by those who recover.
			w.reconcile(job.Succeeded, 0, refs[:tt.left]...)
			w.sweep(job.Cursor{})
			if n := len(w.ledger()); n != 0 {
				t.Errorf("the ledger lists %d jobs in the end, want none", n)
			}
		})
	}
}

// What a row of a hold says of the dispatches that its jobs had stays with the jobs.
func TestSweep_ShortensWhatWasMoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.insert(21)
	var refs []job.Ref
	for range 21 {
		refs = append(refs, w.claim(1).Refs()...)
	}
	w.holdRefs(far, time.Minute, refs...)
	var over []job.Ref
	for i, r := range refs {
		if i != 13 && i != 19 {
			over = append(over, job.Ref{ID: r.ID, DispatchID: far})
		}
	}
	w.reconcile(job.Succeeded, 0, over...)
	w.exec("UPDATE outbox.dispatches SET created_at = created_at - interval '61 seconds'")
	if s := w.sweep(job.Cursor{}); s.Shortened != 1 {
		t.Fatalf("Sweep = %+v, want one shortened", s)
	}
	for _, i := range []int{13, 19} {
		if s, err := w.LeaseStanding(t.Context(), refs[i]); err != nil || !s.Current() || !s.Moved {
			t.Errorf("LeaseStanding of job %d = %+v, %v, want it to be found by the dispatch it had", refs[i].ID, s, err)
		}
	}
}

// Long-running jobs at the head of the ledger do not hide what is behind them.
func TestSweep_GoesOnBehindLongRunningRows(t *testing.T) {
	t.Parallel()
	const long, short = 60, 60
	w := newWorld(t)
	w.insert(long + short)
	for range long {
		w.claim(1)
	}
	for range short {
		w.reconcile(job.Succeeded, 0, w.claim(1).Refs()...)
	}
	var steps []job.Sweep
	for from := (job.Cursor{}); ; {
		s := w.sweep(from)
		from = s.Next
		s.Next = job.Cursor{}
		steps = append(steps, s)
		if s.Seen < 50 {
			break
		}
	}
	want := []job.Sweep{{Seen: 50}, {Seen: 50, Swept: 40}, {Seen: 20, Swept: 20}}
	if diff := cmp.Diff(want, steps); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	if n := get[int](w, "SELECT count(*) FROM outbox.dispatches"); n != long {
		t.Errorf("ledger rows = %d, want %d", n, long)
	}
}

func TestUnsettled_Pages(t *testing.T) {
	t.Parallel()
	const rows = 45
	w := newWorld(t)
	w.insert(3 * rows)
	want := map[job.Ref]bool{}
	for i := range rows {
		b := w.claim(3)
		refs := b.Refs()
		w.reconcile(job.Succeeded, 0, refs[0])
		w.reconcile(job.Started, 0, refs[1])
		switch i % 3 {
		case 0, 1:
			want[refs[1]], want[refs[2]] = true, true
		case 2:
			w.reconcile(job.Succeeded, 0, refs[1:]...) // a row without anything left
		}
	}
	w.begin(queue)
	w.insert(2)
	held, fresh := order(1), order(1)
	held.Epoch, fresh.Epoch = 2, 2
	for _, c := range []job.Claim{held, fresh} {
		if _, err := w.Claim(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	w.exec("UPDATE outbox.dispatches SET epoch = 1, lease_until = now() WHERE id = $1", held.DispatchID)

	got, pages := map[job.Ref]bool{}, 0
	for from := (job.Cursor{}); ; pages++ {
		u, err := w.Unsettled(t.Context(), queue, 2, from)
		if err != nil {
			t.Fatalf("Unsettled: %v", err)
		}
		for _, ref := range u.Refs {
			if got[ref] {
				t.Errorf("%v is listed twice", ref)
			}
			got[ref] = true
		}
		if from = u.Next; !u.More {
			break
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Unsettled (-want +got):\n%s", diff)
	}
	if pages != 3 {
		t.Errorf("pages = %d, want 3 of up to 20 rows", pages)
	}
	if u, err := w.Unsettled(t.Context(), "other", 2, job.Cursor{}); err != nil || u.More || len(u.Refs) != 0 {
		t.Errorf("Unsettled of another queue = %+v, %v, want none", u, err)
	}
}

func TestUnrecorded_CountsOthersOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.insert(9)
	w.claim(4)
	if err := w.Record(t.Context(), []job.Recorded{{DispatchID: w.claim(2).DispatchID, Seq: 1}}); err != nil {
		t.Fatal(err)
	}
	c := order(3)
	c.RelayID = "relay-2"
	if _, err := w.Claim(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]int64{relay: 3, "relay-2": 4, "relay-3": 7} {
		if got, err := w.Unrecorded(t.Context(), id); err != nil || got[queue] != want {
			t.Errorf("Unrecorded(%s) = %v, %v, want %d", id, got, err, want)
		}
	}
}
