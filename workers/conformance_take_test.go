package workers_test

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/penguinmails/rookery/job"
)

// takeContracts are what [workers.Queue] promises of Take.
var takeContracts = map[string]func(*fixture){
	"Take/most_urgent_band_first":        takesByBand,
	"Take/hands_over_what_was_pushed":    takesWhatWasPushed,
	"Take/at_most_limit":                 takesAtMostLimit,
	"Take/limit_must_be_1_to_500":        refusesLimits,
	"Take/stale":                         takeStale,
	"Take/another_life":                  takeAnotherLife,
	"Take/token_repeated":                takesAgain,
	"Take/token_repeated_renews":         takesAgainRenewed,
	"Take/token_repeated_broken":         takesAgainBroken,
	"Take/token_repeated_in_a_new_epoch": takesAgainInNewEpoch,
	"Take/token_of_another_worker":       takesOtherWorkersToken,
	"Take/token_that_took_nothing":       takesAfterNothing,
	"Take/paused":                        takesNothingWhenPaused,
	"Take/drops_copies":                  dropsCopies,
	"Take/broken_is_leased":              takesBroken,
}

func takesByBand(f *fixture) {
	band := func(priorities ...int16) (jobs []job.Envelope) {
		for _, p := range priorities {
			jobs = append(jobs, f.envelopes(1, p)...)
			f.push(jobs[len(jobs)-1])
		}
		return jobs
	}
	// In a band jobs keep their order, whatever their priorities.
	low, normal, high := band(job.MaxPriority, job.NormalMax+1), band(job.NormalMax, job.HighMax+1), band(job.HighMax, 0)
	f.taken("across two bands", f.order(3), true, high[0], high[1], normal[0])
	late := band(0)
	f.taken("the rest", f.order(10), false, late[0], normal[1], low[0], low[1])
}

func takesWhatWasPushed(f *fixture) {
	e := f.envelopes(1, 7)[0]
	at := time.Date(2026, 1, 2, 3, 4, 5, 678000, time.UTC)
	e.AttemptCount, e.FailureCount, e.LostCount, e.Alone = 4, 2, 1, true
	e.CreatedAt, e.RunAt, e.DispatchedAt = at, at.Add(time.Second), at.Add(time.Minute)
	e.Headers, e.Payload = json.RawMessage(`{"traceparent":"00"}`), json.RawMessage(`{"to":"ä@example.org"}`)
	f.push(e)
	f.same("jobs", f.take(f.order(1)).Jobs, []job.Envelope{e})
}

func takesAtMostLimit(f *fixture) {
	f.taken("nothing there", f.order(10), false)
	jobs := f.pushed(5)
	f.taken("first", f.order(2), true, jobs[:2]...)
	f.taken("second", f.order(2), true, jobs[2:4]...)
	f.taken("the last", f.order(1), false, jobs[4])
	f.taken("none left", f.order(1), false)
	many := f.pushed(job.MaxBatch)
	f.taken("a full batch", f.order(job.MaxBatch), false, many...)
}

func refusesLimits(f *fixture) {
	jobs := f.pushed(1)
	for _, limit := range []int{-1, 0, job.MaxBatch + 1} {
		if _, err := f.queue.Take(f.Context(), f.order(limit)); err == nil {
			f.Errorf("Take(limit %d) = nil, want an error", limit)
		}
	}
	f.taken("afterwards", f.order(1), false, jobs...)
}

func takeStale(f *fixture) {
	jobs := f.pushed(2)
	for _, epoch := range []int64{0, 2, -1} {
		t := f.order(2)
		t.Epoch = epoch
		_, err := f.queue.Take(f.Context(), t)
		f.stale("Take", err, 1)
	}
	f.open(f.name, 4) // the window is thrown away
	_, err := f.queue.Take(f.Context(), f.order(2))
	f.stale("Take in the epoch before", err, 4)
	f.push(jobs...)
	t := f.order(2)
	t.Epoch = 4
	f.taken("in the epoch Redis holds", t, false, jobs...)
	for _, epoch := range []int64{0, 1} {
		t := f.order(2)
		t.QueueName, t.Epoch = f.name+"-never-opened", epoch
		_, err = f.queue.Take(f.Context(), t)
		f.stale("Take of a queue never opened", err, 0)
	}
}

func takeAnotherLife(f *fixture) {
	f.pushed(1)
	f.replace()
	_, err := f.queue.Take(f.Context(), f.order(1))
	f.stale("Take from another process with the same epoch", err, 1)
}

