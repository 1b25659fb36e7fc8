package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/penguinmails/rookery/test/chaos/history"
	"github.com/penguinmails/rookery/test/chaos/stage"
	"github.com/penguinmails/rookery/test/chaos/verify"
)

// absence is a Redis that is away: what else happens meanwhile, and how it returns.
type absence struct {
	d         time.Duration
	meanwhile func(ctx context.Context, s *stage.Stage, r *rand.Rand) error // nil: nothing
	cut       bool                                                          // the wires are cut, Redis lives on
	forGood   bool                                                          // it never comes back
}

func awayFaults() []Fault {
	const says = ", in the middle of jobs of 15 to 40 s and a backlog; they run on, jobs are taken from Postgres"
	fault := func(name, what string, a absence) Fault {
		return Fault{
			Name: name, Long: true, Says: what + says + ". New work: from the beginning of the absence. Back: from its end",
			Inject: a.inject, Check: flowsAway, NewWork: awayFlows, Back: lostBack, Rest: 2 * time.Minute,
		}
	}
	all := []Fault{
		fault("redis-away-60", "Redis is killed and away for 60 s; an empty one comes back", absence{d: 60 * time.Second}),
		fault("redis-away-10", "Redis is killed and away for 10 s, too short for its window to be given up", absence{d: 10 * time.Second}),
		fault("redis-away-old-life", "Redis with an AOF is killed and away for 45 s; it comes back with all it had", absence{d: 45 * time.Second}),
		fault("redis-away-same-life", "nobody reaches Redis for 45 s; it comes back as it was", absence{d: 45 * time.Second, cut: true}),
		fault("redis-away-for-good", "Redis is killed and never comes back", absence{d: 40 * time.Second, forGood: true}),
		fault("redis-away-restarts", "Redis is away for 50 s, and every relay and worker is killed in that time and started again", absence{d: 50 * time.Second, meanwhile: restartAll}),
		fault("redis-away-worker-killed", "Redis is away for 50 s, and a worker that runs jobs from Postgres is killed", absence{d: 50 * time.Second, meanwhile: killOneAway}),
		fault("redis-away-pause", "Redis is away for 40 s, and a queue is paused for 5 of them", absence{d: 40 * time.Second, meanwhile: pauseAway}),
		{
			Name: "redis-away-flap", Long: true, Says: "Redis is killed and comes back empty six times, away for 3 to 12 s, there for 0 to 6 s, in the middle of jobs of 15 to 40 s. Both count from the last return",
			Inject: flap, Rest: 2 * time.Minute,
		},
	}
	all[2].Options = withAOF
	// What waits in Redis waits longer than what a killed worker held in Postgres, which
	// is what these are about. A relay that takes that back must have seen a steady
	// Postgres for a lease, and after restarts all relays are young.
	all[5].Back, all[5].Check = 0, both(flowsAway, heirs(relayAlone))
	all[6].Back, all[6].Check = 0, both(flowsAway, heirs(workerBack))
	return all
}

func (a absence) inject(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
	if err := longJobs(ctx, s, r); err != nil {
		return err
	}
	if err := backlog(ctx, s, r, 300); err != nil {
		return err
	}
	lift := s.Fault(history.RedisAway)
	if err := a.begin(ctx, s); err != nil {
		return err
	}
	end := time.Now().Add(a.d)
	if a.meanwhile != nil {
		if err := stage.Sleep(ctx, stage.Between(r, 10*time.Second, a.d/2)); err != nil {
			return err
		}
		if err := a.meanwhile(ctx, s, r); err != nil {
			return err
		}
	}
	if err := stage.Sleep(ctx, time.Until(end)); err != nil {
		return err
	}
	if a.forGood {
		// At rest there is nothing to read in Redis.
		s.LookRedis(func(context.Context) (redis.UniversalClient, error) { return nil, nil })
		return nil
	}
	if a.cut {
		if err := s.Heal(); err != nil {
			return err
		}
	} else if err := s.RedisServer().Restart(ctx); err != nil {
		return err
	}
	lift()
	return backInUse(ctx, s)
}

