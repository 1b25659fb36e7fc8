package relay_test

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/relay"
)

// diary is a store in memory, as far as the dispatch loop needs one, that writes down
// in which order it is called.
type diary struct {
	relay.Store // nothing else is called
	t           *testing.T
	gate        *fakeGate

	mu      sync.Mutex
	lastID  int64
	epochs  map[string]int64
	nextIn  []time.Duration // what the next surveys say; then never
	slow    time.Duration   // what a survey takes
	broken  error           // what claims of the queue "bad" are answered
	window  int             // the queues' size
	paused  string          // this queue is
	waiting map[string][]job.Envelope
	calls   []string
}

func (d *diary) insert(queue string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lastID++
	d.waiting[queue] = append(d.waiting[queue], job.Envelope{ID: d.lastID, QueueName: queue, Priority: job.DefaultPriority})
}

// read returns what was called since it was last read.
func (d *diary) read() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	calls := d.calls
	d.calls = nil
	return calls
}

func (d *diary) Survey(_ context.Context, _ time.Time, skipped []string) (job.Survey, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.slow > 0 {
		<-time.After(d.slow) // in a bubble
	}
	d.calls = append(d.calls, "survey")
	s := job.Survey{NextIn: job.Never}
	if len(d.nextIn) > 0 {
		s.NextIn, d.nextIn = d.nextIn[0], d.nextIn[1:]
	}
	for queue, jobs := range d.waiting {
		if len(jobs) > 0 && !slices.Contains(skipped, queue) {
			s.Queues = append(s.Queues, queue)
		}
	}
	slices.Sort(s.Queues)
	return s, nil
}

func (d *diary) Claim(_ context.Context, c job.Claim) (job.Batch, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls = append(d.calls, "claim "+c.QueueName)
	if d.broken != nil && c.QueueName == "bad" {
		return job.Batch{}, d.broken
	}
	jobs := d.waiting[c.QueueName]
	n := min(c.Limit, len(jobs))
	d.waiting[c.QueueName] = jobs[n:]
	return job.Batch{QueueName: c.QueueName, DispatchID: c.DispatchID, Epoch: c.Epoch, Jobs: jobs[:n]}, nil
}

func (d *diary) Record(context.Context, []job.Recorded) error { return nil }

func (d *diary) Register(_ context.Context, names []string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, name := range names {
		if _, known := d.epochs[name]; !known {
			d.epochs[name] = 0
		}
	}
	return nil
}

func (d *diary) Queues(context.Context) (queues []job.Queue, life string, clock time.Time, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, epoch := range d.epochs {
		queues = append(queues, job.Queue{Name: name, Epoch: epoch, Life: "postgres", WindowSize: d.window, Paused: name == d.paused})
	}
	return queues, "postgres", time.Now(), nil
}

func (d *diary) BeginEpoch(_ context.Context, name string, seen, _ int64) (epoch int64, paused, begun bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.epochs[name] = seen + 1
	return seen + 1, false, true, nil
}

// newDiary has a relay's dispatch loop run on it, which has looked around once.
func newDiary(t *testing.T) *diary {
	t.Helper()
	return newDiaryOn(t, newFakeWindow())
}

func newDiaryOn(t *testing.T, redis relay.Redis) *diary {
	t.Helper()
	d := &diary{t: t, epochs: map[string]int64{}, waiting: map[string][]job.Envelope{}, gate: newGate(), window: 100}
	r, err := relay.New(d, redis, &restful{Source: d.gate.source()}, relay.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = r.DispatchLoop(t.Context()) }()
	synctest.Wait()
	d.read()
	return d
}

// restful is a source that ends the test when a relay waits again and again for nothing:
// a bubble's clock would stand still for ever.
type restful struct {
	relay.Source
	waits int
}

func (r *restful) Woken() <-chan struct{} {
	if r.waits++; r.waits > 50_000 {
		panic("the relay looks around without a pause")
	}
	return r.Source.Woken()
}

// wake commits a job.
func (d *diary) wake(queue string) {
	commit := d.gate.produce()
	d.insert(queue)
	commit()
}

// expect compares what was called since it was last read.
func (d *diary) expect(what string, want ...string) {
	d.t.Helper()
	synctest.Wait()
	if diff := cmp.Diff(want, d.read()); diff != "" {
		d.t.Errorf("%s, the store is called otherwise (-want +got):\n%s", what, diff)
	}
}

// A timer wakes the relay when the next scheduled job falls due, to the millisecond, and
// not the poll, once a second.
func TestScheduled_LooksWhenTheNextIsDue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDiary(t)
		d.nextIn = []time.Duration{300 * time.Millisecond, 700 * time.Millisecond}
		d.wake("q")
		d.expect("at a wake", "survey", "claim q")
		<-time.After(299 * time.Millisecond)
		d.expect("before a job is due")
		<-time.After(time.Millisecond)
		d.expect("when it is due", "survey")
		<-time.After(700 * time.Millisecond)
		d.expect("when the next is due", "survey")
		<-time.After(999 * time.Millisecond)
		d.expect("with none to come")
		<-time.After(time.Millisecond)
		d.expect("at the poll", "survey")
	})
}

// When the last wakes were for one queue, its jobs do not wait for a survey; and what else
// the next wake is for is found all the same. A clock that stands still keeps the
// relay from going hot, and every survey from counting as slow.
func TestWake_UsualQueueIsTriedFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDiary(t)
		wake, expect := d.wake, d.expect
		wake("q")
		expect("at the first wake for q", "survey", "claim q")
		for range 8 {
			wake("q")
			synctest.Wait()
		}
		d.read()
		wake("q")
		expect("when wakes are usually for q", "claim q", "survey")
		<-time.After(time.Second)
		expect("at a poll, which is for nobody", "survey")
		wake("other")
		expect("when a wake is for another", "claim q", "survey", "claim other")
		wake("other")
		expect("when the last wake was for another", "survey", "claim other")
	})
}
