package relay_test

import (
	"testing"
	"time"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/relay"
)

// noted is how many batches Redis remembers.
func (h *house) noted(t *testing.T) int64 {
	t.Helper()
	n, err := h.raw.HLen(t.Context(), "queue:{q}:batches").Result()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// pass lets a relay that is not run do what it does with time.
func (a *auditor) pass(t *testing.T, d time.Duration) {
	t.Helper()
	a.Forward("q", d)
	if err := a.ForgetLeft(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := a.Acquaint(t.Context()); err != nil { // a census, which has forgotten what may be
		t.Fatal(err)
	}
}

func TestForget_NotesOfAStoppedRelay(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	_, stop := h.start(t, wiring{})
	for i := range 5 {
		h.insert(t, "q", 1)
		h.await(t, int64(i+1), "dispatched", dispatched)
	}
	// A relay that is stopped between claim and push leaves the push to the next one.
	devtest.Until(t, patience, "all five pushed", func() (bool, error) { return h.noted(t) == 5, nil })
	stop()
	h.complete(t, h.take(t, "q", 3))
	if _, err := h.store.Sweep(t.Context(), job.Cursor{}); err != nil { // some of the rows go
		t.Fatal(err)
	}
	before := h.noted(t)
	a := h.auditor(t, wiring{})
	a.pass(t, 0) // marks
	h.start(t, wiring{})
	h.insert(t, "q", 1) // after the mark: none of our business yet
	h.await(t, 3, "dispatched", dispatched)
	h.await(t, 0, "recorded", unrecorded)
	for _, step := range []struct {
		pass time.Duration
		want int64
	}{
		// The minute to spare is for this machine, whose clock goes on.
		{time.Minute, before + 1}, // not left behind as far as we know
		{time.Minute, before + 1}, // found; its minute begins
		{time.Second, before + 1},
		{time.Minute, 1},
	} {
		if a.pass(t, step.pass); h.noted(t) != step.want {
			t.Errorf("%s later Redis remembers %d batches, want %d", step.pass, h.noted(t), step.want)
		}
	}
}

// A batch that was pushed, and whose seq nobody has recorded, is remembered for as
// long as that lasts: or who recovers it would push a second copy. See PROTOCOL
// hole 8.
func TestHole08_UnrecordedBatchIsNeverForgotten(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.insert(t, "q", 10)
	_, dead := h.start(t, wiring{dieAt: "relay.after_push"})
	dead()
	h.await(t, 1, "a ledger row without seq", unrecorded)
	a := h.auditor(t, wiring{})
	a.pass(t, 0)
	for range 5 {
		a.pass(t, 10*time.Minute)
	}
	if n := h.noted(t); n != 1 {
		t.Fatalf("Redis remembers %d batches, want the one", n)
	}
	h.start(t, wiring{Options: relay.Options{}})
	h.await(t, 0, "recovered", unrecorded)
	h.onceEach(t, "q", 10)
	a.pass(t, 10*time.Minute)
	if a.pass(t, time.Minute); h.noted(t) != 0 {
		t.Errorf("recorded and a minute later Redis remembers %d batches, want none", h.noted(t))
	}
}
