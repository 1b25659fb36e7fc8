package relay_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/relay"
)

// look reads the fake's window of queue q: how often each job stands there, and in
// which epoch.
func (f *fakeWindow) look() (copies map[int64]int, epoch int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	copies = map[int64]int{}
	if q := f.queues["q"]; q != nil {
		epoch = q.epoch
		for _, band := range q.bands {
			for _, e := range band {
				copies[e.ID]++
			}
		}
	}
	return copies, epoch
}

// once fails the test unless, soon, each of n jobs stands in the fake's window once
// and every push is recorded.
func (f *fakeWindow) once(t *testing.T, h *house, n int) {
	t.Helper()
	h.await(t, int64(n), "all dispatched", dispatched)
	h.await(t, 0, "all recorded", `SELECT count(*) FROM outbox.dispatches AS d JOIN outbox.queues AS q ON q.name = d.queue_name AND q.epoch = d.epoch WHERE d.seq IS NULL`)
	copies, _ := f.look()
	for id, times := range copies {
		if times != 1 {
			t.Errorf("job %d stands in the window %d times", id, times)
		}
	}
	if len(copies) != n {
		t.Errorf("the window has %d jobs, want %d", len(copies), n)
	}
}

// started is a house whose relay pushes to a fake, with q open and one job in it.
func started(t *testing.T, o relay.Options) (*house, *fakeWindow, *relay.Relay) {
	t.Helper()
	h, f := newHouse(t), newFakeWindow()
	o.Lease = quick
	r, _ := h.start(t, wiring{redis: f, Options: o})
	h.insert(t, "q", 1)
	f.once(t, h, 1)
	return h, f, r
}

func TestPush_LostReplyIsADupNextTime(t *testing.T) {
	t.Parallel()
	h, f, _ := started(t, relay.Options{})
	f.set(func() { f.lose = 3 })
	h.insert(t, "q", 20)
	f.once(t, h, 21)
}

func TestPush_AfterItsDeadlineIsRecovered(t *testing.T) {
	t.Parallel()
	var f *fakeWindow
	var armed atomic.Bool
	h, f, _ := started(t, relay.Options{Failpoint: func(name string) {
		if name == "relay.after_claim" && armed.CompareAndSwap(true, false) {
			f.set(func() { f.skew += 11 * time.Second }) // the relay was frozen so long
		}
	}})
	armed.Store(true)
	h.insert(t, "q", 5)
	f.once(t, h, 6)
	if _, epoch := f.look(); epoch != 1 {
		t.Errorf("epoch = %d: a late push ends none", epoch)
	}
}

func TestPush_ToAnotherLifeBeginsAnEpoch(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*fakeWindow){
		"restarted":           func(f *fakeWindow) { f.process++ },
		"empty":               func(f *fakeWindow) { f.process++; f.queues = map[string]*fakeQueue{} },
		"behind":              func(f *fakeWindow) { f.queues["q"].seq = 0; f.queues["q"].bands[1] = nil },
		"of an older epoch":   func(f *fakeWindow) { f.queues["q"].epoch = 0 },
		"of a far newer life": func(f *fakeWindow) { f.queues["q"].epoch = 40; f.process++ },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var f *fakeWindow
			var armed atomic.Bool
			h, f, _ := started(t, relay.Options{Failpoint: func(name string) {
				if name == "relay.after_claim" && armed.CompareAndSwap(true, false) {
					f.set(func() { change(f) }) // between D1 and D2
				}
			}})
			armed.Store(true)
			h.insert(t, "q", 4)
			h.await(t, 5, "all in the new epoch", `SELECT count(*) FROM outbox.jobs AS j JOIN outbox.dispatches AS d ON d.id = j.dispatch_id WHERE d.epoch > 1 AND d.seq IS NOT NULL`)
			f.once(t, h, 5)
			if n := h.count(t, `SELECT count(*) FROM outbox.jobs WHERE lost_count > 0`); n != 0 {
				t.Errorf("%d jobs count as lost", n)
			}
		})
	}
}

func TestPush_UnavailableIsRecovered(t *testing.T) {
	t.Parallel()
	h, f, _ := started(t, relay.Options{})
	f.set(func() { f.fails = job.ErrUnavailable })
	h.insert(t, "q", 30)
	devtest.Until(t, patience, "a second without Redis", func() (bool, error) {
		return h.count(t, `SELECT count(*) FROM outbox.jobs WHERE created_at < now() - interval '1 second'`) == 31, nil
	})
	f.set(func() { f.fails = nil })
	f.once(t, h, 31)
}

