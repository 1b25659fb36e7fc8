package workers_test

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
)

// queueContracts are what [workers.Queue] promises, apart from Take.
var queueContracts = map[string]func(*fixture){
	"Wait/returns_on_a_bell":                        waitsForBell,
	"Wait/returns_when_one_of_several_rings":        waitsForSeveral,
	"Wait/names_the_queue_that_rang":                waitNames,
	"Wait/of_0_looks_and_takes_no_token":            waitLooks,
	"Wait/returns_after_d":                          waitsForTime,
	"Wait/returns_when_ctx_ends":                    waitsForCtx,
	"Wait/jobs_left_behind_ring_for_others":         leftBehindRings,
	"Wait/unpausing_rings":                          unpausingRings,
	"Release/to_the_taking_end":                     releasesInOrder,
	"Release/to_the_bands":                          releasesToBands,
	"Release/only_what_is_leased":                   releasesLeased,
	"Release/twice":                                 releasesTwice,
	"Release/rings":                                 releaseRings,
	"Release/more_than_a_batch":                     releasesMany,
	"Release/stale":                                 releaseStale,
	"Register/shows_the_worker":                     registers,
	"Queue/says_that_ctx_has_ended_and_did_nothing": queueEnded,
}

// long is longer than any Wait waits: [workers.Queue] may end it early.
const long = time.Minute

// rings fails unless a Wait is soon ended by a bell. before is done before every
// Wait. A token may be on its way back from one that was broken off, so it is tried again.
func (f *fixture) rings(what string, before func(), queues ...string) {
	f.Helper()
	devtest.Until(f, patience, what, func() (bool, error) {
		before()
		return f.rang(queues...), nil
	})
}

// rang says whether a bell, not the clock, ended a Wait.
func (f *fixture) rang(queues ...string) bool {
	f.Helper()
	return len(f.wait(long, queues...)) > 0
}

// wait returns the queues that rang.
func (f *fixture) wait(d time.Duration, queues ...string) []string {
	f.Helper()
	rang, err := f.queue.Wait(f.Context(), queues, d)
	f.no("Wait", err)
	return rang
}

// silent fails unless a Wait lasts as long as it may. before is done before every
// Wait. A bell may ring once too often (redisq gives back a token nobody waited for),
// but not for ever.
func (f *fixture) silent(what string, before func(), queues ...string) {
	f.Helper()
	const d = 50 * time.Millisecond
	devtest.Until(f, patience, what, func() (bool, error) {
		before()
		start := time.Now()
		rang, err := f.queue.Wait(f.Context(), queues, d)
		return time.Since(start) >= d && len(rang) == 0, err
	})
}

func nothing() {}

func waitsForBell(f *fixture) {
	f.rings("a bell that rang before", func() { f.pushed(1) }, f.name)
	f.take(f.order(job.MaxBatch))
	f.rings("a bell that rings meanwhile", func() {
		pushed := make(chan struct{})
		jobs := f.envelopes(1, 0)
		go func() { defer close(pushed); f.push(jobs...) }()
		f.Cleanup(func() { <-pushed })
	}, f.name)
}

func waitsForSeveral(f *fixture) {
	other := f.name + "-other"
	f.open(other, 1)
	ring := func(queue string) func() {
		return func() {
			jobs := f.envelopes(1, 0)
			jobs[0].QueueName = queue
			f.push(jobs...)
		}
	}
	f.rings("the second of two", ring(other), f.name, other)
	f.rings("the first of two", ring(f.name), f.name, other)
	// Nothing of these two is taken: drain the bells, then hear but one.
	t := f.order(job.MaxBatch)
	t.QueueName = other
	f.take(t)
	f.take(f.order(job.MaxBatch))
	f.silent("another queue's bell", ring(other), f.name)
}

