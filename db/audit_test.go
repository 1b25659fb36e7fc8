package db_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/penguinmails/rookery/job"
)

// entrusted reads all pages of what an audit of queue "mail" in epoch 1 must find,
// and returns the jobs' ids and the number of pages.
func (w *world) entrusted(seq int64, age time.Duration) (ids []int64, pages int) {
	w.Helper()
	ids = []int64{}
	for from := (job.Cursor{}); ; pages++ {
		page, err := w.Entrusted(w.Context(), queue, 1, seq, age, from)
		if err != nil {
			w.Fatalf("Entrusted: %v", err)
		}
		if !page.More {
			return ids, pages
		}
		for _, ref := range page.Refs {
			ids = append(ids, ref.ID)
		}
		if page.Next == from {
			w.Fatal("Entrusted does not go on")
		}
		from = page.Next
	}
}

// record notes that Redis has accepted a batch.
func (w *world) record(b job.Batch, seq int64) {
	w.Helper()
	if err := w.Record(w.Context(), []job.Recorded{{DispatchID: b.DispatchID, Seq: seq}}); err != nil {
		w.Fatalf("Record: %v", err)
	}
}

// See PROTOCOL hole 6: a unpushed, b pushed later, c a later attempt, i held.
func TestHole06_EntrustedIsWhatRedisMustHave(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ids := w.insert(16)
	pushed, unpushed, later, held := w.claim(8), w.claim(2), w.claim(2), w.claim(2)
	w.record(pushed, 3)
	w.record(later, 4)
	w.record(held, 2)
	fresh := w.claim(2)
	w.record(fresh, 1)
	refs := pushed.Refs()
	w.reconcile(job.Succeeded, 0, refs[0])
	w.reconcile(job.Started, 0, refs[1])
	w.reconcile(job.Failed, 0, refs[2])
	w.exec("SELECT outbox.cancel($1)", refs[3].ID)
	again := w.claim(2) // refs[2], in a later attempt
	w.exec("UPDATE outbox.dispatches SET created_at = created_at - interval '1 hour'")
	w.exec("UPDATE outbox.dispatches SET taken_at = taken_at - interval '1 hour' WHERE id <> $1", fresh.DispatchID) // that one was taken over just now
	w.exec("UPDATE outbox.dispatches SET lease_until = now() + interval '1 hour' WHERE id = $1", held.DispatchID)
	if len(unpushed.Jobs) != 2 || len(again.Jobs) != 1 {
		t.Fatalf("batches of %d and %d jobs, want 2 and 1", len(unpushed.Jobs), len(again.Jobs))
	}
	got, pages := w.entrusted(3, time.Minute)
	if diff := cmp.Diff([]int64{ids[1], ids[4], ids[5], ids[6], ids[7]}, got); diff != "" || pages != 1 {
		t.Errorf("entrusted up to 3, %d pages (-want +got):\n%s", pages, diff)
	}
	if got, _ = w.entrusted(2, time.Minute); len(got) != 0 {
		t.Errorf("entrusted up to 2 = %v, want none", got)
	}
	if got, _ = w.entrusted(9, 2*time.Hour); len(got) != 0 {
		t.Errorf("entrusted for two hours = %v, want none", got)
	}
	w.exec("UPDATE outbox.queues SET epoch = 2 WHERE name = 'mail'")
	if got, _ = w.entrusted(3, time.Minute); len(got) != 0 {
		t.Errorf("entrusted in an ended epoch = %v, want none", got)
	}
}

// A page is bounded by jobs and by rows, and the next one goes on where it ended.
func TestEntrusted_InPages(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ batches, size, pages int }{{0, 1, 0}, {1, 1, 1}, {200, 1, 1}, {201, 1, 2}, {2, 500, 1}, {3, 500, 2}, {5, 400, 2}} {
		w := newWorld(t)
		w.insert(c.batches * c.size)
		var want []int64
		for range c.batches {
			b := w.claim(c.size)
			w.record(b, 1)
			for _, ref := range b.Refs() {
				want = append(want, ref.ID)
			}
		}
		got, pages := w.entrusted(1, -time.Minute)
		if len(got) != len(want) || pages != c.pages {
			t.Errorf("%d batches of %d: %d jobs on %d pages, want %d on %d", c.batches, c.size, len(got), pages, len(want), c.pages)
		}
	}
}

// See PROTOCOL hole 8: what is not recorded may be pushed again, so it is never
// forgotten; what has gone was over.
func TestHole08_RecordedIsWhatMayBeForgotten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.insert(4)
	pushed, unpushed := w.claim(2), w.claim(2)
	w.record(pushed, 1)
	got, err := w.Recorded(t.Context(), []int64{unpushed.DispatchID, 4711, pushed.DispatchID})
	if diff := cmp.Diff([]int64{4711, pushed.DispatchID}, got); diff != "" || err != nil {
		t.Errorf("Recorded, %v (-want +got):\n%s", err, diff)
	}
}