func (a absence) begin(ctx context.Context, s *stage.Stage) error {
	if !a.cut {
		return killRedis(ctx, s)
	}
	for _, p := range everybody.of(s, nil) {
		p.Link(stage.Redis).Cut()
	}
	return nil
}

// backInUse waits until relays push to Redis and workers take from it, in the present
// epoch: nobody has to tell them.
func backInUse(ctx context.Context, s *stage.Stage) error {
	taken := map[string]bool{}
	return stage.Until(ctx, 30*time.Second, "jobs to go by Redis again", func(ctx context.Context) (bool, error) {
		for _, name := range s.Options.Queues {
			key := "queue:{" + name + "}"
			var epoch string
			if err := s.Admin().QueryRow(ctx, `SELECT epoch::text FROM outbox.queues WHERE name = $1`, name).Scan(&epoch); err != nil {
				return false, err
			}
			opened, err := s.RedisAdmin().HGet(ctx, key+":meta", "epoch").Result()
			if err != nil {
				return false, err
			}
			leases, err := s.RedisAdmin().ZCard(ctx, key+":leases").Result()
			if err != nil {
				return false, err
			}
			taken[name] = taken[name] || opened == epoch && leases > 0
		}
		return len(taken) == len(s.Options.Queues) && !has(taken, false), nil
	})
}

func has[K comparable](m map[K]bool, value bool) bool {
	for _, v := range m {
		if v == value {
			return true
		}
	}
	return false
}

// awaySettled is when, at the latest, what waited in a Redis that is away runs: 20 s
// of silence, which the processes report up to two beats late, a lease, and the
// relay's rounds.
const awaySettled = 50 * time.Second

// absent returns the first and last moment of a Redis that was away, and whether it
// has come back.
func absent(f *verify.Facts) (from, to int64, back bool) {
	for _, a := range f.Acts { // in order of time
		switch {
		case a.Cause == history.RedisAway && a.Word == history.Fault && from == 0:
			from = a.Mono
		case a.Cause == history.RedisAway && a.Word == history.Lifted:
			to, back = a.Mono, true
		case a.Word == history.Stopped && to == 0:
			to = a.Mono
		}
	}
	return from, to, back
}

// flowsAway measures the absence itself: how soon new work flowed in it, how fast, and
// when what had waited in Redis ran.
func flowsAway(f *verify.Facts, found *verify.Report) {
	from, to, back := absent(f)
	committed, fresh := map[string]int64{}, 0
	found.Recovery.NewWork = time.Duration(to - from)      // when there was none
	stranded, first := map[int64]bool{}, map[string]bool{} // ids; keys
	for _, a := range f.Acts {
		switch a.Word { //nolint:exhaustive // only these matter
		case history.Committed:
			committed[a.Key] = a.Mono
		case history.Started:
			at, known := committed[a.Key]
			switch {
			case a.Mono < from || !known || first[a.Key]:
			case at < from:
				stranded[a.ID] = true
			default:
				if fresh++; fresh == 10 {
					found.Recovery.NewWork = time.Duration(a.Mono - from)
				}
			}
			first[a.Key] = true
		}
	}
	ready := requeued(f, stranded)
	found.Note("what waited in Redis was ready again after %.1f s", ready.Seconds())
	young := slices.ContainsFunc(f.Acts, func(a history.Act) bool { // of its own 20 s a relay that was restarted gives Redis all
		return a.Word == history.Killed && strings.HasPrefix(a.Proc, string(stage.Relay))
	})
	if ready > awaySettled && !young && (!back || time.Duration(to-from) > awaySettled) {
		found.Add("away: what waited in Redis was ready again after %s, at most %s is promised", ready, awaySettled)
	}
	if calls := flowsMeanwhile(f, found); calls == 0 {
		found.Add("away: no job ran without Redis")
	}
}

// requeued returns how long after the beginning of the absence the last of these jobs
// was queued again for the first time, by the clocks of this machine and Postgres.
func requeued(f *verify.Facts, ids map[int64]bool) (slowest time.Duration) {
	var from int64
	for _, a := range f.Acts {
		if a.Cause == history.RedisAway && a.Word == history.Fault {
			from = a.Wall
			break
		}
	}
	again := map[int64]int64{}
	for _, c := range f.Changes {
		if ids[c.ID] && c.Becomes == "queued" && c.At > from && (again[c.ID] == 0 || c.At < again[c.ID]) {
			again[c.ID] = c.At
		}
	}
	for _, at := range again {
		slowest = max(slowest, time.Duration(at-from)*time.Microsecond)
	}
	return slowest
}

