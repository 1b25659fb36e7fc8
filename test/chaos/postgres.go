package main

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/penguinmails/rookery/test/chaos/history"
	"github.com/penguinmails/rookery/test/chaos/stage"
)

// postgresFaults are what Postgres does, and what is done to it. Nothing of a job is
// lost by any of them, and nothing runs again, but where both leases are out of reach
// or where Postgres itself has lost what it had acknowledged.
func postgresFaults() []Fault {
	var all []Fault
	for _, part := range []func() []Fault{postgresEnds, postgresStalls, postgresHeld, postgresLinks, postgresDisk, poolerFaults, standbyFaults} {
		all = append(all, part()...)
	}
	return all
}

// durable is a Postgres that flushes: what it has acknowledged, it keeps.
func durable(o *stage.Options, _ *rand.Rand) { o.Durable = true }

// durableBusy is that with most slots taken by jobs of half a second to two.
func durableBusy(o *stage.Options, r *rand.Rand) {
	durable(o, r)
	busy(o, r)
}

// long gives every worker jobs that take longer than a lease.
func long(o *stage.Options, _ *rand.Rand) { o.Mix, o.Rate = "long", 1.5 }

func postgresEnds() []Fault {
	return []Fault{
		{
			Name: "postgres-terminate", Family: "postgres",
			Says:    "pg_terminate_backend of one to five backends, whosever they are (relays, workers, producers, listeners, API), every 0 to 200 ms for 10 s: nothing runs again. Back: from the last",
			Options: func(o *stage.Options, _ *rand.Rand) { o.API = true },
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				return terminate(ctx, s, r, 10*time.Second)
			},
		},
		postgresRestart("postgres-restart-fast", "a fast restart of Postgres", func(ctx context.Context, s *stage.Stage, _ *rand.Rand) error {
			return s.PostgresServer().Restart(ctx, "fast")
		}),
		postgresRestart("postgres-restart-immediate", "an immediate restart of Postgres, which recovers from its WAL", func(ctx context.Context, s *stage.Stage, _ *rand.Rand) error {
			return s.PostgresServer().Restart(ctx, "immediate")
		}),
		postgresRestart("postgres-kill", "SIGKILL of the postmaster, started again after 0 to 3 s", func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
			return killPostgres(ctx, s, stage.Between(r, 0, 3*time.Second))
		}),
		{
			Name: "postgres-away", Family: "postgres",
			Says:    "Postgres is killed and away for 30 s: workers keep leases and outcomes, nothing runs again. Back: from its return",
			Options: durableBusy,
			Inject: func(ctx context.Context, s *stage.Stage, _ *rand.Rand) error {
				defer s.Fault(history.PostgresAway)()
				return killPostgres(ctx, s, 30*time.Second)
			},
		},
		{
			Name: "postgres-away-long-jobs", Family: "postgres", Long: true,
			Says: "the same in the middle of jobs of 18 to 22 s. Back: from its return",
			Options: func(o *stage.Options, r *rand.Rand) {
				durable(o, r)
				long(o, r)
			},
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				if err := stage.Sleep(ctx, stage.Between(r, 2*time.Second, 15*time.Second)); err != nil {
					return err
				}
				defer s.Fault(history.PostgresAway)()
				return killPostgres(ctx, s, 30*time.Second)
			},
		},
		{
			Name: "both-away", Family: "postgres", Long: true,
			Says: "Postgres and Redis are killed and away for 30 s, both, in the middle of jobs of 18 to 22 s. What runs ends after 13 s without a lease in either, and runs again. Back: from their return",
			Options: func(o *stage.Options, r *rand.Rand) {
				durable(o, r)
				long(o, r)
			},
			Inject: bothAway,
			Rest:   2 * time.Minute,
			Allow:  []history.Cause{history.PostgresAway, history.RedisAway},
		},
	}
}

func postgresRestart(name, says string, restart func(context.Context, *stage.Stage, *rand.Rand) error) Fault {
	return Fault{
		Name: name, Family: "postgres", Says: says + ", twice: nothing runs again. Back: from its return",
		Options: durableBusy,
		Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
			for range 2 {
				lift := s.Fault(history.PostgresAway)
				err := restart(ctx, s, r)
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
	}
}

// terminate ends backends of anybody for d.
func terminate(ctx context.Context, s *stage.Stage, r *rand.Rand, d time.Duration) error {
	defer s.Fault(history.Other)()
	for end := time.Now().Add(d); time.Now().Before(end); {
		// Our own other connections are among them, so an error is nothing to stop for.
		_, err := s.Admin().Exec(ctx, `SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity
			WHERE datname = 'rookery' AND backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY random() LIMIT $1) AS some`, 1+r.IntN(5))
		if ctx.Err() != nil {
			return err
		}
		if err := stage.Sleep(ctx, stage.Between(r, 0, 200*time.Millisecond)); err != nil {
			return err
		}
	}
	return nil
}

// killPostgres sends SIGKILL to the postmaster, whose children then end by themselves,
// and starts it again after d.
func killPostgres(ctx context.Context, s *stage.Stage, d time.Duration) error {
	if err := s.PostgresServer().Signal(kill); err != nil {
		return err
	}
	if err := stage.Sleep(ctx, d); err != nil {
		return err
	}
	return s.PostgresServer().Restart(ctx, "fast")
}

func bothAway(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
	if err := stage.Sleep(ctx, stage.Between(r, 3*time.Second, 8*time.Second)); err != nil { // for more of them to run
		return err
	}
	lifts := []func(){s.Fault(history.PostgresAway), s.Fault(history.RedisAway), s.Fault(history.RedisLost)}
	if err := s.RedisServer().Signal(kill); err != nil {
		return err
	}
	if err := s.PostgresServer().Signal(kill); err != nil {
		return err
	}
	if err := stage.Sleep(ctx, 30*time.Second); err != nil {
		return err
	}
	errs := make([]error, 2)
	var both sync.WaitGroup
	both.Go(func() { errs[0] = s.RedisServer().Restart(ctx) })
	both.Go(func() { errs[1] = s.PostgresServer().Restart(ctx, "fast") })
	both.Wait()
	for _, f := range lifts {
		f()
	}
	if errs[0] != nil {
		return errs[0]
	}
	return errs[1]
}
