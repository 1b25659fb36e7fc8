package workers

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penguinmails/rookery/job"
)

// crowded gives m n queues, q0 and so on, and a worker all of them, with this weight.
func crowded(m *memory, n, weight, slots int) func(*Options, *Registry) {
	queues := make([]QueueWeight, n)
	for i := range queues {
		queues[i] = QueueWeight{Name: fmt.Sprint("q", i), Weight: weight}
		m.truth[queues[i].Name], m.epoch[queues[i].Name] = 1, 1
	}
	return func(o *Options, _ *Registry) { o.Queues, o.Concurrency = queues, slots }
}

// pushSilently pushes jobs of a queue whose bell nobody hears.
func (m *memory) pushSilently(queue string, jobs ...job.Envelope) {
	m.push(queue, jobs...)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bells[queue] = 0
}

// begun is a handler that takes d, and the moments at which each job began.
type begun struct {
	d  time.Duration
	mu sync.Mutex
	at map[int64]time.Time
}

func (b *begun) handle(ctx context.Context, j *Job) error {
	b.mu.Lock()
	if b.at == nil {
		b.at = map[int64]time.Time{}
	}
	b.at[j.ID] = time.Now()
	b.mu.Unlock()
	pause(ctx, b.d)
	return nil
}

func (b *begun) after(t *testing.T, id int64, since time.Time, most time.Duration) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if at, ok := b.at[id]; !ok || at.Sub(since) > most {
		t.Errorf("job %d began %s after its push (%t), want at most %s", id, at.Sub(since), ok, most)
	}
}

func (r *rig) takesOf(queue string) int { return len(r.calls("take " + queue + " ")) }

func TestTurns_OnlyQueuesThatMayHaveJobsAreAsked(t *testing.T) {
	for name, full := range map[string]int64{"idle": 0, "one has a backlog": 50_000} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, b := newMemory(), begun{d: time.Millisecond}
				change := crowded(m, 50, 1, 10)
				if full > 0 {
					m.push("q7", envelopes("k", 1, full)...)
				}
				r := start(t, m, b.handle, change)
				const seconds = 4
				r.sleep(seconds * time.Second)
				// One each at the start, then one in 0.75 to 1 s.
				if n, most := r.takesOf("q8"), seconds*4/3+2; n > most || n < seconds {
					t.Errorf("takes of a queue without jobs in %d s = %d, want %d to %d", seconds, n, seconds, most)
				}
				if n := r.takesOf("q7"); full > 0 && n < 100*seconds {
					t.Errorf("takes of the queue with a backlog in %d s = %d, want %d or more", seconds, n, 100*seconds)
				}
				if n := len(r.calls("look")); n > seconds*int(time.Second/lookEvery)+1 || full > 0 && n < 100*seconds || full == 0 && n > 0 {
					t.Errorf("looks at the bells in %d s = %d, want them while there is a backlog, every %s", seconds, n, lookEvery)
				}
				r.end()
			})
		})
	}
}

func TestTurns_JobBesideABacklogIsSoonTaken(t *testing.T) {
	for name, weight := range map[string]int{"strict order": 0, "weighted": 1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, b := newMemory(), begun{d: 10 * time.Millisecond}
				change := crowded(m, 50, weight, 10)
				m.push("q49", envelopes("k", 1, 20_000)...)
				r := start(t, m, b.handle, change)
				r.sleep(3 * time.Second)
				for id := int64(50_000); id < 50_100; id++ {
					pushed, takes := time.Now(), r.takesOf("q49")
					m.push(fmt.Sprint("q", id%49), envelopes("k", id, 1)...)
					// A look, and a slot: the last free one goes by weights, so perhaps the next one.
					const soon = lookEvery + 25*time.Millisecond
					r.sleep(soon)
					b.after(t, id, pushed, soon)
					if n := r.takesOf("q49") - takes; n > 30 {
						t.Errorf("takes of the backlog meanwhile = %d, want at most 30", n)
					}
					r.sleep(7 * time.Millisecond)
				}
				r.end()
			})
		})
	}
}

// roundOf is a worker that runs no loop, so that a test may call for rounds.
func roundOf(t *testing.T, m *memory, change func(*Options, *Registry)) *rig {
	t.Helper()
	o := Options{ID: "w"}
	registry := NewRegistry()
	change(&o, registry)
	registry.Handle("k", HandlerFunc(ok), HandlerOptions{})
	w, err := New(m, m, leasesOf{m}, registry, o)
	if err != nil {
		t.Fatal(err)
	}
	w.tell(t.Context())
	w.joinAll(t.Context())
	return &rig{t: t, memory: m, w: w}
}

// What one round takes of a backlog leaves a slot for each queue whose bell rang,
// whoever comes first; with strict order the first may have all.
func TestTurns_BacklogLeavesSlotsForRungQueues(t *testing.T) {
	for name, weight := range map[string]int{"strict order": 0, "weighted": 1} {
		t.Run(name, func(t *testing.T) {
			for range 20 {
				m := newMemory()
				change := crowded(m, 3, weight, 4)
				m.push("q0", envelopes("k", 1, 100)...)
				m.push("q1", envelopes("k", 201, 1)...)
				m.push("q2", envelopes("k", 301, 1)...)
				r := roundOf(t, m, change)
				r.w.ring([]string{"q1", "q2"})
				f := fetcher{}
				more, got := r.w.round(t.Context(), &f)
				taken := map[string]int{}
				for _, a := range f.waiting {
					taken[a.queue.name]++
				}
				want := map[string]int{"q0": 2, "q1": 1, "q2": 1}
				if weight == 0 {
					want = map[string]int{"q0": 4}
				}
				if !more || !got || fmt.Sprint(taken) != fmt.Sprint(want) {
					t.Fatalf("round() = %t, %t and %v, want %v", more, got, taken, want)
				}
			}
		})
	}
}

