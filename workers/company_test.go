package workers

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penguinmails/rookery/job"
)

func TestCompany_Patience(t *testing.T) {
	const every = 5 * time.Millisecond
	now := time.Now()
	for name, row := range map[string]struct {
		full   int
		n      int
		waited time.Duration
		dense  time.Duration // ago; 0: never
		want   time.Duration
	}{
		"a lone one":                      {500, 1, 0, 0, every},
		"a lone one after a dense batch":  {500, 1, every, time.Millisecond, 0},
		"one too few":                     {500, denseBatch - 1, every, time.Millisecond, 0},
		"dense":                           {500, denseBatch, every, time.Millisecond, 45 * time.Millisecond},
		"dense, for long":                 {500, 499, 49 * time.Millisecond, 49 * time.Millisecond, time.Millisecond},
		"dense, for too long":             {500, 499, 50 * time.Millisecond, 50 * time.Millisecond, 0},
		"full":                            {500, job.MaxBatch, 0, time.Millisecond, 0},
		"the first burst":                 {500, 400, every, 0, 0},
		"a burst at the end of its time":  {500, 400, every, 55 * time.Millisecond, 45 * time.Millisecond},
		"a burst after a lull":            {500, 400, every, 56 * time.Millisecond, 0},
		"a small buffer":                  {60, 59, every, time.Millisecond, 45 * time.Millisecond},
		"a small buffer, half of it full": {60, 60, every, time.Millisecond, 0},
		"a small buffer, nothing waited":  {60, 60, 0, time.Millisecond, every},
	} {
		c := company{every: every, full: row.full}
		if row.dense > 0 {
			c.dense = now.Add(-row.dense)
		}
		if got := c.patience(row.n, row.waited, now); got != row.want {
			t.Errorf("%s: patience(%d, %s) = %s, want %s", name, row.n, row.waited, got, row.want)
		}
	}
}

// FlushEvery is the user's: what is long already is not made longer, and ten times
// what is short is still short.
func TestCompany_PatienceFollowsFlushEvery(t *testing.T) {
	now := time.Now()
	for every, want := range map[time.Duration]time.Duration{
		time.Nanosecond: 10, time.Millisecond: 10 * time.Millisecond, 6 * time.Millisecond: 50 * time.Millisecond, time.Second: time.Second,
	} {
		c := company{every: every, full: 500, dense: now}
		if got := every + c.patience(100, every, now); got != want {
			t.Errorf("FlushEvery %s: 100 outcomes wait for %s, want %s", every, got, want)
		}
	}
}

func TestCompany_OnlyDenseBatchesAreRemembered(t *testing.T) {
	var c company
	now := time.Now()
	if c.left(denseBatch-1, now); !c.dense.IsZero() {
		t.Errorf("left(%d) is remembered", denseBatch-1)
	}
	if c.left(denseBatch, now); c.dense != now {
		t.Errorf("left(%d) is not remembered", denseBatch)
	}
}

func TestFullBatch_LeavesRoomForWhatFillsIt(t *testing.T) {
	for buffer, want := range map[int]int{1: 0, 2: 1, 100: 50, 900: 450, 999: 499, 1000: 500, 1001: 500, 1 << 40: 500} {
		if got := fullBatch(buffer); got != want {
			t.Errorf("fullBatch(%d) = %d, want %d", buffer, got, want)
		}
	}
}

func TestHeld_TellsTheWriterOfFullBatches(t *testing.T) {
	h := newHeld(1, 100, time.Minute) // half a buffer: 50
	for n := 1; n <= job.MaxBatch; n++ {
		h.mu.Lock()
		h.putLocked(&attempt{}, &job.Outcome{Kind: job.Succeeded})
		h.mu.Unlock()
		told := false
		select {
		case <-h.due:
			told = true
		default:
		}
		if want := n == 1 || n == 50 || n == job.MaxBatch; told != want {
			t.Errorf("outcome %d: the writer is told: %t, want %t", n, told, want)
		}
	}
}

// A worker of a hundred slots that gets a hundred jobs every ten milliseconds, as one
// of several that share a queue does, records several takes at once (a batch that is full
// may leave amid a burst, and the rest of it alone); the first of them,
// and a lone job afterwards, are recorded after FlushEvery.
func TestReconcile_DenseOutcomesWaitForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		r := start(t, m, ok)
		r.sleep(time.Second)
		const bursts = 50
		for i := range int64(bursts) {
			m.push("q", envelopes("k", 1+100*i, 100)...)
			r.sleep(10 * time.Millisecond)
			if i == 0 {
				r.wantOutcome(100, job.Succeeded)
			}
		}
		r.sleep(50 * time.Millisecond)
		r.wantOutcome(100*bursts, job.Succeeded)
		sizes := r.batchSizes()
		if len(sizes) == 0 || sizes[0] != 100 {
			t.Errorf("batches = %v, want the first burst alone", sizes)
		}
		if len(sizes) > bursts/2 {
			t.Errorf("%d bursts were recorded in %d batches, want at most %d: %v", bursts, len(sizes), bursts/2, sizes)
		}
		m.push("q", envelopes("k", 100000, 1)...)
		r.sleep(6 * time.Millisecond)
		r.wantOutcome(100000, job.Succeeded)
		r.end()
	})
}

// What waits is no more than half of the buffer: a worker whose buffer is small takes
// on, and is not slower than one that waits for nobody.
func TestReconcile_DenseOutcomesDoNotStopTaking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		h := func(context.Context, *Job) error { time.Sleep(time.Millisecond); return nil }
		r := start(t, m, h, func(o *Options, _ *Registry) { o.Buffer = 150 })
		r.sleep(time.Second)
		m.push("q", envelopes("k", 1, 10_000)...)
		r.sleep(700 * time.Millisecond) // 150 jobs in 5 ms, and half of that again
		for _, id := range []int64{1, 5000, 10_000} {
			r.wantOutcome(id, job.Succeeded)
		}
		r.end()
	})
}

// batchSizes returns how many outcomes each Reconcile has brought.
func (r *rig) batchSizes() (sizes []int) {
	r.memory.mu.Lock()
	defer r.memory.mu.Unlock()
	for _, b := range r.memory.batches {
		sizes = append(sizes, len(b))
	}
	return sizes
}
