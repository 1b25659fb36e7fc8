package db_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/penguinmails/rookery/job"
)

// happening makes one event happen to a job through the Store, and says what it
// must leave behind beside the new status.
type happening struct {
	event  job.Event
	name   string
	setup  string // SQL with the job's id, before the event
	do     func(w *world, ref job.Ref) error
	leaves func(was, is *traces) // changes was into what is expected
}

func outcome(kind job.OutcomeKind, delay time.Duration) func(*world, job.Ref) error {
	return func(w *world, ref job.Ref) error {
		_, err := w.Reconcile(w.Context(), worker, []job.Outcome{{Ref: ref, Kind: kind, Delay: delay, Error: "because"}})
		return err
	}
}

func requeued(counts bool) func(*world, job.Ref) error {
	return func(w *world, ref job.Ref) error {
		_, err := w.Requeue(w.Context(), job.Requeue{QueueName: queue, Epoch: 1, Attempts: []job.LostAttempt{{Ref: ref, Counts: counts}}})
		return err
	}
}

func byHand(do func(*world, context.Context, int64) (bool, error)) func(*world, job.Ref) error {
	return func(w *world, ref job.Ref) error {
		_, err := do(w, w.Context(), ref.ID)
		return err
	}
}

func tried(s *traces, outcome string) { s.Attempts, s.LastOutcome = s.Attempts+1, outcome }

func buried(s *traces, reason string) { s.DeadLetters, s.Reason = 1, reason }

func ready(s *traces, priority string) { s.Ready, s.Priorities = 1, priority }

func scheduled(s *traces) { s.Scheduled, s.Priorities = 1, "100" }

func unfiled(s *traces) { s.Ready, s.Scheduled, s.Priorities = 0, 0, "" }

// happenings has every event of job.Transitions at least once.
func happenings() []happening {
	return []happening{
		{event: job.EventDispatch, do: func(w *world, ref job.Ref) error {
			// Another job's row in ready is what a claim of a job that is not queued
			// starts from: cancelled or handed out a moment ago.
			w.exec("INSERT INTO outbox.ready SELECT queue_name, priority, id, outbox.size_of(payload, headers) FROM outbox.jobs WHERE id = $1 ON CONFLICT DO NOTHING", ref.ID)
			w.exec("DELETE FROM outbox.scheduled")
			_, err := w.Claim(w.Context(), order(1))
			return err
		}, leaves: func(s, is *traces) {
			unfiled(s)
			s.AttemptCount++
			s.DispatchID = is.DispatchID
		}},
		{event: job.EventStart, do: outcome(job.Started, 0), leaves: func(*traces, *traces) {}},
		{event: job.EventComplete, do: outcome(job.Succeeded, 0), leaves: func(*traces, *traces) {}},
		{event: job.EventFail, name: "due at once", do: outcome(job.Failed, 0), leaves: func(s, _ *traces) {
			s.FailureCount++
			tried(s, "fail")
			ready(s, "100")
		}},
		{event: job.EventFail, name: "later", do: outcome(job.Failed, time.Hour), leaves: func(s, _ *traces) {
			s.FailureCount++
			tried(s, "fail")
			scheduled(s)
		}},
		{event: job.EventExhaust, setup: "UPDATE outbox.jobs SET max_attempts = failure_count + 1 WHERE id = $1", do: outcome(job.Failed, time.Hour), leaves: func(s, _ *traces) {
			s.FailureCount++
			tried(s, "fail")
			buried(s, "exhausted")
		}},
		{event: job.EventDiscard, do: outcome(job.Discarded, 0), leaves: func(s, _ *traces) {
			s.FailureCount++
			tried(s, "discard")
			buried(s, "discarded")
		}},
		{event: job.EventSnooze, name: "due at once", do: outcome(job.Snoozed, 0), leaves: func(s, _ *traces) { ready(s, "100") }},
		{event: job.EventSnooze, name: "later", do: outcome(job.Snoozed, time.Hour), leaves: func(s, _ *traces) { scheduled(s) }},
		{event: job.EventLose, do: requeued(true), leaves: func(s, _ *traces) {
			s.LostCount++
			tried(s, "lose")
			ready(s, "-1")
		}},
		{event: job.EventPoison, setup: "UPDATE outbox.jobs SET lost_count = 3 WHERE id = $1", do: requeued(true), leaves: func(s, _ *traces) {
			s.LostCount++
			tried(s, "lose")
			buried(s, "poison")
		}},
		{event: job.EventMissing, do: requeued(false), leaves: func(s, _ *traces) {
			tried(s, "missing")
			ready(s, "100")
		}},
		{event: job.EventRefuse, name: "not encodable", do: func(w *world, ref job.Ref) error {
			if w.traces(ref.ID).Status == job.Queued {
				return w.Refuse(w.Context(), job.Ref{ID: ref.ID}, "because")
			}
			return w.Refuse(w.Context(), ref, "because")
		}, leaves: func(s, _ *traces) {
			unfiled(s)
			tried(s, "refuse")
			buried(s, "refused")
		}},
		{event: job.EventCancel, name: "by an operator", do: byHand((*world).cancel), leaves: func(s, is *traces) {
			if s.Ready+s.Scheduled == 0 {
				s.Cancels = 1
			}
			unfiled(s)
		}},
		{event: job.EventCancel, name: "of many", do: byHand((*world).cancelMany), leaves: func(s, is *traces) {
			if s.Ready+s.Scheduled == 0 {
				s.Cancels = 1
			}
			unfiled(s)
		}},
		{event: job.EventRedrive, do: byHand((*world).redrive), leaves: func(s, _ *traces) {
			s.FailureCount, s.LostCount, s.DeadLetters, s.Reason = 0, 0, 0, ""
			ready(s, "100")
		}},
		{event: job.EventRedrive, name: "of many", do: byHand((*world).redriveMany), leaves: func(s, _ *traces) {
			s.FailureCount, s.LostCount, s.DeadLetters, s.Reason = 0, 0, 0, ""
			ready(s, "100")
		}},
	}
}