// With weights one slot in sixteen is not for backlogs, as long as some queue has none:
// its next job need not wait for a handler to return.
func TestTurns_BacklogLeavesSpareSlots(t *testing.T) {
	for name, c := range map[string]struct {
		weight, full, running int
		begins                bool
	}{
		"weighted":     {weight: 1, full: 1, running: 30, begins: true},
		"all are full": {weight: 1, full: 5, running: 32},
		"strict order": {weight: 0, full: 1, running: 32},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, b := newMemory(), begun{d: time.Second}
				change := crowded(m, 5, c.weight, 32)
				for i := range c.full {
					m.push(fmt.Sprint("q", i), envelopes("k", int64(1000*i+1), 1000)...)
				}
				r := start(t, m, b.handle, change)
				r.sleep(5500 * time.Millisecond)
				if n := r.w.Status().Running; n != c.running {
					t.Errorf("running beside %d full queues = %d, want %d", c.full, n, c.running)
				}
				pushed := time.Now()
				m.push("q4", envelopes("k", 50_000, 1)...)
				r.sleep(5 * time.Millisecond)
				if c.begins {
					b.after(t, 50_000, pushed, lookEvery+2*gatherSlots)
				}
				r.end()
			})
		})
	}
}

func TestTurns_LostBellCostsASecond(t *testing.T) {
	for name, c := range map[string]struct {
		backlog int64
		others  time.Duration // between the rings of another queue; 0: none
	}{
		"idle":                   {},
		"beside a backlog":       {backlog: 20_000},
		"another rings before":   {others: 900 * time.Millisecond},
		"another rings all time": {others: 7 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, b := newMemory(), begun{d: 10 * time.Millisecond}
				change := crowded(m, 5, 1, 10)
				if c.backlog > 0 {
					m.push("q0", envelopes("k", 1, c.backlog)...)
				}
				r := start(t, m, b.handle, change)
				var stop atomic.Bool
				if c.others > 0 {
					go func() {
						for id := int64(100_000); !stop.Load(); id++ {
							time.Sleep(c.others)
							m.push("q1", envelopes("k", id, 1)...)
						}
					}()
				}
				for id := int64(50_000); id < 50_008; id++ {
					r.sleep(317 * time.Millisecond)
					pushed := time.Now()
					m.pushSilently("q3", envelopes("k", id, 1)...)
					r.sleep(time.Second + 12*time.Millisecond) // and a slot
					b.after(t, id, pushed, time.Second+12*time.Millisecond)
				}
				stop.Store(true)
				r.sleep(time.Second)
				r.end()
			})
		})
	}
}

// interrupted ends the worker once its Wait has taken a token.
type interrupted struct {
	*memory
	stop context.CancelFunc
}

func (q interrupted) Wait(ctx context.Context, queues []string, d time.Duration) ([]string, error) {
	rang, err := q.memory.Wait(ctx, queues, d)
	if len(rang) > 0 {
		q.stop()
	}
	return rang, err
}

func TestTurns_TokenTakenAtTheEndRingsForOthers(t *testing.T) {
	for name, n := range map[string]int{"one queue": 1, "several": 5} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory()
				o := Options{ID: "w"}
				registry := NewRegistry()
				crowded(m, n, 0, 10)(&o, registry)
				registry.Handle("k", HandlerFunc(ok), HandlerOptions{})
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				w, err := New(m, interrupted{m, stop}, leasesOf{m}, registry, o)
				if err != nil {
					t.Fatal(err)
				}
				ended := make(chan error)
				go func() { ended <- w.Run(ctx) }()
				time.Sleep(100 * time.Millisecond)
				m.push("q0", envelopes("k", 1, 1)...)
				if err := <-ended; err != nil {
					t.Fatal(err)
				}
				if len(m.window["q0"]) != 1 || m.bells["q0"] != 1 {
					t.Errorf("left: %d jobs, %d tokens, want one of each", len(m.window["q0"]), m.bells["q0"])
				}
			})
		})
	}
}

// A queue whose bell rang while its epoch was not joined keeps its turn: its token is
// gone.
func TestTurns_QueueThatCouldNotBeAskedKeepsItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, b := newMemory(), begun{d: 5 * time.Second}
		r := start(t, m, b.handle, crowded(m, 5, 1, 10))
		r.sleep(2500 * time.Millisecond)
		m.push("q1", envelopes("k", 1, 1)...) // held, so that there is something to announce
		r.sleep(10 * time.Millisecond)
		r.set(func(m *memory) { m.truth["q1"], m.epoch["q1"] = 2, 2 }) // a relay begins an epoch
		pushed := time.Now()
		m.push("q1", envelopes("k", 2, 1)...)
		r.sleep(time.Second)
		b.after(t, 2, pushed, 300*time.Millisecond)
		r.sleep(10 * time.Second)
		r.end()
	})
}

func TestTurns_PausedQueueIsAskedWhenItGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, b := newMemory(), begun{d: 10 * time.Millisecond}
		change := crowded(m, 5, 1, 10)
		m.push("q0", envelopes("k", 1, 20_000)...)
		m.paused["q1"] = true
		m.push("q1", envelopes("k", 50_000, 1)...)
		r := start(t, m, b.handle, change)
		r.sleep(5 * time.Second)
		if n := r.takesOf("q1"); n > 8 {
			t.Errorf("takes of a paused queue in 5 s = %d, want at most 8", n)
		}
		on := time.Now()
		r.set(func(m *memory) { m.paused["q1"] = false; m.ringLocked("q1", 1) })
		r.sleep(20 * time.Millisecond)
		b.after(t, 50_000, on, lookEvery+11*time.Millisecond)
		r.end()
	})
}
