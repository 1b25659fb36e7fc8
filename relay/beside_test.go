package relay_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penguinmails/rookery/job"
)

// What a queue costs the queues beside it, on a clock that only waits move.

// fill puts n due jobs into a queue, without a wake.
func (d *diary) fill(queue string, n int) {
	for range n {
		d.insert(queue)
	}
}

// left returns how many jobs of a queue are not claimed yet.
func (d *diary) left(queue string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.waiting[queue])
}

// count returns how often it was called since it was last read.
func (d *diary) count(call string) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.calls {
		if c == call {
			n++
		}
	}
	return n
}

// A queue that cannot be claimed rests by itself: were it tried at every look, its
// errors would stop the whole relay for seconds.
func TestRelay_OneQueuesTroubleIsNotTheOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDiary(t)
		d.window, d.broken = 20_000, errors.New("claim: the page is broken (SQLSTATE XX001)")
		d.fill("bad", 10)
		d.fill("good", 5000)
		d.wake("good")
		<-time.After(time.Second)
		if n := d.left("good"); n != 0 {
			t.Errorf("%d of 5,000 jobs wait after a second, beside a queue that cannot be claimed", n)
		}
		if n := d.count("claim bad"); n < 2 || n > 6 {
			t.Errorf("%d claims of the broken queue in a second, want that it is tried again, ever less often", n)
		}
	})
}

// A single slow look on a busy machine hides no queue that had no jobs then.
func TestSurvey_OneSlowOneHidesNoQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDiary(t)
		d.paused = "still" // its job is in every survey
		d.wake("still")
		synctest.Wait()
		d.read()
		d.slow = 60 * time.Millisecond
		d.wake("still")
		<-time.After(d.slow)
		d.expect("at a slow look", "survey")
		d.slow = 0
		d.wake("q")
		d.expect("after it", "survey", "claim q")
	})
}

// The batch of a queue with a backlog is on its way while the relay looks around again:
// the other queues' next jobs do not wait for it.
func TestHandOut_FullQueueIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var d *diary
		full, beside := 0, 0
		d = newDiaryOn(t, &faultyRedis{Redis: newFakeWindow(), push: func(p job.Push, next func() (job.Pushed, error)) (job.Pushed, error) {
			if len(p.Jobs) == job.MaxBatch {
				full++
				before := d.count("survey")
				<-time.After(300 * time.Millisecond) // less than the patience of a look
				if d.count("survey") > before {
					beside++
				}
			}
			return next()
		}})
		d.window, d.paused = 20_000, "still"
		d.fill("still", 1) // in every survey, and nothing to do
		d.fill("big", 15*job.MaxBatch)
		d.wake("big")
		<-time.After(15 * time.Second)
		if full != 15 || beside < 13 { // nobody knows of the first that it is full; the last has nothing beside it
			t.Errorf("looks around beside %d of %d batches of a full queue, want nearly all", beside, full)
		}
	})
}

// Workers that take must not wait for the next second until the relay asks again.
func TestWindow_FullOneIsRefilledAsItIsTaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFakeWindow()
		d := newDiaryOn(t, f)
		d.window = 50 // 45, and a reserve for urgent jobs
		d.fill("q", 495)
		d.wake("q")
		turns := 0
		for ; d.left("q") > 0 && turns < 100; turns++ {
			<-time.After(25 * time.Millisecond) // its depth is asked for every 20 ms
			f.set(func() { f.queues["q"].bands = [3][]job.Envelope{} })
		}
		if turns > 12 {
			t.Errorf("496 jobs went through a window of 50 in %d turns of 25 ms, want 12", turns)
		}
	})
}

// Two queues at their windows: whoever found out that there is no room for one has
// nothing to look again for, or the relay would look without a pause.
func TestHandOut_FullWindowsLeaveItAtRest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var looks atomic.Int64 // by whoever hands out one queue's batch
		d := newDiaryOn(t, &faultyRedis{Redis: newFakeWindow(), census: func(job.Census) error { looks.Add(1); return nil }})
		d.window = 50
		queues := []string{"one", "two", "three", "four", "five"} // more than are spared a survey
		for _, name := range queues {
			d.fill(name, 100)
		}
		d.wake("one")
		<-time.After(time.Second)
		for _, name := range queues {
			if d.left(name) == 0 {
				t.Errorf("the window of %s is not full", name)
			}
		}
		if n := d.count("survey"); n > 300 {
			t.Errorf("%d surveys in a second, want one in 4 ms", n)
		}
		if n := looks.Load(); n > 55*int64(len(queues)) {
			t.Errorf("the %d windows were looked at %d times in a second, want each every 20 ms", len(queues), n)
		}
	})
}