// Redis refuses for lack of memory: the batches wait, and after 20 s a new epoch
// empties the window.
func TestPush_FullRedisIsEmptiedByANewEpoch(t *testing.T) {
	t.Parallel()
	h, f := newHouse(t), newFakeWindow()
	var full atomic.Bool
	var freed atomic.Int64
	faulty := &faultyRedis{Redis: f, push: func(p job.Push, next func() (job.Pushed, error)) (job.Pushed, error) {
		if full.Load() && p.Epoch == 1 {
			freed.Add(1)
			return job.Pushed{}, job.ErrFull
		}
		return next()
	}}
	r, _ := h.start(t, wiring{redis: faulty, Options: relay.Options{Lease: quick}})
	h.insert(t, "q", 10)
	f.once(t, h, 10)
	full.Store(true)
	h.insert(t, "q", 5)
	devtest.Until(t, patience, "some refusals", func() (bool, error) { return freed.Load() > 1, nil })
	if _, epoch := f.look(); epoch != 1 {
		t.Fatalf("epoch = %d after the first refusals, want 1", epoch)
	}
	r.FullSince("q", time.Now().Add(-time.Minute))
	h.await(t, 2, "another epoch", `SELECT epoch FROM outbox.queues WHERE name = 'q'`)
	h.await(t, 15, "all in it", `SELECT count(*) FROM outbox.jobs AS j JOIN outbox.dispatches AS d ON d.id = j.dispatch_id WHERE d.epoch = 2 AND d.seq IS NOT NULL`)
	f.once(t, h, 15)
}

// An epoch whose beginner dies before it is open is open nowhere; after a moment
// another relay begins the next.
func TestEpoch_BegunAndNeverOpenedIsFollowedByAnother(t *testing.T) {
	t.Parallel()
	h, f, _ := started(t, relay.Options{})
	h.exec(t, `UPDATE outbox.queues SET epoch = 2, epoch_at = now()`)
	h.insert(t, "q", 3)
	h.await(t, 4, "all in the epoch after", `SELECT count(*) FROM outbox.jobs AS j JOIN outbox.dispatches AS d ON d.id = j.dispatch_id WHERE d.epoch = 3 AND d.seq IS NOT NULL`)
	f.once(t, h, 4)
}

func TestEpoch_TwoRelaysBeginOne(t *testing.T) {
	t.Parallel()
	h, f := newHouse(t), newFakeWindow()
	for range 3 {
		h.start(t, wiring{redis: f, Options: relay.Options{Lease: quick}})
	}
	h.insert(t, "q", 100)
	f.once(t, h, 100)
	for range 3 {
		_, was := f.look()
		f.set(func() { f.process++; f.queues = map[string]*fakeQueue{} })
		h.await(t, 100, "all in a later epoch", `SELECT count(*) FROM outbox.jobs AS j JOIN outbox.dispatches AS d ON d.id = j.dispatch_id WHERE d.epoch > $1 AND d.seq IS NOT NULL`, was)
		if _, epoch := f.look(); epoch != was+1 {
			t.Errorf("one flush took Redis from epoch %d to %d", was, epoch)
		}
	}
	f.once(t, h, 100)
}

// One queue's Redis is gone, as a shard may be; leases on the others end as ever.
func TestTend_OneQueuesRedisIsNotTheOthers(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	f := &faultyRedis{Redis: h.redis, census: func(c job.Census) error {
		if c.QueueName == "gone" && c.Epoch > 0 {
			return errors.Join(job.ErrUnavailable, errors.New("census: its shard is down"))
		}
		return nil
	}}
	h.exec(t, `INSERT INTO outbox.queues (name, epoch) VALUES ('gone', 7)`)
	h.start(t, wiring{redis: f, Options: relay.Options{Lease: quick}})
	h.insert(t, "q", 1)
	h.takeFor(t, "q", 1, quick/2)
	h.await(t, 1, "the silent worker's job handed out again", `SELECT count(*) FROM outbox.jobs WHERE lost_count = 1 AND attempt_count = 2`)
}
