package pull

import (
	"errors"
	"testing"
	"time"

	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/workers"
)

// Requests of several queues wait for more than the server may lease: it leases as many
// as it may, the rest goes back, and whoever waits is answered with what they have.
func TestHub_LeasesNoMoreThanItMay(t *testing.T) {
	t.Parallel()
	h, err := New(struct{ Store }{}, nil, Options{Leases: 3}) // neither is asked
	if err != nil {
		t.Fatal(err)
	}
	enter := func(queue string, most int) (*desk, *waiter) {
		w := &waiter{max: most, lease: time.Minute, filled: make(chan struct{}, 1)}
		d, err := h.enter(queue, w)
		if err != nil {
			t.Fatal(err)
		}
		return d, w
	}
	a, first := enter("a", 3)
	b, second := enter("b", 3)
	_, third := enter("b", 3)
	id := int64(0)
	hand := func(d *desk) bool {
		id++
		return d.hand(&workers.Job{Envelope: job.Envelope{ID: id, DispatchID: 7}}) != nil
	}
	for i, d := range []*desk{a, b, b} {
		if !hand(d) {
			t.Fatalf("job %d was handed to nobody, want to whoever waits", i+1)
		}
	}
	for _, d := range []*desk{a, b} {
		if hand(d) {
			t.Errorf("a job of queue %s was leased beyond the limit", d.queue)
		}
	}
	if _, err := h.enter("a", &waiter{max: 1}); !errors.Is(err, job.ErrTooManyLeases) {
		t.Errorf("Lease beyond the limit = %v, want %v", err, job.ErrTooManyLeases)
	}
	for i, c := range []struct {
		d    *desk
		w    *waiter
		want int
	}{{a, first, 1}, {b, second, 2}, {b, third, 0}} {
		if !h.full(c.w) {
			t.Errorf("request %d waits on", i+1)
		}
		if got := c.d.leave(c.w); len(got) != c.want {
			t.Errorf("request %d got %d jobs, want %d", i+1, len(got), c.want)
		}
	}
}
