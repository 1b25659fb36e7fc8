package relay_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/relay"
)

// watched is a Redis that calls a test between the steps of an audit. The number
// counts the calls of that verb, from 1.
type watched struct {
	relay.Redis
	absent, waiting, entomb func(n int)

	mu    sync.Mutex
	calls map[string]int
}

func (w *watched) call(verb string, hook func(int)) {
	w.mu.Lock()
	if w.calls == nil {
		w.calls = map[string]int{}
	}
	w.calls[verb]++
	n := w.calls[verb]
	w.mu.Unlock()
	if hook != nil {
		hook(n)
	}
}

func (w *watched) Absent(ctx context.Context, queue string, epoch int64, refs []job.Ref) ([]job.Ref, int64, error) {
	w.call("absent", w.absent)
	return w.Redis.Absent(ctx, queue, epoch, refs)
}

func (w *watched) Waiting(ctx context.Context, queue string, epoch int64, band job.Band, from int) ([]job.Ref, int, error) {
	w.call("waiting", w.waiting)
	return w.Redis.Waiting(ctx, queue, epoch, band, from)
}

func (w *watched) Entomb(ctx context.Context, queue string, epoch int64, refs []job.Ref) ([]job.Ref, error) {
	w.call("entomb", w.entomb)
	return w.Redis.Entomb(ctx, queue, epoch, refs)
}

// auditor is a relay that does nothing but audit, when it is told to.
type auditor struct {
	*relay.Relay
	h       *house
	metrics *prometheus.Registry
	log     *bytes.Buffer
}

func (h *house) auditor(t *testing.T, w wiring) *auditor {
	t.Helper()
	a := &auditor{h: h, metrics: prometheus.NewRegistry(), log: &bytes.Buffer{}}
	if w.store == nil {
		w.store = h.store
	}
	if w.redis == nil {
		w.redis = h.redis
	}
	w.Registerer, w.Logger = a.metrics, slog.New(slog.NewTextHandler(a.log, nil))
	var err error
	if a.Relay, err = relay.New(w.store, w.redis, deaf{}, w.Options); err != nil {
		t.Fatal(err)
	}
	if err := a.Acquaint(t.Context()); err != nil {
		t.Fatal(err)
	}
	return a
}