// waitNames also holds every token to account: each is heard of once, by name.
func waitNames(f *fixture) {
	queues := []string{f.name, f.name + "-b", f.name + "-c"}
	for _, queue := range queues[1:] {
		f.open(queue, 1)
	}
	for range 10 {
		for _, queue := range queues {
			jobs := f.envelopes(1, 0)
			jobs[0].QueueName = queue
			f.push(jobs...)
		}
		heard := map[string]int{}
		devtest.Until(f, patience, "three bells", func() (bool, error) {
			for _, queue := range f.wait(long, queues...) {
				heard[queue]++
			}
			return len(heard) == len(queues), nil
		})
		f.same("tokens heard of", heard, map[string]int{queues[0]: 1, queues[1]: 1, queues[2]: 1})
		for _, queue := range queues {
			t := f.order(job.MaxBatch)
			t.QueueName = queue
			f.take(t)
		}
	}
}

func waitLooks(f *fixture) {
	other, third := f.name+"-b", f.name+"-c"
	f.open(other, 1)
	f.open(third, 1)
	f.same("bells before a push", f.wait(0, f.name, other), []string(nil))
	f.pushed(1)
	jobs := f.envelopes(1, 0)
	jobs[0].QueueName = third
	f.push(jobs...)
	for range 3 {
		f.same("bells after a push", f.wait(0, f.name, other, third), []string{f.name, third})
	}
	if !f.rang(f.name) {
		f.Error("a look took the token")
	}
	f.take(f.order(job.MaxBatch))
	f.same("bells after a take of all", f.wait(-1, f.name, other, third), []string{third})
}

func waitsForTime(f *fixture) {
	start := time.Now()
	f.wait(50*time.Millisecond, f.name)
	if got := time.Since(start); got < 50*time.Millisecond {
		f.Errorf("Wait of a queue that never had a job took %s, want 50ms", got)
	}
	f.pushed(3)
	f.take(f.order(3))
	f.silent("everything was taken", nothing, f.name)
	start = time.Now()
	f.wait(0, f.name)
	if got := time.Since(start); got > patience {
		f.Errorf("Wait(0) took %s", got)
	}
}

func waitsForCtx(f *fixture) {
	ctx, cancel := context.WithCancel(f.Context())
	ended := make(chan error)
	go func() { _, err := f.queue.Wait(ctx, []string{f.name}, long); ended <- err }()
	cancel() // before or while it waits
	if err := <-ended; !errors.Is(err, context.Canceled) {
		f.Errorf("Wait = %v, want %v", err, context.Canceled)
	}
	// A token that comes afterwards is not lost to others.
	f.rings("the bell of another Wait", func() { f.pushed(1) }, f.name)
}

// Every try has a queue that nobody has waited for: a Wait that has just ended may
// still give a token back.
func leftBehindRings(f *fixture) {
	devtest.Until(f, patience, "the bell of what a take left behind", func() (bool, error) {
		t, jobs := f.order(1), f.envelopes(2, 0)
		t.QueueName = f.name + "-" + t.Token
		for i := range jobs {
			jobs[i].QueueName = t.QueueName
		}
		f.open(t.QueueName, 1)
		f.push(jobs...)
		first, second := f.rang(t.QueueName), f.rang(t.QueueName)
		if !first || !second { // by the push, once for each
			return false, nil
		}
		f.taken("one of two", t, true, jobs[0])
		return f.rang(t.QueueName), nil
	})
}

func unpausingRings(f *fixture) {
	f.pause(true)
	f.pushed(1)
	f.take(f.order(1))
	f.silent("paused", nothing, f.name)
	f.rings("a queue that goes on", func() { f.pause(true); f.pause(false) }, f.name)
}

func (f *fixture) release(jobs ...job.Envelope) {
	f.Helper()
	f.no("Release", f.queue.Release(f.Context(), f.name, 1, jobs))
}

func releasesInOrder(f *fixture) {
	jobs := f.pushed(6)
	f.taken("first", f.order(4), true, jobs[:4]...)
	f.release(jobs[1:4]...)
	f.same("leased", f.leased(1, refs(jobs)...), refs(jobs[:1]))
	f.taken("before those that wait, in their order", f.order(6), false, jobs[1:]...)
	f.release()
}

