package main

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/penguinmails/rookery/test/chaos/history"
	"github.com/penguinmails/rookery/test/chaos/stage"
)

// pullStores are faults of Postgres and Redis, under the leases of clients: they notice
// none of them, and nothing runs again.
func pullStores() []Fault {
	return []Fault{
		{
			Name: "pull-flushall", Says: "FLUSHALL while clients have leases. Both count from there",
			Options: someBusy,
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				if err := flushAll(ctx, s, r); err != nil {
					return err
				}
				return stage.Sleep(ctx, 3*time.Second)
			},
			Back: lostBack,
		},
		{
			Name: "pull-redis-kill-empty", Long: true, Says: "SIGKILL of a Redis without persistence while clients have leases, back after 0 to 3 s, empty. Both count from its return",
			Options: someBusy,
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				return reborn(ctx, s, stage.Between(r, 0, 3*time.Second), nil)
			},
			Back: lostBack,
		},
		{
			Name: "pull-redis-away", Long: true, Says: "Redis is killed and away for 40 s, in the middle of jobs of 18 to 22 s: servers hold them in Postgres, and hand out jobs from there; acks are taken by all of them",
			Options: long,
			Inject: func(ctx context.Context, s *stage.Stage, _ *rand.Rand) error {
				if err := stage.Sleep(ctx, 8*time.Second); err != nil { // for more of them to run
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
			Name: "pull-postgres-kill", Long: true, Says: "SIGKILL of the postmaster while clients have leases, started again after 0 to 3 s, twice. Back: from its return",
			Options: durableBusy,
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
			Name: "pull-postgres-away", Long: true, Says: "Postgres is killed and away for 20 s, in the middle of jobs of 0.5 to 2 s: acks wait and are sent again, until it has them",
			Options: durableBusy,
			Inject: func(ctx context.Context, s *stage.Stage, _ *rand.Rand) error {
				defer s.Fault(history.PostgresAway)()
				return killPostgres(ctx, s, 20*time.Second)
			},
		},
		{
			Name: "pull-kill-everything", Long: true, Says: "SIGKILL of every client, every server and both stores at once; all started again. Back: from the stores' return",
			Options: func(o *stage.Options, _ *rand.Rand) { o.Durable = true },
			Inject:  killEverything,
			Back:    relayAlone,
		},
	}
}
