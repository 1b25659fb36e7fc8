package db_test

import (
	"testing"
	"time"

	"github.com/penguinmails/rookery/job"
)

// What an attempt has ended by is known of that very attempt, as its client knows it, also
// when the job has gone on; and of no other.
func TestLeaseStanding_WhatTheAttemptEndedBy(t *testing.T) {
	t.Parallel()
	type made struct {
		kind job.OutcomeKind
		now  job.Status
	}
	for name, c := range map[string]struct {
		end  func(*world, job.Ref)
		want made
	}{
		"under way": {func(*world, job.Ref) {}, made{}},
		"completed": {func(w *world, ref job.Ref) { w.reconcile(job.Succeeded, 0, ref) }, made{job.Succeeded, job.Completed}},
		"completed, by a batch of all kinds": {func(w *world, ref job.Ref) {
			w.insert(1)
			w.reconcileKinds(map[job.Ref]job.OutcomeKind{ref: job.Succeeded, w.claim(1).Refs()[0]: job.Failed})
		}, made{job.Succeeded, job.Completed}},
		"held and completed": {func(w *world, ref job.Ref) {
			w.holdRefs(far, time.Minute, ref)
			w.holdRefs(far, time.Minute, ref) // the same again
			w.reconcile(job.Succeeded, 0, job.Ref{ID: ref.ID, DispatchID: far})
			w.sweep(job.Cursor{})
		}, made{job.Succeeded, job.Completed}},
		"failed": {func(w *world, ref job.Ref) { w.reconcile(job.Failed, time.Hour, ref) }, made{job.Failed, job.Queued}},
		"failed, and runs again": {func(w *world, ref job.Ref) {
			w.reconcile(job.Failed, 0, ref)
			w.claim(1)
		}, made{job.Failed, job.Queued}},
		"failed, and completed later": {func(w *world, ref job.Ref) {
			w.reconcile(job.Failed, 0, ref)
			w.reconcile(job.Succeeded, 0, w.claim(1).Refs()...)
		}, made{job.Failed, job.Queued}},
		"held and failed, and runs again": {func(w *world, ref job.Ref) {
			w.holdRefs(far, time.Minute, ref)
			w.reconcile(job.Failed, 0, job.Ref{ID: ref.ID, DispatchID: far})
			w.holdRefs(far+1, time.Minute, w.claim(1).Refs()...)
			w.sweep(job.Cursor{})
		}, made{job.Failed, job.Queued}},
		"failed for the last time": {func(w *world, ref job.Ref) {
			w.exec("UPDATE outbox.jobs SET max_attempts = 1")
			w.reconcile(job.Failed, 0, ref)
		}, made{job.Failed, job.Dead}},
		"discarded": {func(w *world, ref job.Ref) { w.reconcile(job.Discarded, 0, ref) }, made{job.Discarded, job.Dead}},
		"discarded, and sent again": {func(w *world, ref job.Ref) {
			w.reconcile(job.Discarded, 0, ref)
			w.redriven(ref.ID)
			w.claim(1)
		}, made{job.Discarded, job.Dead}},
		"given back":                {func(w *world, ref job.Ref) { w.reconcile(job.Snoozed, 0, ref) }, made{}},
		"taken back":                {func(w *world, ref job.Ref) { w.requeue(true, ref) }, made{}},
		"taken back, and completed": {func(w *world, ref job.Ref) { w.requeue(true, ref); w.reconcile(job.Succeeded, 0, w.claim(1).Refs()...) }, made{}},
		"taken back, and failed":    {func(w *world, ref job.Ref) { w.requeue(true, ref); w.reconcile(job.Failed, 0, w.claim(1).Refs()...) }, made{}},
		"held, taken back, and held by another": {func(w *world, ref job.Ref) {
			w.holdRefs(far, time.Minute, ref)
			w.requeue(true, job.Ref{ID: ref.ID, DispatchID: far})
			w.holdRefs(far+1, time.Minute, w.claim(1).Refs()...)
		}, made{}},
		// Postgres forgot the attempt with its tail, and counted the next one the same.
		"forgotten, and its number failed": {func(w *world, ref job.Ref) {
			w.exec("UPDATE outbox.jobs SET dispatch_id = 7 WHERE id = $1", ref.ID)
			w.reconcile(job.Failed, 0, job.Ref{ID: ref.ID, DispatchID: 7})
		}, made{}},
		"completed, and sent again": {func(w *world, ref job.Ref) {
			w.reconcile(job.Succeeded, 0, ref)
			w.redriven(ref.ID)
		}, made{}}, // nobody can tell any more
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			ref := w.out()
			c.end(w, ref)
			s, err := w.LeaseStanding(t.Context(), ref)
			if err != nil {
				t.Fatal(err)
			}
			if s.Outcome != c.want.kind {
				t.Errorf("the attempt ended by %q, want %q", s.Outcome, c.want.kind)
			}
			for _, kind := range []job.OutcomeKind{job.Succeeded, job.Failed, job.Discarded, job.Snoozed} {
				want := made{}
				if kind == c.want.kind {
					want = c.want
				}
				if now, ok := s.Made(kind); now != want.now || ok != (want != made{}) {
					t.Errorf("Made(%s) = %q, %t, want %q", kind, now, ok, want.now)
				}
			}
		})
	}
}

// Only so many attempts of a job are looked through.
func TestLeaseStanding_OfAJobThatWasTriedForEver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ref := w.out()
	w.exec(`INSERT INTO outbox.attempts (job_id, attempt_count, outcome, dispatch_id) SELECT $1, n, 'fail', 5000 + n FROM generate_series(-1100, 0) AS n`, ref.ID)
	for dispatch, want := range map[int64]job.OutcomeKind{5000: job.Failed, 4001: job.Failed, 4000: "", 3900: ""} {
		if s, err := w.LeaseStanding(t.Context(), job.Ref{ID: ref.ID, DispatchID: dispatch}); err != nil || s.Outcome != want {
			t.Errorf("LeaseStanding of %d = %+v, %v, want it ended by %q", dispatch, s, err, want)
		}
	}
}

func (w *world) redriven(id int64) {
	w.Helper()
	if done, err := w.Redrive(w.Context(), id); err != nil || !done {
		w.Fatalf("Redrive = %t, %v", done, err)
	}
}

func (w *world) reconcileKinds(kinds map[job.Ref]job.OutcomeKind) {
	w.Helper()
	var list []job.Outcome
	for ref, kind := range kinds {
		list = append(list, job.Outcome{Ref: ref, Kind: kind})
	}
	if got, err := w.Reconcile(w.Context(), worker, list); err != nil || len(got) != len(list) {
		w.Fatalf("Reconcile = %v, %v, want %d accepted", got, err, len(list))
	}
}
