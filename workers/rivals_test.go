package workers

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/penguinmails/rookery/job"
)

func TestRivals_Took(t *testing.T) {
	type take struct {
		n    int
		left bool
		want bool
	}
	for name, takes := range map[string][]take{
		"alone":                       {{100, true, true}, {100, true, true}, {100, false, false}, {100, true, true}},
		"full, and nothing is left":   {{100, false, false}},
		"woken for nothing":           {{0, false, false}, {0, false, false}, {100, true, true}},
		"asked again, and found some": {{100, true, true}, {1, true, true}},
	} {
		var r rivals
		for i, c := range takes {
			if got := r.took(c.n, c.left); got != c.want {
				t.Errorf("%s: take %d: took(%d, %t) = %t, want %t", name, i+1, c.n, c.left, got, c.want)
			}
		}
	}
}

func TestRivals_AskAgainAfterAWhile(t *testing.T) {
	var r rivals
	r.took(100, true)
	r.took(0, false) // a rival was quicker
	for i := range rivalTakes - 1 {
		if r.took(100, true) {
			t.Errorf("take %d after it asks again at once, want the bell", i+1)
		}
	}
	if !r.took(100, true) {
		t.Errorf("take %d after it does not ask again at once", rivalTakes)
	}
}

// Two workers share a queue that one take of each empties: once they have seen it they
// do not ask the empty queue after every take.
func TestWorker_LeavesTheRestToTheBellAmongRivals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		r := start(t, m, ok)
		other := start(t, m, ok, func(o *Options, _ *Registry) { o.ID = "other" })
		r.sleep(time.Second)
		before := len(r.calls("take"))
		const pushes = 64
		for i := range int64(pushes) {
			m.push("q", envelopes("k", 1+200*i, 200)...)
			r.sleep(20 * time.Millisecond)
		}
		takes := len(r.calls("take")) - before
		r.sleep(time.Second)
		for _, id := range []int64{1, 200 * pushes} {
			r.wantOutcome(id, job.Succeeded)
		}
		// Two a push bring jobs, and one of a worker that was woken comes too late; asking
		// again after each of them would make four.
		if takes < 2*pushes || takes > 3*pushes+pushes/4 {
			t.Errorf("%d pushes of two takes each took %d takes, want about 3 a push", pushes, takes)
		}
		r.end()
		other.end()
	})
}

// What a worker leaves to the bell is not left: among rivals too it empties a queue by
// itself, without waiting for anything.
func TestWorker_EmptiesAQueueAfterRivalsAreGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		r := start(t, m, ok)
		r.sleep(time.Second)
		r.w.queues[0].rivals.skip = rivalTakes // between rounds: the worker waits for its bell
		m.push("q", envelopes("k", 1, 3000)...)
		r.sleep(100 * time.Millisecond)
		for _, id := range []int64{1, 1500, 3000} {
			r.wantOutcome(id, job.Succeeded)
		}
		r.end()
	})
}
