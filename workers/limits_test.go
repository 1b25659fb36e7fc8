package workers

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penguinmails/rookery/job"
)

func withTimeout(d time.Duration) func(*Options, *Registry) {
	return func(o *Options, _ *Registry) { o.Timeout = d }
}

func TestTimeout_EndsTheContextAndFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, u := newMemory(), untilEnd{}
		m.push("q", envelopes("k", 1, 1)...)
		r := start(t, m, func(ctx context.Context, j *Job) error {
			if at, has := ctx.Deadline(); !has || time.Until(at) != time.Minute {
				t.Errorf("Deadline() = %s, %t, want in one minute", at, has)
			}
			return u.work(ctx, j)
		}, withTimeout(time.Minute))
		r.sleep(time.Minute + time.Second)
		u.want(t, job.ErrTimeout)
		if o := r.wantOutcome(1, job.Failed); !strings.HasPrefix(o.Error, "job timed out after 1m0s: ") {
			t.Errorf("error = %q, want one that names the timeout", o.Error)
		}
		r.end()
	})
}

func TestTimeout_NoneWhenNegative(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.push("q", envelopes("k", 1, 1)...)
		r := start(t, m, func(ctx context.Context, _ *Job) error {
			if at, has := ctx.Deadline(); has {
				t.Errorf("Deadline() = %s, want none", at)
			}
			select {
			case <-time.After(2 * time.Hour):
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}, withTimeout(-1))
		r.sleep(3 * time.Hour)
		r.wantOutcome(1, job.Succeeded)
		r.end()
	})
}

func TestTimeout_HandlerThatIgnoresItLeaksItsSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		release := make(chan struct{})
		var running atomic.Int32
		m.push("q", envelopes("k", 1, 1)...)
		r := start(t, m, func(_ context.Context, j *Job) error {
			if j.ID == 1 {
				<-release
				return nil
			}
			running.Add(1)
			time.Sleep(time.Second) // synctest
			return nil
		}, withTimeout(time.Minute), func(o *Options, _ *Registry) { o.Concurrency = 2 })
		r.sleep(89 * time.Second)
		r.wantOutcome(1, "")
		r.wantLeases(1)
		r.sleep(2 * time.Second)
		o := r.wantOutcome(1, job.Failed)
		if !strings.Contains(o.Error, "ignored") {
			t.Errorf("error = %q, want one that says what the handler did", o.Error)
		}
		r.wantLeases(0)
		if s := r.w.Status(); s.Leaked != 1 || s.Running != 0 {
			t.Errorf("Status() = %+v, want one leaked slot", s)
		}
		m.push("q", envelopes("k", 2, 4)...)
		r.sleep(1500 * time.Millisecond)
		if n := running.Load(); n != 2 {
			t.Errorf("begun in 1.5 s = %d, want 2: the leaked slot is not given to others", n)
		}
		close(release)
		r.sleep(time.Minute)
		if s := r.w.Status(); s.Leaked != 0 || s.Held != 0 {
			t.Errorf("Status() = %+v, want the slot back and nothing held", s)
		}
		r.wantOutcome(1, job.Failed) // its late nil was ignored
		r.end()
	})
}

func TestAlone_NothingRunsBeside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		var running, most atomic.Int32
		jobs := envelopes("k", 1, 9)
		jobs[3].Alone, jobs[5].Alone = true, true
		m.push("q", jobs...)
		r := start(t, m, func(_ context.Context, j *Job) error {
			n := running.Add(1)
			defer running.Add(-1)
			most.Store(max(most.Load(), n))
			if j.Alone && n != 1 {
				t.Errorf("job %d runs beside %d others, want alone", j.ID, n-1)
			}
			time.Sleep(time.Second)
			if n := running.Load(); j.Alone && n != 1 {
				t.Errorf("%d others began beside job %d", n-1, j.ID)
			}
			return nil
		})
		r.sleep(500 * time.Millisecond)
		m.push("q", envelopes("k", 20, 5)...) // nothing is taken meanwhile
		r.sleep(time.Second)
		r.set(func(m *memory) {
			if n := len(m.window["q"]); n != 5 {
				t.Errorf("left in the window = %d, want 5", n)
			}
		})
		r.sleep(10 * time.Second)
		for id := int64(1); id <= 9; id++ {
			r.wantOutcome(id, job.Succeeded)
		}
		r.wantOutcome(24, job.Succeeded)
		if most.Load() != 7 {
			t.Errorf("most at once = %d, want the 7 others together", most.Load())
		}
		r.end()
	})
}

func TestFetch_SlotsAreNeverExceeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		var running atomic.Int32
		m.push("q", envelopes("k", 1, 200)...)
		r := start(t, m, func(_ context.Context, j *Job) error {
			if n := running.Add(1); n > 16 {
				t.Errorf("%d run at once, want at most 16", n)
			}
			time.Sleep(time.Duration(j.ID%7) * 10 * time.Millisecond)
			running.Add(-1)
			return nil
		}, func(o *Options, _ *Registry) { o.Concurrency = 16 })
		r.sleep(10 * time.Second)
		for id := int64(1); id <= 200; id++ {
			r.wantOutcome(id, job.Succeeded)
		}
		r.end()
	})
}

func TestFetch_TokenIsRepeatedUntilAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		var lose atomic.Int32
		lose.Store(2)
		m.after = func(call string) error {
			if call == "take" && lose.Add(-1) >= 0 {
				return errors.New("i/o timeout")
			}
			return nil
		}
		m.push("q", envelopes("k", 1, 3)...)
		r := start(t, m, ok)
		r.sleep(3 * time.Second)
		for id := int64(1); id <= 3; id++ {
			r.wantOutcome(id, job.Succeeded)
		}
		if len(m.takes) < 4 || m.takes[0].Token != m.takes[1].Token || m.takes[1].Token != m.takes[2].Token {
			t.Fatalf("takes = %+v, want one token three times", m.takes)
		}
		if m.takes[3].Token == m.takes[2].Token {
			t.Error("the token was used again after an answer")
		}
		r.end()
	})
}

func TestFetch_StrictOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.truth["p"], m.epoch["p"] = 1, 1
		m.push("p", envelopes("k", 100, 5)...)
		m.push("q", envelopes("k", 1, 5)...)
		var order []int64
		r := start(t, m, func(_ context.Context, j *Job) error { order = append(order, j.ID); return nil },
			func(o *Options, _ *Registry) { o.Concurrency = 1; o.Queues = []QueueWeight{{Name: "q"}, {Name: "p"}} })
		r.sleep(5 * time.Second)
		if len(order) != 10 || order[4] != 5 || order[5] != 100 {
			t.Errorf("order = %v, want q's five first", order)
		}
		r.end()
	})
}

func TestOrder_Weighted(t *testing.T) {
	a, b := newQueue(QueueWeight{"a", 6}), newQueue(QueueWeight{"b", 2})
	o, first := newOrder([]*queue{a, b}), 0
	o.draw = rand.New(rand.NewPCG(1, 2)).Float64 // always the same
	for range 10_000 {
		if o.next()[0] == a {
			first++
		}
	}
	if first < 7300 || first > 7700 {
		t.Errorf("a came first %d times of 10000, want about 7500", first)
	}
}