func takesAgain(f *fixture) {
	jobs := f.pushed(5)
	t := f.order(3)
	f.taken("first", t, true, jobs[:3]...)
	f.taken("again", t, true, jobs[:3]...)
	f.no("Ack", f.leases.Ack(f.Context(), f.name, 1, refs(jobs[1:2])))
	f.taken("after an ack", t, true, jobs[0], jobs[2])
	for _, limit := range []int{1, job.MaxBatch} {
		t.Limit = limit
		f.taken("with another limit", t, true, jobs[0], jobs[2])
	}
	f.no("Release", f.queue.Release(f.Context(), f.name, 1, jobs[2:3]))
	f.taken("after a release", t, true, jobs[0])
	f.callOff(jobs[0].Ref()) // the beat tells, not the take
	f.taken("after it was called off", t, true, jobs[0])
	f.taken("a new token", f.order(5), false, jobs[2:]...)
	f.no("Ack", f.leases.Ack(f.Context(), f.name, 1, refs(jobs)))
	t = f.order(5)
	t.Token = "token-z"
	f.taken("nothing is left", t, false)
}

func takesAgainRenewed(f *fixture) {
	jobs := f.pushed(2)
	t := f.order(2)
	t.Lease = time.Millisecond
	f.taken("first", t, false, jobs...)
	f.lose(refs(jobs)...)
	f.taken("when the leases have ended", t, false)

	more := f.pushed(2)
	t = f.order(2)
	t.Lease = time.Minute
	f.taken("first", t, false, more...)
	t.Lease = time.Millisecond
	f.taken("with a shorter lease", t, false, more...)
	f.lose(refs(more)...) // so the lease was set anew
}

func takesAgainBroken(f *fixture) {
	ref := job.Ref{ID: 1 << 40, DispatchID: 7}
	f.pushBroken(ref)
	t := f.order(3)
	f.same("broken", f.take(t).Broken, []job.Ref{ref})
	f.same("broken, again", f.take(t).Broken, []job.Ref{ref})
	f.no("Ack", f.leases.Ack(f.Context(), f.name, 1, []job.Ref{ref}))
	f.same("broken, after an ack", len(f.take(t).Broken), 0)
}

func takesAgainInNewEpoch(f *fixture) {
	jobs := f.pushed(2)
	t := f.order(2)
	f.taken("first", t, false, jobs...)
	f.open(f.name, 2)
	_, err := f.queue.Take(f.Context(), t)
	f.stale("the token in the epoch before", err, 2)
}

func takesOtherWorkersToken(f *fixture) {
	jobs := f.pushed(2)
	t := f.order(1)
	f.taken("w1", t, true, jobs[0])
	t.WorkerID = "w2"
	f.taken("w2 with the same token", t, false, jobs[1])
	t.WorkerID = "w1"
	f.taken("w1 again", t, false, jobs[0])
}

func takesAfterNothing(f *fixture) {
	t := f.order(2)
	f.taken("nothing there", t, false)
	jobs := f.pushed(2)
	f.taken("the same token", t, false, jobs...)
	f.taken("the same token again", t, false, jobs...)
}

func takesNothingWhenPaused(f *fixture) {
	jobs := f.pushed(3)
	t := f.order(1)
	f.taken("before", t, true, jobs[0])
	f.pause(true)
	f.taken("paused", f.order(3), false)
	f.same("what is leased goes on", f.leased(1, refs(jobs)...), refs(jobs[:1]))
	f.pause(false)
	f.taken("going on", f.order(3), false, jobs[1:]...)
}

// A copy of what is leased, lost or called off is dropped on the way and does not
// count: an epoch throws the window away, not the leases, and jobs are pushed again.
func dropsCopies(f *fixture) {
	jobs := f.pushed(5)
	ended := f.order(1)
	ended.Lease = time.Millisecond
	f.taken("to be lost", ended, true, jobs[0])
	f.lose(jobs[0].Ref())
	f.taken("to stay leased", f.order(1), true, jobs[1])
	f.open(f.name, 2)
	f.push(jobs...)
	f.callOff(jobs[2].Ref())
	t := f.order(1)
	t.Epoch = 2
	f.taken("the copies before it", t, true, jobs[3])
	t = f.order(5)
	t.Epoch = 2
	f.taken("the rest", t, false, jobs[4])
	want := sorted([]job.Ref{jobs[1].Ref(), jobs[3].Ref(), jobs[4].Ref()})
	f.same("leased", f.leased(2, refs(jobs)...), want)
}

func takesBroken(f *fixture) {
	ref := job.Ref{ID: 1 << 40, DispatchID: 7}
	f.pushBroken(ref)
	jobs := f.pushed(2)
	got := f.take(f.order(2))
	f.same("handed over", len(got.Jobs)+len(got.Broken), 2) // it counts
	f.same("more", got.More, true)
	rest := f.take(f.order(2))
	f.same("broken", slices.Concat(got.Broken, rest.Broken), []job.Ref{ref})
	f.same("jobs", refs(slices.Concat(got.Jobs, rest.Jobs)), refs(jobs))
	f.same("leased", f.leased(1, ref), []job.Ref{ref})
}
