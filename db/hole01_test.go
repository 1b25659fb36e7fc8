package db_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/penguinmails/rookery/job"
)

// refusedValue fails the test unless err says that a value was refused with state.
func refusedValue(t *testing.T, what string, err error, state string) {
	t.Helper()
	var data *job.DataError
	if !errors.As(err, &data) || data.SQLState != state {
		t.Errorf("%s = %v, want a DataError with SQLSTATE %s", what, err, state)
	}
}

func TestHole01_OneJobThatCannotBeClaimedDoesNotStopTheOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ids := w.insert(3)
	w.exec("UPDATE outbox.jobs SET attempt_count = $1 WHERE id = $2", math.MaxInt32, ids[1])

	_, err := w.Claim(t.Context(), order(500))
	refusedValue(t, "Claim(500)", err, "22003")
	if n := get[int](w, "SELECT count(*) FROM outbox.ready"); n != 3 {
		t.Errorf("ready after a claim that failed = %d jobs, want 3", n)
	}
	// The relay halves the limit until the culprit stands alone.
	if b := w.claim(1); len(b.Jobs) != 1 || b.Jobs[0].ID != ids[0] {
		t.Errorf("Claim(1) = jobs %s, want %d", idsOf(b), ids[0])
	}
	_, err = w.Claim(t.Context(), order(1))
	refusedValue(t, "Claim(1) of the culprit", err, "22003")
	cause := "cannot be claimed: " + err.Error()
	priority, id, err := w.Head(t.Context(), queue, job.MaxPriority)
	if err != nil || id != ids[1] || priority != job.DefaultPriority {
		t.Fatalf("Head = %d, %d, %v, want %d, %d", priority, id, err, job.DefaultPriority, ids[1])
	}
	if err := w.Refuse(t.Context(), job.Ref{ID: id}, cause); err != nil {
		t.Fatalf("Refuse = %v", err)
	}
	if b := w.claim(500); len(b.Jobs) != 1 || b.Jobs[0].ID != ids[2] {
		t.Errorf("Claim(500) = jobs %s, want %d", idsOf(b), ids[2])
	}
	want := traces{Status: job.Dead, AttemptCount: math.MaxInt32, DeadLetters: 1, Reason: "refused", Attempts: 1, LastOutcome: "refuse"}
	if diff := cmp.Diff(want, w.traces(ids[1])); diff != "" {
		t.Errorf("the culprit (-want +got):\n%s", diff)
	}
}

func TestHole01_HeadOfAnEmptyQueue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, _, err := w.Head(t.Context(), queue, job.MaxPriority); !errors.Is(err, job.ErrNotFound) {
		t.Errorf("Head = %v, want %v", err, job.ErrNotFound)
	}
}

func TestHole01_HeadKeepsToItsPriorities(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.insert(1)
	if _, id, err := w.Head(t.Context(), queue, 99); !errors.Is(err, job.ErrNotFound) {
		t.Errorf("Head up to 99 = %d, %v, want %v", id, err, job.ErrNotFound)
	}
}

// What Postgres refuses comes back as a DataError, with nothing recorded, and goes
// through once job.ErrorText has seen it.
func TestHole01_TextThatPostgresCannotStore(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"NUL":         "before\x00after",
		"bad UTF-8":   "\xff\xfe",
		"cut in half": "caf\xc3",
		"surrogate":   "\xed\xa0\x80",
	} {
		for field, of := range map[string]func(ref job.Ref, s string) job.Outcome{
			"error": func(ref job.Ref, s string) job.Outcome { return job.Outcome{Ref: ref, Kind: job.Failed, Error: s} },
			"stack": func(ref job.Ref, s string) job.Outcome { return job.Outcome{Ref: ref, Kind: job.Failed, Stack: s} },
		} {
			t.Run(name+" in "+field, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				w.insert(2)
				refs := w.claim(2).Refs()
				good := job.Outcome{Ref: refs[0], Kind: job.Succeeded}

				_, err := w.Reconcile(t.Context(), worker, []job.Outcome{good, of(refs[1], text)})
				refusedValue(t, "Reconcile", err, "22021")
				if got := w.traces(refs[0].ID).Status; got != job.Dispatched {
					t.Errorf("the neighbour is %s, want dispatched: all or nothing", got)
				}
				got, err := w.Reconcile(t.Context(), worker, []job.Outcome{good, of(refs[1], job.ErrorText(text))})
				if err != nil || len(got) != 2 {
					t.Errorf("Reconcile with ErrorText = %v, %v, want 2 verdicts", got, err)
				}
			})
		}
	}
}

