package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"

	"github.com/penguinmails/rookery/test/chaos/history"
	"github.com/penguinmails/rookery/test/chaos/stage"
	"github.com/penguinmails/rookery/test/chaos/verify"
)

// refusals are a Redis that lives, keeps what it has, and does not serve. Nothing
// may run again, however long it takes. Both recoveries count from when it serves.
func refusals() []Fault {
	return []Fault{
		refusal("redis-oom", "is full (maxmemory 1 MB, noeviction) for 3 to 8 s", false, 3*time.Second, 8*time.Second, full),
		refusal("redis-oom-long", "is full for 26 to 30 s: pushes were refused for 20 s, and a new epoch frees the window", true, 26*time.Second, 30*time.Second, full),
		refusal("redis-readonly", "is made a replica of a silent address for 2 to 5 s: READONLY", true, 2*time.Second, 5*time.Second, readOnly),
		refusal("redis-readonly-long", "is made a replica of a silent address for 16 to 30 s: leases cannot be renewed, workers hold", false, 16*time.Second, 30*time.Second, readOnly),
		refusal("redis-stall-5", "stands still (SIGSTOP) for 5 s", true, 5*time.Second, 5*time.Second, stall),
		refusal("redis-stall-20", "stands still (SIGSTOP) for 20 s, longer than all leases live (hole 10)", false, 20*time.Second, 20*time.Second, stall),
		refusal("redis-stall-40", "stands still (SIGSTOP) for 40 s: its window is given up, and it comes back with it", true, 40*time.Second, 40*time.Second, stall),
		refusal("redis-stutter", "stands still (SIGSTOP) for 0.1 to 3 s, six times", true, 100*time.Millisecond, 3*time.Second, stutter),
	}
}

func refusal(name, says string, isLong bool, low, high time.Duration, play func(ctx context.Context, s *stage.Stage, r *rand.Rand, d time.Duration) error) Fault {
	return Fault{
		Name: name, Long: isLong, Says: "Redis " + says + ", in the middle of jobs of 15 to 40 s and a backlog. Both count from when it serves",
		Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
			if err := longJobs(ctx, s, r); err != nil {
				return err
			}
			if err := backlog(ctx, s, r, 300); err != nil {
				return err
			}
			lift := s.Fault(history.RedisAway)
			if err := play(ctx, s, r, stage.Between(r, low, high)); err != nil {
				return err
			}
			lift()
			return stage.Sleep(ctx, 3*time.Second)
		},
		Check:   func(f *verify.Facts, found *verify.Report) { flowsMeanwhile(f, found) },
		NewWork: lostFlows, Back: lostBack,
	}
}

func full(ctx context.Context, s *stage.Stage, _ *rand.Rand, d time.Duration) error {
	if err := s.RedisAdmin().ConfigSet(ctx, "maxmemory", "1mb").Err(); err != nil {
		return fmt.Errorf("fill redis: %w", err)
	}
	if err := stage.Sleep(ctx, d); err != nil {
		return err
	}
	return s.RedisAdmin().ConfigSet(ctx, "maxmemory", "0").Err()
}

// readOnly needs an address where nobody is: port 1.
func readOnly(ctx context.Context, s *stage.Stage, _ *rand.Rand, d time.Duration) error {
	if err := s.RedisAdmin().ReplicaOf(ctx, "127.0.0.1", "1").Err(); err != nil {
		return fmt.Errorf("make a replica: %w", err)
	}
	if err := stage.Sleep(ctx, d); err != nil {
		return err
	}
	return s.RedisAdmin().ReplicaOf(ctx, "NO", "ONE").Err()
}

func stall(ctx context.Context, s *stage.Stage, _ *rand.Rand, d time.Duration) error {
	if err := s.RedisServer().Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	slept := stage.Sleep(ctx, d)
	if err := s.RedisServer().Signal(syscall.SIGCONT); err != nil {
		return err
	}
	return slept
}

func stutter(ctx context.Context, s *stage.Stage, r *rand.Rand, d time.Duration) error {
	for range 6 {
		if err := stall(ctx, s, r, d); err != nil {
			return err
		}
		if err := stage.Sleep(ctx, stage.Between(r, 0, 2*time.Second)); err != nil {
			return err
		}
		d = stage.Between(r, 100*time.Millisecond, 3*time.Second)
	}
	return nil
}