// looks makes n looks, and fails on an error.
func (a *auditor) looks(t *testing.T, n int) {
	t.Helper()
	for range n {
		if err := a.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// found fails the test unless the audit has found so many in all.
func (a *auditor) found(t *testing.T, want int) {
	t.Helper()
	if got := total(t, a.metrics, "rookery_relay_audit_missing_total"); got != float64(want) {
		t.Errorf("the audit found %g missing, want %d", got, want)
	}
}

func total(t *testing.T, r prometheus.Gatherer, name string) (sum float64) {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// aged makes every recorded batch look an hour older, or the audit would leave it
// alone.
func (h *house) aged(t *testing.T) {
	t.Helper()
	h.exec(t, aging)
}

const aging = `UPDATE outbox.dispatches SET created_at = created_at - interval '1 hour', taken_at = taken_at - interval '1 hour'
	WHERE taken_at > now() - interval '30 minutes' AND (seq IS NOT NULL OR lease_until IS NOT NULL)`

// filled is a house with n jobs in the window of queue q, recorded and old.
func filled(t *testing.T, n int) *house {
	t.Helper()
	h := newHouse(t)
	h.start(t, wiring{})
	h.insert(t, "q", n)
	h.await(t, int64(n), "dispatched", dispatched)
	h.await(t, 0, "recorded", unrecorded)
	h.aged(t)
	return h
}

// remove takes the copy of a job out of the normal band by hand.
func (h *house) remove(t *testing.T, e job.Envelope) {
	t.Helper()
	texts, err := h.raw.LRange(t.Context(), "queue:{q}", 0, -1).Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range texts {
		if c, err := job.Decode([]byte(text)); err == nil && c.Ref() == e.Ref() {
			if err := h.raw.LRem(t.Context(), "queue:{q}", 1, text).Err(); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("job %d has no copy", e.ID)
}

func TestAudit_WhatWasRemovedByHandRunsOnce(t *testing.T) {
	t.Parallel()
	h := filled(t, 20)
	running := h.take(t, "q", 2)
	waiting := h.copies(t, "q")[3]
	h.remove(t, waiting)
	if err := h.raw.ZRem(t.Context(), "queue:{q}:leases", running[0].Ref().String()).Err(); err != nil {
		t.Fatal(err)
	}
	a := h.auditor(t, wiring{})
	a.looks(t, 1)
	if a.found(t, 0); a.Suspects() != 2 {
		t.Errorf("the first look suspects %d attempts, want 2", a.Suspects())
	}
	a.looks(t, 5)
	a.found(t, 2)
	h.await(t, 2, "both handed out again", again)
	h.await(t, 0, "recorded", unrecorded)
	h.onceEach(t, "q", 19)
	if n := h.count(t, `SELECT count(*) FROM outbox.attempts WHERE outcome = 'missing' AND job_id IN ($1, $2)`, running[0].ID, waiting.ID); n != 2 {
		t.Errorf("%d missing attempts on record, want 2", n)
	}
	if n := strings.Count(a.log.String(), "level=ERROR"); n != 1 {
		t.Errorf("%d alarms, want 1:\n%s", n, a.log)
	}
	got := h.take(t, "q", 19)
	if n := h.count(t, `SELECT count(*) FROM outbox.jobs WHERE lost_count > 0`); n != 0 {
		t.Errorf("%d jobs count as lost, want none", n)
	}
	h.complete(t, append(got, running[1]))
	h.await(t, 20, "all completed", `SELECT count(*) FROM outbox.jobs WHERE status = 'completed'`)
}

// The duty itself, of two relays at once: one of them brings the job back.
func TestAudit_IsADutyOfEveryRelay(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	var metrics [2]*prometheus.Registry
	for i := range metrics {
		metrics[i] = prometheus.NewRegistry()
		h.start(t, wiring{Options: relay.Options{Lease: quick, Registerer: metrics[i]}})
	}
	h.insert(t, "q", 10)
	h.insert(t, "other", 1)
	h.await(t, 11, "dispatched", dispatched)
	h.await(t, 0, "recorded", unrecorded)
	h.remove(t, h.copies(t, "q")[4])
	h.aged(t)
	h.await(t, 1, "the missing job handed out again", again)
	h.aged(t)
	audited := func() float64 {
		return total(t, metrics[0], "rookery_relay_audited_jobs_total") + total(t, metrics[1], "rookery_relay_audited_jobs_total")
	}
	before := audited()
	devtest.Until(t, patience, "more looks", func() (bool, error) { return audited() > before+30, nil })
	if n := total(t, metrics[0], "rookery_relay_audit_missing_total") + total(t, metrics[1], "rookery_relay_audit_missing_total"); n != 1 {
		t.Errorf("the audits found %g missing, want 1", n)
	}
	h.onceEach(t, "q", 10)
}

// A copy or a lease of an older attempt hides nothing. See PROTOCOL hole 6k.
func TestHole06_OldCopiesAndGhostLeasesHideNothing(t *testing.T) {
	t.Parallel()
	h := filled(t, 3)
	e := h.copies(t, "q")[1]
	h.remove(t, e)
	old := e
	old.DispatchID++
	text, err := old.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		h.raw.RPush(t.Context(), "queue:{q}", text).Err(),
		h.raw.Do(t.Context(), "ZADD", "queue:{q}:leases", time.Now().Add(time.Hour).UnixMilli(), old.Ref().String()).Err(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	a := h.auditor(t, wiring{})
	a.looks(t, 2)
	a.found(t, 1)
}

// What a crash between the two halves of bringing back leaves, the next audit brings
// back: the copy is called off, so nobody runs it meanwhile.
func TestAudit_CrashAfterEntombing(t *testing.T) {
	t.Parallel()
	h := filled(t, 5)
	e := h.copies(t, "q")[0]
	h.remove(t, e)
	a := h.auditor(t, wiring{store: &failingRequeue{Store: h.store, err: job.ErrUnavailable}})
	a.looks(t, 1)
	if err := a.Look(t.Context()); !errors.Is(err, job.ErrUnavailable) {
		t.Fatalf("Look = %v, want unavailable", err)
	}
	b := h.auditor(t, wiring{})
	b.looks(t, 2)
	b.found(t, 1)
	h.await(t, 1, "handed out again", again)
	h.await(t, 0, "recorded", unrecorded)
	h.onceEach(t, "q", 5)
	if got := h.take(t, "q", 5); len(got) != 5 {
		t.Errorf("taken = %d, want 5", len(got))
	}
}

type failingRequeue struct {
	relay.Store
	err error
}

func (f *failingRequeue) Requeue(context.Context, job.Requeue) ([]job.Verdict, error) {
	return nil, f.err
}

// A paused queue's copies wait longer than a minute, and none is missing.
func TestAudit_PausedAndCancelledAreNotMissing(t *testing.T) {
	t.Parallel()
	h := filled(t, 4)
	h.exec(t, `INSERT INTO outbox.jobs (queue_name, payload, priority) VALUES ('q', '{}', 10), ('q', '{}', 200)`)
	h.await(t, 6, "dispatched", dispatched)
	h.await(t, 0, "recorded", unrecorded)
	h.aged(t)
	jobs := h.take(t, "q", 2)
	h.exec(t, `SELECT outbox.cancel(id) FROM outbox.jobs WHERE id IN ($1, (SELECT max(id) FROM outbox.jobs WHERE priority = 100))`, jobs[0].ID)
	h.await(t, 0, "the orders carried", `SELECT count(*) FROM outbox.cancels`)
	if err := h.store.SetPaused(t.Context(), "q", true); err != nil {
		t.Fatal(err)
	}
	a := h.auditor(t, wiring{})
	a.looks(t, 4)
	a.found(t, 0)
	if diff := cmp.Diff(float64(4*4), total(t, a.metrics, "rookery_relay_audited_jobs_total")); diff != "" {
		t.Errorf("looked for, in four looks at four jobs (-want +got):\n%s", diff)
	}
}
