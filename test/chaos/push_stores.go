package main

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/penguinmails/rookery/test/chaos/history"
	"github.com/penguinmails/rookery/test/chaos/stage"
)

// pushStores are faults of Postgres and Redis under deliveries, callbacks and permits.
func pushStores() []Fault {
	return []Fault{
		{
			Name: "push-flushall", Says: "FLUSHALL in the middle of deliveries, and of attempts that wait for callbacks: leases and permits are there again, and nothing comes twice. Both count from there",
			Options: atReceivers,
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				if err := flushAll(ctx, s, r); err != nil {
					return err
				}
				return stage.Sleep(ctx, 8*time.Second) // limits are exact again for some of it
			},
			Back: pushBack,
		},
		{
			Name: "push-permits-lost", Long: true, Says: "the permits and the list of push workers of every queue are deleted, three times in 18 s: the limits hold again within 5 s",
			Options: crowded,
			Inject:  losePermits,
		},
		{
			Name: "push-redis-kill-empty", Long: true, Says: "SIGKILL of a Redis without persistence, back after 0 to 3 s, empty. Both count from its return",
			Options: atReceivers,
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				return reborn(ctx, s, stage.Between(r, 0, 3*time.Second), nil)
			},
			Back: pushBack,
		},
		{
			Name: "push-redis-away", Long: true, Says: "Redis is killed and away for 40 s: attempts are held in Postgres under another fence, tokens go on, and each push worker keeps to its share of the limits",
			Options: crowded,
			Inject: func(ctx context.Context, s *stage.Stage, _ *rand.Rand) error {
				if err := stage.Sleep(ctx, 6*time.Second); err != nil { // each has heard of the other
					return err
				}
				defer s.Fault(history.RedisAway)()
				if err := killRedis(ctx, s); err != nil {
					return err
				}
				if err := stage.Sleep(ctx, 40*time.Second); err != nil {
					return err
				}
				return s.RedisServer().Restart(ctx)
			},
			Rest: 2 * time.Minute,
		},
		{
			Name: "push-cut-redis", Long: true, Says: "one of two push workers does not reach Redis for 30 s: it holds its attempts in Postgres, and keeps to its share of the limits",
			Options: crowded,
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				if err := stage.Sleep(ctx, 6*time.Second); err != nil { // each has heard of the other
					return err
				}
				l := pick(r, s.Processes(stage.Push)).Link(stage.Redis)
				l.Cut()
				if err := stage.Sleep(ctx, 30*time.Second); err != nil {
					return err
				}
				return l.Mend()
			},
			Rest: 2 * time.Minute,
		},
		{
			Name: "push-postgres-kill", Long: true, Says: "SIGKILL of the postmaster, started again after 0 to 3 s, twice: callbacks wait for it, and answers",
			Options: durablyPushed,
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				for range 2 {
					lift := s.Fault(history.PostgresAway)
					err := killPostgres(ctx, s, stage.Between(r, 0, 3*time.Second))
					lift()
					if err != nil {
						return err
					}
					if err := stage.Sleep(ctx, stage.Between(r, 0, 3*time.Second)); err != nil {
						return err
					}
				}
				return nil
			},
		},
		{
			Name: "push-postgres-away", Long: true, Says: "Postgres is killed and away for 20 s: outcomes wait for it; what was not called back about by its deadline has failed",
			Options: durablyPushed,
			Inject: func(ctx context.Context, s *stage.Stage, _ *rand.Rand) error {
				defer s.Fault(history.PostgresAway)()
				return killPostgres(ctx, s, 20*time.Second)
			},
		},
		{
			Name: "push-kill-everything", Long: true, Says: "SIGKILL of every process, receivers included, and both stores at once; all started again. Back: from the stores' return",
			Options: func(o *stage.Options, _ *rand.Rand) { o.Durable = true },
			Inject:  killEverything,
			Back:    pushBack + 15*time.Second,
		},
	}
}

// crowded has more jobs for the receivers than their limits let through.
func crowded(o *stage.Options, r *rand.Rand) {
	atReceivers(o, r)
	o.InFlight = 3
}

func durablyPushed(o *stage.Options, r *rand.Rand) {
	atReceivers(o, r)
	o.Durable = true
}

// losePermits deletes what Redis knows of who is at the receivers.
func losePermits(ctx context.Context, s *stage.Stage, _ *rand.Rand) error {
	for range 3 {
		lift := s.Fault(history.RedisLost)
		for _, queue := range s.Options.Queues {
			if err := s.RedisAdmin().Del(ctx, "queue:{"+queue+"}:permits", "queue:{"+queue+"}:pushers").Err(); err != nil {
				return err
			}
		}
		lift()
		if err := stage.Sleep(ctx, 6*time.Second); err != nil {
			return err
		}
	}
	return nil
}
