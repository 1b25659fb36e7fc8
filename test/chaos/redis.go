package main

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/penguinmails/rookery/test/chaos/history"
	"github.com/penguinmails/rookery/test/chaos/stage"
	"github.com/penguinmails/rookery/test/chaos/verify"
)

// What the issue and D§10 promise of a Redis that is lost, or away.
const (
	lostFlows = 3 * time.Second  // new work, after a FLUSHALL
	lostBack  = 20 * time.Second // what was in Redis: a lease, and the relay's rounds
	awayFlows = 8 * time.Second  // new work, after Redis went away: a beat, and a second's noise
)

// redisFaults are what happens to Redis and to the wires to it. No living worker's
// job may run again in any of them, so hardly one allows a cause.
func redisFaults() []Fault {
	var all []Fault
	for _, group := range []func() []Fault{flushFaults, restoreFaults, refusals, redisLinks, awayFaults, sentinelFaults} {
		all = append(all, group()...)
	}
	for i := range all {
		all[i].Family = "redis"
		all[i].Check = both(apart, all[i].Check)
	}
	return all
}

// both returns a check that makes two.
func both(first, second func(*verify.Facts, *verify.Report)) func(*verify.Facts, *verify.Report) {
	if second == nil {
		return first
	}
	return func(f *verify.Facts, found *verify.Report) {
		first(f, found)
		second(f, found)
	}
}

// apart looks for two calls of one job at the same time: the first one's worker must
// have ended it before anybody else begins. A worker that stood still could not.
func apart(f *verify.Facts, found *verify.Report) {
	type life struct {
		proc string
		pid  int
	}
	running := map[string]history.Act{} // by key: the newest call
	stood := map[life]int64{}           // when it last woke, or froze
	for _, a := range f.Acts {          // in order of time
		at := life{a.Proc, a.PID}
		switch a.Word { //nolint:exhaustive // the others are not about a call
		case history.Frozen, history.Thawed:
			stood[at] = a.Mono
		case history.Killed, history.Ended:
			for key, r := range running {
				if r.Proc == a.Proc && r.PID == a.PID {
					delete(running, key)
				}
			}
		case history.Finished:
			if r := running[a.Key]; r.Proc == a.Proc && r.PID == a.PID && r.Dispatch == a.Dispatch {
				delete(running, a.Key)
			}
		case history.Started:
			if r, runs := running[a.Key]; runs && stood[life{r.Proc, r.PID}] < r.Mono {
				found.Add("beside: job %s (%d) began in %s while it ran in %s, since %.3f s", a.Key, a.ID, a.Proc, r.Proc, float64(a.Mono-r.Mono)/1e9)
			}
			running[a.Key] = a
		}
	}
}

// someBusy has half of the runs play with jobs of 0.5 to 2 s, so that most slots are
// taken, and half with short ones of all kinds.
func someBusy(o *stage.Options, r *rand.Rand) {
	if r.IntN(2) == 0 {
		busy(o, r)
	}
}

// longJobs inserts ten jobs of 15 to 40 s, longer than any lease lives without renewal, and
// waits until workers have begun them.
func longJobs(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
	const n = 10
	jobs := make([]stage.Job, n)
	for i := range jobs {
		jobs[i] = stage.Job{MS: 15_000 + r.IntN(25_000), Priority: 1, Queue: pick(r, s.Options.Queues)}
	}
	if _, err := s.Insert(ctx, jobs...); err != nil {
		return err
	}
	return stage.Until(ctx, 15*time.Second, "the long jobs to run", func(ctx context.Context) (bool, error) {
		var running int
		err := s.Admin().QueryRow(ctx, `SELECT count(*) FROM outbox.jobs WHERE status = 'running' AND priority = 1`).Scan(&running)
		return running == n, err
	})
}

// backlog inserts n jobs of about 50 ms at once, more than there are slots: most of them wait in
// Redis when it returns.
func backlog(ctx context.Context, s *stage.Stage, r *rand.Rand, n int) error {
	jobs := make([]stage.Job, n)
	for i := range jobs {
		jobs[i] = stage.Job{MS: 25 + r.IntN(50), Queue: pick(r, s.Options.Queues)}
	}
	if _, err := s.Insert(ctx, jobs...); err != nil {
		return err
	}
	return stage.Until(ctx, 10*time.Second, "waiting jobs in Redis", func(ctx context.Context) (bool, error) {
		left, err := s.Left(ctx)
		return left["waiting"] >= int64(n/4), err
	})
}
