package main

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/penguinmails/rookery/test/chaos/history"
	"github.com/penguinmails/rookery/test/chaos/stage"
)

// restoreFaults are a Redis that dies and comes back as another life: with nothing,
// with less than it had, with what it had long ago. Both recoveries count from the
// moment it answers again.
func restoreFaults() []Fault {
	return []Fault{
		{
			Name: "redis-kill-empty", Says: "SIGKILL of a Redis without persistence, back after 0 to 3 s, empty. Both count from its return",
			Options: someBusy,
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				if err := backlog(ctx, s, r, 600); err != nil {
					return err
				}
				return reborn(ctx, s, stage.Between(r, 0, 3*time.Second), nil)
			},
			NewWork: lostFlows, Back: lostBack,
		},
		{
			Name: "redis-aof", Long: true, Says: "SIGKILL of a Redis with an AOF (flushed each second), back after 0 to 3 s with all but the end. Both count from its return",
			Options: withAOF,
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				if err := backlog(ctx, s, r, 600); err != nil {
					return err
				}
				return reborn(ctx, s, stage.Between(r, 0, 3*time.Second), nil)
			},
			NewWork: lostFlows, Back: lostBack,
		},
		{
			Name: "redis-aof-truncated", Says: "the same, and 1 byte to half of the AOF's end is cut off (aof-load-truncated). Both count from its return",
			Options: withAOF,
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				if err := backlog(ctx, s, r, 600); err != nil {
					return err
				}
				return reborn(ctx, s, stage.Between(r, 0, time.Second), func(data string) error { return truncate(data, r) })
			},
			NewWork: lostFlows, Back: lostBack,
		},
		{
			Name: "redis-rdb-old", Says: "SAVE, 2 to 8 s more of load, SIGKILL, and back with the old RDB: finished jobs wait again, leases of long ago. Both count from its return",
			Options: someBusy,
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				if err := longJobs(ctx, s, r); err != nil {
					return err
				}
				if err := backlog(ctx, s, r, 600); err != nil {
					return err
				}
				if err := s.RedisAdmin().Save(ctx).Err(); err != nil {
					return fmt.Errorf("save: %w", err)
				}
				if err := stage.Sleep(ctx, stage.Between(r, 2*time.Second, 8*time.Second)); err != nil {
					return err
				}
				return reborn(ctx, s, 0, nil) // it loads dump.rdb, and saves none itself
			},
			NewWork: lostFlows, Back: lostBack,
		},
		{
			Name: "redis-loading", Long: true, Says: "the same with 4,000 strange keys and key-load-delay 3 ms: Redis answers LOADING for 12 s. Both count from when it serves",
			Options: func(o *stage.Options, _ *rand.Rand) {
				o.Redis = append(o.Redis, "--key-load-delay", "3000", "--loading-process-events-interval-bytes", "1024")
			},
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				pipe := s.RedisAdmin().Pipeline()
				for i := range 4000 {
					pipe.Set(ctx, fmt.Sprint("strange:", i), strings.Repeat("x", 1000), 0)
				}
				if _, err := pipe.Exec(ctx); err != nil {
					return fmt.Errorf("fill redis: %w", err)
				}
				if err := longJobs(ctx, s, r); err != nil {
					return err
				}
				if err := s.RedisAdmin().Save(ctx).Err(); err != nil {
					return fmt.Errorf("save: %w", err)
				}
				return reborn(ctx, s, 0, nil)
			},
			NewWork: lostFlows, Back: lostBack,
		},
	}
}

func withAOF(o *stage.Options, r *rand.Rand) {
	someBusy(o, r)
	o.AOF = true
}

// reborn kills Redis, changes its data when there is something to change, and has it
// back after pause. It is lost from the kill until it serves.
func reborn(ctx context.Context, s *stage.Stage, pause time.Duration, change func(data string) error) error {
	lift := redisLost(s)
	if err := killRedis(ctx, s); err != nil {
		return err
	}
	if change != nil {
		if err := change(filepath.Join(s.Options.Dir, "redis", "data")); err != nil {
			return err
		}
	}
	if err := stage.Sleep(ctx, pause); err != nil {
		return err
	}
	if err := s.RedisServer().Restart(ctx); err != nil {
		return err
	}
	lift()
	return stage.Sleep(ctx, 3*time.Second)
}

// truncate cuts a random piece off the end of the AOF that is being written.
func truncate(data string, r *rand.Rand) error {
	cut := false
	err := filepath.WalkDir(data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".incr.aof") {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if half := info.Size() / 2; half > 0 {
			cut = true
			return os.Truncate(path, info.Size()-1-r.Int64N(half))
		}
		return nil
	})
	if err == nil && !cut {
		return fmt.Errorf("truncate: no AOF with anything in it under %s", data)
	}
	return err
}

// redisLost notes that Redis loses what it has, until lift.
func redisLost(s *stage.Stage) (lift func()) { return s.Fault(history.RedisLost) }

// killRedis sends SIGKILL and waits until nobody answers.
func killRedis(ctx context.Context, s *stage.Stage) error {
	if err := s.RedisServer().Signal(kill); err != nil {
		return fmt.Errorf("kill redis: %w", err)
	}
	return stage.Until(ctx, 10*time.Second, "redis gone", func(ctx context.Context) (bool, error) {
		return s.RedisAdmin().Ping(ctx).Err() != nil, nil
	})
}