func TestHole01_DelaysAndDurationsAreClamped(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, tt := range []struct {
		name             string
		delay, ran       time.Duration
		ready, scheduled int
	}{
		{"least", math.MinInt64, math.MinInt64, 1, 0},
		{"negative", -1, -1, 1, 0},
		{"zero", 0, 0, 1, 0},
		{"a year", job.MaxDelay, job.MaxDelay, 0, 1},
		{"more", job.MaxDelay + 1, job.MaxDelay + 1, 0, 1},
		{"most", math.MaxInt64, math.MaxInt64, 0, 1},
	} {
		for _, kind := range []job.OutcomeKind{job.Failed, job.Snoozed} {
			t.Run(string(kind)+" "+tt.name, func(t *testing.T) {
				w := &world{T: t, Store: w.Store, url: w.url, side: w.side}
				w.exec("TRUNCATE outbox.jobs, outbox.ready, outbox.scheduled, outbox.dispatches")
				ref := w.out()
				if _, err := w.Reconcile(t.Context(), worker, []job.Outcome{{Ref: ref, Kind: job.Started, Ran: tt.ran}}); err != nil {
					t.Fatalf("Reconcile(start): %v", err)
				}
				got, err := w.Reconcile(t.Context(), worker, []job.Outcome{{Ref: ref, Kind: kind, Delay: tt.delay, Ran: tt.ran}})
				if err != nil || len(got) != 1 {
					t.Fatalf("Reconcile = %v, %v, want a verdict", got, err)
				}
				s := w.traces(ref.ID)
				if s.Ready != tt.ready || s.Scheduled != tt.scheduled {
					t.Errorf("ready, scheduled = %d, %d, want %d, %d", s.Ready, s.Scheduled, tt.ready, tt.scheduled)
				}
				if !get[bool](w, "SELECT run_at <= now() + interval '365 days' FROM outbox.jobs WHERE id = $1", ref.ID) {
					t.Error("run_at lies more than a year ahead")
				}
			})
		}
	}
}

// A row that is there already, whoever left it, stops none of 500 transitions.
func TestHole01_NarrowRowsThatAreThereAlready(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, left string
		do         func(w *world, ref job.Ref) error
		want       job.Status
	}{
		{"ready", "INSERT INTO outbox.ready SELECT queue_name, priority, id, outbox.size_of(payload, headers) FROM outbox.jobs WHERE id = $1", outcome(job.Failed, 0), job.Queued},
		{"ready, lost", "INSERT INTO outbox.ready SELECT queue_name, -1, id, outbox.size_of(payload, headers) FROM outbox.jobs WHERE id = $1", requeued(true), job.Queued},
		{"scheduled", `WITH later AS (UPDATE outbox.jobs SET run_at = now() + interval '1 hour' WHERE id = $1 RETURNING *)
			INSERT INTO outbox.scheduled SELECT run_at, id, queue_name, priority, outbox.size_of(payload, headers) FROM later`, requeued(false), job.Queued},
		{"attempts", "INSERT INTO outbox.attempts (job_id, attempt_count, outcome) VALUES ($1, 1, 'x')", outcome(job.Failed, 0), job.Queued},
		{"attempts, lost", "INSERT INTO outbox.attempts (job_id, attempt_count, outcome) VALUES ($1, 1, 'x')", requeued(true), job.Queued},
		{"dead_letters", "INSERT INTO outbox.dead_letters (job_id, queue_name, kind, reason) VALUES ($1, 'mail', '', 'x')", outcome(job.Discarded, 0), job.Dead},
		{"cancels", "INSERT INTO outbox.cancels (job_id, dispatch_id, queue_name) SELECT id, dispatch_id, queue_name FROM outbox.jobs WHERE id = $1", byHand((*world).cancel), job.Cancelled},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			ref := w.out()
			w.exec(tt.left, ref.ID)
			if err := tt.do(w, ref); err != nil {
				t.Fatalf("%v", err)
			}
			if got := w.traces(ref.ID).Status; got != tt.want {
				t.Errorf("status = %s, want %s", got, tt.want)
			}
		})
	}
}

func TestHole01_LongTextIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ref := w.out()
	text := job.ErrorText(strings.Repeat("é", job.MaxErrorText))
	if _, err := w.Reconcile(t.Context(), worker, []job.Outcome{{Ref: ref, Kind: job.Failed, Error: text, Stack: text}}); err != nil {
		t.Fatalf("Reconcile: %v", err)
	}
	if got := get[string](w, "SELECT last_error FROM outbox.jobs WHERE id = $1", ref.ID); got != text {
		t.Errorf("last_error has %d bytes, want %d", len(got), len(text))
	}
}
