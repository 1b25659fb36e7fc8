package db_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/penguinmails/rookery/job"
)

// UPDATE … FROM applies an arbitrary one of two outcomes of an attempt, so a call
// with two is refused as a whole, in whatever order they stand.
func TestHole02_TwoOutcomesOfOneAttemptAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.insert(3)
	refs := w.claim(3).Refs()
	other := job.Ref{ID: refs[1].ID, DispatchID: job.NewDispatchID()} // an attempt of long ago
	start, end := job.Outcome{Ref: refs[1], Kind: job.Started}, job.Outcome{Ref: refs[1], Kind: job.Succeeded}
	for name, outcomes := range map[string][]job.Outcome{
		"start and complete":      {start, end},
		"complete and start":      {end, start},
		"two completions":         {end, end},
		"apart":                   {end, {Ref: refs[0], Kind: job.Succeeded}, {Ref: refs[2], Kind: job.Succeeded}, start},
		"around another attempt":  {end, {Ref: other, Kind: job.Succeeded}, end},
		"around another, a start": {start, {Ref: other, Kind: job.Succeeded}, end},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := w.Reconcile(t.Context(), worker, slices.Clone(outcomes))
			refusedValue(t, "Reconcile", err, "21000")
		})
	}
	for _, ref := range refs {
		if got := w.traces(ref.ID).Status; got != job.Dispatched {
			t.Errorf("job %d is %s, want dispatched: nothing was recorded", ref.ID, got)
		}
	}
}

// Two attempts of one job are two things: at most one is current.
func TestHole02_OutcomesOfTwoAttemptsOfOneJob(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ref := w.out()
	old := job.Ref{ID: ref.ID, DispatchID: job.NewDispatchID()}
	got, err := w.Reconcile(t.Context(), worker, []job.Outcome{{Ref: old, Kind: job.Failed}, {Ref: ref, Kind: job.Succeeded}})
	want := []job.Verdict{{Ref: ref, Status: job.Completed}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("Reconcile: %v (-want +got):\n%s", err, diff)
	}
}

// Successes are recorded by a statement of their own that says which jobs, not which
// attempts: two successes of one job must not share a verdict, whichever is current.
func TestHole02_TwoSuccessesOfOneJob(t *testing.T) {
	t.Parallel()
	for _, older := range []bool{true, false} {
		w := newWorld(t)
		ref := w.out()
		stale := job.Ref{ID: ref.ID, DispatchID: ref.DispatchID + 1}
		if older {
			stale.DispatchID = ref.DispatchID - 1
		}
		got, err := w.Reconcile(t.Context(), worker, []job.Outcome{{Ref: stale, Kind: job.Succeeded}, {Ref: ref, Kind: job.Succeeded}})
		want := []job.Verdict{{Ref: ref, Status: job.Completed}}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("Reconcile, stale one first %t: %v (-want +got):\n%s", older, err, diff)
		}
	}
}

// Outcomes of all kinds in one call, one of them refused for its value: nothing has
// been recorded, so that sent again in parts each has its verdict.
func TestHole02_RefusedValueLeavesSuccessesAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.insert(3)
	refs := w.claim(3).Refs()
	_, err := w.Reconcile(t.Context(), worker, []job.Outcome{
		{Ref: refs[0], Kind: job.Succeeded}, {Ref: refs[1], Kind: job.Failed, Error: "no \x00 in Postgres"}, {Ref: refs[2], Kind: job.Succeeded},
	})
	var data *job.DataError
	if !errors.As(err, &data) {
		t.Fatalf("Reconcile with a NUL = %v, want a DataError", err)
	}
	for _, ref := range refs {
		if got := w.traces(ref.ID).Status; got != job.Dispatched {
			t.Errorf("job %d is %s, want dispatched", ref.ID, got)
		}
	}
}

func TestHole02_LateStartChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, end := range []job.OutcomeKind{job.Succeeded, job.Failed, job.Snoozed, job.Discarded, job.CalledOff} {
		ref := w.bring(job.Dispatched)
		if n := w.reconcile(end, 0, ref); n != 1 {
			t.Errorf("Reconcile(%s) = %d verdicts, want 1", end, n)
		}
		want := w.traces(ref.ID)
		if n := w.reconcile(job.Started, 0, ref); n != 0 {
			t.Errorf("a start after %s = %d verdicts, want none", end, n)
		}
		if diff := cmp.Diff(want, w.traces(ref.ID)); diff != "" {
			t.Errorf("a start after %s (-want +got):\n%s", end, diff)
		}
		w.exec("TRUNCATE outbox.ready, outbox.scheduled")
	}
}

// A batch whose reply was lost may be sent again: what was accepted does not come
// back, and nothing is counted twice.
func TestHole02_SentAgainChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.insert(5)
	refs := w.claim(5).Refs()
	batch := []job.Outcome{
		{Ref: refs[0], Kind: job.Succeeded}, {Ref: refs[1], Kind: job.Failed, Error: "no"}, {Ref: refs[2], Kind: job.Snoozed},
		{Ref: refs[3], Kind: job.Discarded}, {Ref: refs[4], Kind: job.CalledOff},
	}
	first, err := w.Reconcile(t.Context(), worker, batch)
	if err != nil || len(first) != 5 {
		t.Fatalf("Reconcile = %v, %v, want 5 verdicts", first, err)
	}
	var want []traces
	for _, ref := range refs {
		want = append(want, w.traces(ref.ID))
	}
	again, err := w.Reconcile(t.Context(), worker, batch)
	if err != nil || len(again) != 0 {
		t.Errorf("Reconcile again = %v, %v, want none", again, err)
	}
	for i, ref := range refs {
		if diff := cmp.Diff(want[i], w.traces(ref.ID)); diff != "" {
			t.Errorf("%s sent again (-want +got):\n%s", batch[i].Kind, diff)
		}
	}
}