func (w *world) cancel(ctx context.Context, id int64) (bool, error)  { return w.Cancel(ctx, id) }
func (w *world) redrive(ctx context.Context, id int64) (bool, error) { return w.Redrive(ctx, id) }

func (w *world) cancelMany(ctx context.Context, id int64) (bool, error) {
	return w.changeMany(ctx, job.ActionCancel, id)
}

func (w *world) redriveMany(ctx context.Context, id int64) (bool, error) {
	return w.changeMany(ctx, job.ActionRedrive, id)
}

func (w *world) changeMany(ctx context.Context, action job.Action, id int64) (bool, error) {
	changed, err := w.ChangeMany(ctx, job.Actor{Principal: "local"}, action, []int64{id})
	return err == nil && changed[0].Done, err
}

// bring makes a job that has been handed out once and is now in status s. A queued
// one has been put back: whoever still holds its attempt must not move it.
func (w *world) bring(s job.Status) job.Ref {
	w.Helper()
	ref := w.out()
	switch s {
	case job.Queued:
		w.reconcile(job.Snoozed, 0, ref)
	case job.Dispatched:
	case job.Running:
		w.reconcile(job.Started, 0, ref)
	case job.Completed:
		w.reconcile(job.Succeeded, 0, ref)
	case job.Dead:
		w.reconcile(job.Discarded, 0, ref)
	case job.Cancelled:
		w.reconcile(job.CalledOff, 0, ref)
	}
	if got := w.traces(ref.ID).Status; got != s {
		w.Fatalf("job %d is %s, want %s", ref.ID, got, s)
	}
	return ref
}

// Every event in every status does through the Store what job.Next says, with its
// side rows in the same statement, or changes nothing at all.
func TestTransitions_EveryEventInEveryStatus(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seen := map[job.Event]bool{}
	for _, h := range happenings() {
		seen[h.event] = true
		for _, from := range job.Statuses() {
			t.Run(string(h.event)+" "+h.name+" "+string(from), func(t *testing.T) {
				w := &world{T: t, Store: w.Store, url: w.url, side: w.side}
				w.exec("TRUNCATE outbox.jobs, outbox.ready, outbox.scheduled, outbox.attempts, outbox.dead_letters, outbox.cancels, outbox.dispatches")
				ref := w.bring(from)
				if h.setup != "" {
					w.exec(h.setup, ref.ID)
				}
				want := w.traces(ref.ID)
				row := get[string](w, "SELECT j::text FROM outbox.jobs AS j WHERE j.id = $1", ref.ID)
				if err := h.do(w, ref); err != nil {
					t.Fatalf("%s: %v", h.event, err)
				}
				got := w.traces(ref.ID)
				to, may := job.Next(from, h.event)
				if may {
					want.Status = to
					h.leaves(&want, &got)
				} else if now := get[string](w, "SELECT j::text FROM outbox.jobs AS j WHERE j.id = $1", ref.ID); now != row {
					t.Errorf("the row changed:\nfrom %s\nto   %s", row, now)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s in status %s (-want +got):\n%s", h.event, from, diff)
				}
			})
		}
	}
	for _, tr := range job.Transitions() {
		if !seen[tr.Event] {
			t.Errorf("no test makes a job %s", tr.Event)
		}
	}
}

// The handler's own cancel leaves no order for Redis: its worker knows.
func TestTransitions_HandlerCancelsItself(t *testing.T) {
	t.Parallel()
	for _, from := range []job.Status{job.Dispatched, job.Running} {
		t.Run(string(from), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			ref := w.bring(from)
			want := w.traces(ref.ID)
			want.Status = job.Cancelled
			tried(&want, "cancel")
			if n := w.reconcile(job.CalledOff, 0, ref); n != 1 {
				t.Errorf("Reconcile(cancel) = %d verdicts, want 1", n)
			}
			if diff := cmp.Diff(want, w.traces(ref.ID)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A job that has been handed out again moves for the attempt that is current, and
// for no earlier one, whatever is reported of that.
func TestTransitions_StaleAttemptChangesNothing(t *testing.T) {
	t.Parallel()
	for _, h := range happenings() {
		if slices.Contains([]job.Event{job.EventDispatch, job.EventCancel, job.EventRedrive}, h.event) {
			continue // names no attempt
		}
		for _, now := range []job.Status{job.Queued, job.Dispatched, job.Running} {
			t.Run(string(h.event)+" "+h.name+" "+string(now), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				old := w.bring(job.Queued)
				ref := w.claim(1).Jobs[0].Ref()
				moves := map[job.Status]job.OutcomeKind{job.Queued: job.Snoozed, job.Running: job.Started}
				if kind, moved := moves[now]; moved {
					w.reconcile(kind, 0, ref)
				}
				want := w.traces(ref.ID)
				var err error
				if h.event == job.EventRefuse {
					err = w.Refuse(t.Context(), old, "because")
				} else {
					err = h.do(w, old)
				}
				if err != nil {
					t.Fatalf("%s: %v", h.event, err)
				}
				if diff := cmp.Diff(want, w.traces(ref.ID)); diff != "" {
					t.Errorf("the old attempt's %s (-want +got):\n%s", h.event, diff)
				}
			})
		}
	}
}