func releasesToBands(f *fixture) {
	low, normal, high := f.envelopes(2, 900), f.envelopes(2, 100), f.envelopes(2, 0)
	f.push(low...)
	f.push(normal...)
	f.push(high...)
	f.taken("all", f.order(6), false, slices.Concat(high, normal, low)...)
	late := f.envelopes(1, 0)
	f.push(late...)
	f.release(low[0], low[1], normal[1], high[1])
	f.taken("by band again", f.order(6), false, high[1], late[0], normal[1], low[0], low[1])
}

func releasesLeased(f *fixture) {
	jobs := f.pushed(4)
	ended := f.order(1)
	ended.Lease = time.Millisecond
	f.taken("to be lost", ended, true, jobs[0])
	f.lose(jobs[0].Ref())
	f.taken("the rest", f.order(3), false, jobs[1:]...)
	f.no("Ack", f.leases.Ack(f.Context(), f.name, 1, refs(jobs[1:2])))
	f.release(append(jobs, f.envelopes(1, 100)...)...) // one was never taken
	f.taken("what was leased", f.order(5), false, jobs[2:]...)
}

func releasesTwice(f *fixture) {
	jobs := f.pushed(2)
	f.taken("first", f.order(2), false, jobs...)
	f.release(jobs...)
	f.release(jobs...)
	f.taken("after both", f.order(5), false, jobs...)
	f.no("Ack", f.leases.Ack(f.Context(), f.name, 1, refs(jobs)))
	f.release(jobs...)
	f.taken("after they ended", f.order(5), false)
}

func releaseRings(f *fixture) {
	jobs := f.pushed(1)
	f.rings("what was given back", func() { f.take(f.order(1)); f.release(jobs...) }, f.name)
}

func releasesMany(f *fixture) {
	first, second := f.pushed(300), f.pushed(300)
	all := slices.Concat(first, second)
	f.taken("first", f.order(300), true, first...)
	f.taken("second", f.order(300), false, second...)
	f.release(all...)
	f.taken("in order", f.order(job.MaxBatch), true, all[:job.MaxBatch]...)
	f.taken("the rest", f.order(job.MaxBatch), false, all[job.MaxBatch:]...)
}

func releaseStale(f *fixture) {
	jobs := f.pushed(1)
	f.taken("first", f.order(1), false, jobs...)
	for _, epoch := range []int64{0, 2} {
		f.stale("Release", f.queue.Release(f.Context(), f.name, epoch, jobs), 1)
	}
	f.same("leased", f.leased(1, refs(jobs)...), refs(jobs))
	f.replace()
	f.stale("Release to another process", f.queue.Release(f.Context(), f.name, 1, jobs), 1)
}

func registers(f *fixture) {
	p := f.process("a")
	for range 2 {
		f.no("Register", f.queue.Register(f.Context(), p))
	}
	found := 0
	for _, id := range f.shown() {
		if id == p.ID {
			found++
		}
	}
	f.same("lines of the worker", found, 1)
}

func queueEnded(f *fixture) {
	jobs, p := f.pushed(2), f.process("a")
	f.taken("first", f.order(1), true, jobs[0])
	f.ended(map[string]func(context.Context) error{
		"Take":     func(ctx context.Context) error { _, err := f.queue.Take(ctx, f.order(1)); return err },
		"Wait":     func(ctx context.Context) error { _, err := f.queue.Wait(ctx, []string{f.name}, long); return err },
		"a look":   func(ctx context.Context) error { _, err := f.queue.Wait(ctx, []string{f.name}, 0); return err },
		"Release":  func(ctx context.Context) error { return f.queue.Release(ctx, f.name, 1, jobs[:1]) },
		"Register": func(ctx context.Context) error { return f.queue.Register(ctx, p) },
	})
	if slices.Contains(f.shown(), p.ID) {
		f.Error("a Register that failed is shown")
	}
	f.same("leased", f.leased(1, refs(jobs)...), refs(jobs[:1]))
}
