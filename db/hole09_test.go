package db_test

import (
	"cmp"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/penguinmails/rookery/job"
)

// age makes every ledger row old enough to be taken over.
func (w *world) age() {
	w.Helper()
	w.exec("UPDATE outbox.dispatches SET created_at = created_at - interval '3 seconds', taken_at = now() - interval '3 seconds'")
}

func (w *world) takeOver(relayID string) map[int64][]job.Ref {
	w.Helper()
	batches, err := w.TakeOver(w.Context(), relayID, []string{queue})
	if err != nil {
		w.Fatalf("TakeOver: %v", err)
	}
	out := map[int64][]job.Ref{}
	for _, b := range batches {
		refs := b.Refs()
		slices.SortFunc(refs, func(a, b job.Ref) int { return cmp.Compare(a.ID, b.ID) })
		out[b.DispatchID] = refs
	}
	return out
}

// A batch that was never pushed is rebuilt from the jobs that wait under its own
// dispatch: not from those that have since gone another way, least of all from a
// later attempt, of which a second copy would be pushed.
func TestHole09_TakeOverRebuildsByDispatchID(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ids := w.insert(6)
	first := w.claim(6)
	at := func(i int) job.Ref { return job.Ref{ID: ids[i], DispatchID: first.DispatchID} }

	// 0 is cancelled, redriven and claimed again; 1 is done; 2 is snoozed; 3 is
	// running; 4 is cancelled; 5 alone still waits.
	for _, i := range []int{0, 4} {
		if done, err := w.Cancel(t.Context(), ids[i]); err != nil || !done {
			t.Fatalf("Cancel = %t, %v", done, err)
		}
	}
	if done, err := w.Redrive(t.Context(), ids[0]); err != nil || !done {
		t.Fatalf("Redrive = %t, %v", done, err)
	}
	second := w.claim(6)
	if got := idsOf(second); got != idsOf(job.Batch{Jobs: []job.Envelope{{ID: ids[0]}}}) {
		t.Fatalf("the second batch has jobs %s, want %d", got, ids[0])
	}
	w.reconcile(job.Succeeded, 0, at(1))
	w.reconcile(job.Snoozed, 0, at(2))
	w.reconcile(job.Started, 0, at(3))

	// Fresh is what is younger than two seconds: it stays so while this is asked.
	w.exec("UPDATE outbox.dispatches SET created_at = created_at + interval '1 minute', taken_at = taken_at - interval '1 minute'")
	if got := w.takeOver("relay-2"); len(got) != 0 {
		t.Errorf("TakeOver of fresh batches = %v, want none", got)
	}
	w.exec("UPDATE outbox.dispatches SET created_at = created_at - interval '1 minute'")
	w.age()
	before := get[time.Time](w, "SELECT clock_timestamp()")
	want := map[int64][]job.Ref{first.DispatchID: {at(5)}, second.DispatchID: second.Refs()}
	if diff := gocmp.Diff(want, w.takeOver("relay-2")); diff != "" {
		t.Errorf("TakeOver (-want +got):\n%s", diff)
	}
	w.exec("UPDATE outbox.dispatches SET taken_at = taken_at + interval '1 minute' WHERE taken_at >= $1", before)
	if got := w.takeOver("relay-3"); len(got) != 0 {
		t.Errorf("TakeOver of what another relay has just taken = %v, want none", got)
	}
}

func TestHole09_RebuiltEnvelopesAreTheSame(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`INSERT INTO outbox.jobs (queue_name, kind, payload, headers, priority, max_attempts, failure_count, lost_count)
		VALUES ('mail', 'k', '{"a": [1, "é"]}', '{"traceparent": "00-1"}', 7, 9, 2, 3)`)
	b := w.claim(1)
	w.age()
	again, err := w.TakeOver(t.Context(), relay, []string{queue})
	if err != nil || len(again) != 1 {
		t.Fatalf("TakeOver = %v, %v", again, err)
	}
	if diff := gocmp.Diff(b, again[0]); diff != "" {
		t.Errorf("rebuilt (-claimed +rebuilt):\n%s", diff)
	}
	if e := b.Jobs[0]; !e.Alone || e.AttemptCount != 1 || e.Priority != 7 || e.FailureCount != 2 || e.MaxAttempts != 9 || e.DispatchedAt.IsZero() {
		t.Errorf("envelope = %+v", e)
	}
}

func TestHole09_NotTakenOver(t *testing.T) {
	t.Parallel()
	for name, sql := range map[string]string{
		"recorded":                "UPDATE outbox.dispatches SET seq = 1",
		"of an ended epoch":       "UPDATE outbox.queues SET epoch = epoch + 1",
		"held by a worker":        "UPDATE outbox.dispatches SET lease_until = now() - interval '1 hour'",
		"of a queue nobody knows": "DELETE FROM outbox.queues",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.out()
			w.age()
			w.exec(sql)
			if got := w.takeOver("relay-2"); len(got) != 0 {
				t.Errorf("TakeOver of a batch %s = %v, want none", name, got)
			}
		})
	}
}

// Two relays that recover at once share the batches.
func TestHole09_TakeOverByTwoAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.insert(30)
	for range 30 {
		w.claim(1)
	}
	w.age()
	// What was taken over is left alone for two seconds: here for as long as the test takes.
	w.exec(`CREATE FUNCTION public.for_long() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.taken_at := now() + interval '1 hour'; RETURN NEW; END $$`)
	w.exec(`CREATE TRIGGER for_long BEFORE UPDATE OF taken_at ON outbox.dispatches FOR EACH ROW EXECUTE FUNCTION public.for_long()`)
	seen := map[int64]int{}
	results := make(chan []job.Batch, 2)
	for _, id := range []string{"relay-2", "relay-3"} {
		go func() {
			var all []job.Batch
			for {
				batches, err := w.TakeOver(t.Context(), id, []string{queue})
				if err != nil {
					t.Errorf("TakeOver: %v", err)
				}
				if len(batches) == 0 {
					break
				}
				all = append(all, batches...)
			}
			results <- all
		}()
	}
	for range 2 {
		for _, b := range <-results {
			seen[b.DispatchID]++
		}
	}
	// A row that one relay had locked while the other looked is left for later.
	for id := range w.takeOver("relay-4") {
		seen[id]++
	}
	if len(seen) != 30 {
		t.Errorf("taken over = %d batches, want 30", len(seen))
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("batch %d was taken over %d times", id, n)
		}
	}
}

// After a failover the ledger may have lost that a batch was pushed, and Redis may have
// forgotten it: until an epoch of this Postgres is begun nothing is rebuilt.
func TestHole03_NothingIsTakenOverOfAnotherPostgres(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.insert(1)
	w.claim(1)
	w.exec("UPDATE outbox.dispatches SET created_at = now() - interval '1 minute', taken_at = now() - interval '1 minute'")
	w.exec("UPDATE outbox.queues SET life = 'another/1' || life")
	if got, err := w.TakeOver(t.Context(), relay, []string{queue}); err != nil || len(got) != 0 {
		t.Errorf("TakeOver in another Postgres' epoch = %v, %v, want none", got, err)
	}
	w.exec("UPDATE outbox.queues SET life = replace(life, 'another/1', '')")
	if got, err := w.TakeOver(t.Context(), relay, []string{queue}); err != nil || len(got) != 1 {
		t.Errorf("TakeOver in this Postgres' epoch = %v, %v, want one batch", got, err)
	}
}