// flowsMeanwhile notes how many handlers were called while Redis was away, from the
// moment when workers should take from Postgres. It returns -1 when that was never.
func flowsMeanwhile(f *verify.Facts, found *verify.Report) (calls int) {
	from, to, _ := absent(f)
	from += int64(awayFlows)
	if to <= from {
		return -1
	}
	for _, a := range f.Acts {
		if a.Word == history.Started && a.Mono > from && a.Mono < to {
			calls++
		}
	}
	found.Note("%.0f calls a second without Redis", float64(calls)/time.Duration(to-from).Seconds())
	return calls
}

// heirs wants what killed workers ran to run elsewhere within limit.
func heirs(limit time.Duration) func(f *verify.Facts, found *verify.Report) {
	return func(f *verify.Facts, found *verify.Report) {
		type life struct {
			proc string
			pid  int
		}
		running, orphans := map[string]life{}, map[string]int64{}
		var slowest time.Duration
		for _, a := range f.Acts { // in order of time
			at := life{a.Proc, a.PID}
			switch a.Word { //nolint:exhaustive // only these matter
			case history.Finished:
				delete(running, a.Key)
			case history.Started:
				if since, orphan := orphans[a.Key]; orphan {
					slowest = max(slowest, time.Duration(a.Mono-since))
					delete(orphans, a.Key)
				}
				running[a.Key] = at
			case history.Killed:
				for key, r := range running {
					if r == at {
						orphans[key] = a.Mono
						delete(running, key)
					}
				}
			}
		}
		found.Note("what killed workers ran, ran again after %.1f s", slowest.Seconds())
		if slowest > limit {
			found.Add("slow: what a killed worker ran, ran again after %s, at most %s is promised", slowest, limit)
		}
	}
}

func restartAll(ctx context.Context, s *stage.Stage, _ *rand.Rand) error {
	for _, p := range everybody.of(s, nil) {
		p.Kill()
	}
	for _, p := range everybody.of(s, nil) {
		if err := p.Start(); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func killOneAway(_ context.Context, s *stage.Stage, r *rand.Rand) error {
	pick(r, s.Processes(stage.Worker)).Kill()
	return nil
}

// pauseAway pauses a queue and wants nobody to take from it in direct mode.
func pauseAway(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
	name := pick(r, s.Options.Queues)
	set := func(paused bool) error {
		_, err := s.Admin().Exec(ctx, `UPDATE outbox.queues SET paused = $2 WHERE name = $1`, name, paused)
		return err
	}
	if err := set(true); err != nil {
		return fmt.Errorf("pause: %w", err)
	}
	if err := stage.Sleep(ctx, time.Second); err != nil {
		return err
	}
	var before, after int64
	const attempts = `SELECT coalesce(sum(attempt_count), 0) FROM outbox.jobs WHERE queue_name = $1`
	if err := s.Admin().QueryRow(ctx, attempts, name).Scan(&before); err != nil {
		return err
	}
	if err := stage.Sleep(ctx, 5*time.Second); err != nil {
		return err
	}
	if err := s.Admin().QueryRow(ctx, attempts, name).Scan(&after); err != nil {
		return err
	}
	if after != before {
		return fmt.Errorf("queue %s was paused, and %d attempts of its jobs began", name, after-before)
	}
	return set(false)
}

func flap(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
	if err := longJobs(ctx, s, r); err != nil {
		return err
	}
	for range 6 {
		lift := redisLost(s)
		if err := killRedis(ctx, s); err != nil {
			return err
		}
		if err := stage.Sleep(ctx, stage.Between(r, 3*time.Second, 12*time.Second)); err != nil {
			return err
		}
		if err := s.RedisServer().Restart(ctx); err != nil {
			return err
		}
		lift()
		if err := stage.Sleep(ctx, stage.Between(r, 0, 6*time.Second)); err != nil {
			return err
		}
	}
	return backInUse(ctx, s)
}
