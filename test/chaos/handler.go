package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/penguinmails/rookery/test/chaos/history"
	"github.com/penguinmails/rookery/test/chaos/stage"
	"github.com/penguinmails/rookery/test/chaos/verify"
)

// handlerFaults are what handlers do to the workers that run them.
func handlerFaults() []Fault {
	return []Fault{
		{
			Name: "handler-panics", Family: "worker",
			Says: "200 jobs whose handlers panic once or twice: failed attempts like others, no neighbour notices",
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				jobs := make([]stage.Job, 200)
				for i := range jobs {
					jobs[i] = stage.Job{Do: "panic", MS: r.IntN(20), Fails: 1 + r.IntN(2)}
				}
				_, err := s.Insert(ctx, jobs...)
				return err
			},
		},
		{
			Name: "handler-deaf", Family: "worker", Long: true,
			Says: "10 handlers that ignore their context for 40 s, with a timeout of 2 s: after 30 s of grace each is a failed attempt, and what it returns later is ignored",
			Options: func(o *stage.Options, _ *rand.Rand) {
				o.WorkerEnv = append(o.WorkerEnv, "CHAOS_TIMEOUT=2s")
			},
			Inject: func(ctx context.Context, s *stage.Stage, _ *rand.Rand) error {
				_, err := s.Insert(ctx, slices.Repeat([]stage.Job{{Do: "deaf", MS: 40_000, Fails: 1, MaxAttempts: 1, Want: "dead"}}, 10)...)
				return err
			},
		},
		poison("poison", "kills its worker with SIGKILL", "poison", nil, ""),
		poison("handler-eats-memory", "allocates until its worker dies of it (RLIMIT_AS 3 GiB, Go's fatal error)", "hog", []string{"CHAOS_MEMORY=3221225472"}, "out of memory"),
		{
			Name: "leases-10000", Family: "worker", Long: true, Heavy: true,
			Says: "one worker with 10,000 slots and as many running jobs is killed; another takes them all over. Back: from the kill",
			Options: func(o *stage.Options, _ *rand.Rand) {
				o.Relays, o.Workers, o.Producers, o.Slots, o.Queues = 1, 1, 0, 10_000, []string{"email:processing"}
				o.Window = 10_000
			},
			Inject: killAmongTenThousand,
			Rest:   3 * time.Minute,
			Back:   workerBack,
		},
	}
}

func killAmongTenThousand(ctx context.Context, s *stage.Stage, _ *rand.Rand) error {
	const n = 10_000
	if _, err := s.Insert(ctx, slices.Repeat([]stage.Job{{MS: 40_000}}, n)...); err != nil {
		return err
	}
	if err := stage.Until(ctx, 35*time.Second, "10,000 running jobs", func(ctx context.Context) (bool, error) {
		leases, err := s.RedisAdmin().ZCard(ctx, "queue:{email:processing}:leases").Result()
		return leases == n, err
	}); err != nil {
		return err
	}
	s.Processes(stage.Worker)[0].Kill()
	if _, err := s.Start(stage.Worker, "worker-heir"); err != nil {
		return err
	}
	return stage.Sleep(ctx, 60*time.Second)
}

// poison is a job that takes its worker with it each time: it must be dead after
// the fourth, and the fourth time it must have been alone.
func poison(name, says, do string, env []string, tolerates string) Fault {
	return Fault{
		Name: name, Family: "worker", Long: true, Tolerates: tolerates,
		Says: "a job " + says + ": dead after four times, alone the fourth; innocents run again and complete (lease 6 s; workers restarted after 0.3 s)",
		Options: func(o *stage.Options, _ *rand.Rand) {
			o.Lease, o.WorkerEnv = 6*time.Second, env
		},
		Inject: func(ctx context.Context, s *stage.Stage, _ *rand.Rand) error {
			defer s.Supervise(ctx, stage.Worker, 300*time.Millisecond)()
			keys, err := s.Insert(ctx, stage.Job{Do: do, Want: "dead"})
			if err != nil {
				return err
			}
			return stage.Until(ctx, 3*time.Minute, "the job's death", func(ctx context.Context) (dead bool, err error) {
				err = s.Admin().QueryRow(ctx, `SELECT status = 'dead' FROM outbox.jobs WHERE payload ->> 'key' = $1`, keys[0]).Scan(&dead)
				return dead, err
			})
		},
		Check: func(f *verify.Facts, found *verify.Report) { checkPoison(f, found, "stage.1") },
		Rest:  3 * time.Minute,
	}
}

// checkPoison wants four runs, the last of them with nothing beside it.
func checkPoison(f *verify.Facts, found *verify.Report, key string) {
	var starts []history.Act
	for _, a := range f.Acts {
		if a.Word == history.Started && a.Key == key {
			starts = append(starts, a)
		}
	}
	if len(starts) != 4 {
		found.Add("poison: it ran %d times, want 4", len(starts))
		return
	}
	last := starts[3]
	beside := map[string]bool{}
	for _, a := range f.Acts { // in order of time
		if a.Mono > last.Mono || a.Proc != last.Proc || a.PID != last.PID {
			continue
		}
		run := fmt.Sprintf("%s under dispatch %d", a.Key, a.Dispatch)
		switch a.Word { //nolint:exhaustive // the others are not about a run
		case history.Started:
			beside[run] = a.Key != key
		case history.Finished:
			delete(beside, run)
		}
	}
	for run, other := range beside {
		if other {
			found.Add("poison: the fourth time it was not alone: %s ran beside it", run)
		}
	}
}
