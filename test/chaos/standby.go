package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"syscall"
	"time"

	"github.com/penguinmails/rookery/internal/devstack"
	"github.com/penguinmails/rookery/test/chaos/history"
	"github.com/penguinmails/rookery/test/chaos/stage"
	"github.com/penguinmails/rookery/test/chaos/verify"
)

// tailIDs is how many ids a lost tail issued at least. A sequence is logged 32 values
// ahead, so the next primary issues what lies beyond those again.
const tailIDs = 100

func standbyFaults() []Fault {
	return []Fault{
		{
			Name: "failover-synchronous", Family: "postgres", Long: true,
			Says:    "the machine of Postgres dies and its synchronous standby is promoted: nothing is lost, nothing runs again. Back: from the promotion",
			Options: durable,
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				standby, err := streaming(ctx, s)
				if err != nil {
					return err
				}
				if err := synchronous(ctx, s); err != nil {
					return err
				}
				if err := stage.Sleep(ctx, stage.Between(r, time.Second, 3*time.Second)); err != nil {
					return err
				}
				return promote(ctx, s, standby, func(addr string) error {
					s.SetPostgres(addr, nil)
					return nil
				})
			},
		},
		{
			Name: "failover-lost-tail", Family: "postgres", Long: true,
			Says:    "the same with an asynchronous standby that stopped hearing of commits 100 jobs and up to 3 s before: what it lost is counted, its ids are issued again to other jobs, no other job is lost. Back: from the promotion",
			Options: durable,
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				return loseTail(ctx, s, r, func(addr string) error {
					s.SetPostgres(addr, nil)
					return nil
				})
			},
			Allow: []history.Cause{history.TailLost},
			Check: idsIssuedAgain,
		},
	}
}

// streaming starts a standby of the stage's Postgres, under load.
func streaming(ctx context.Context, s *stage.Stage) (*devstack.Postgres, error) {
	standby, err := devstack.StartStandby(ctx, s.PostgresServer(), devstack.PostgresOptions{
		Dir: filepath.Join(s.Options.Dir, "standby"), Durable: s.Options.Durable, Settings: s.Options.Postgres,
	})
	if err != nil {
		return nil, err
	}
	s.Own(standby.Stop)
	return standby, asked(ctx, s, "a streaming standby", `SELECT EXISTS (SELECT FROM pg_stat_replication WHERE state = 'streaming' AND application_name = 'walreceiver')`)
}

// asked waits until a question to the present primary is answered with true.
func asked(ctx context.Context, s *stage.Stage, what, question string, args ...any) error {
	return stage.Until(ctx, 30*time.Second, what, func(ctx context.Context) (yes bool, err error) {
		err = s.Admin().QueryRow(ctx, question, args...).Scan(&yes)
		return yes, err
	})
}

// synchronous has every commit from now on wait for the standby.
func synchronous(ctx context.Context, s *stage.Stage) error {
	for _, order := range []string{`ALTER SYSTEM SET synchronous_standby_names = '*'`, `SELECT pg_reload_conf()`} {
		if _, err := s.Admin().Exec(ctx, order); err != nil {
			return err
		}
	}
	return asked(ctx, s, "a synchronous standby", `SELECT EXISTS (SELECT FROM pg_stat_replication WHERE sync_state = 'sync')`)
}

// promote kills the primary's machine and makes standby the primary. lead has everybody
// find it.
func promote(ctx context.Context, s *stage.Stage, standby *devstack.Postgres, lead func(addr string) error) error {
	defer s.Fault(history.PostgresAway)()
	if err := s.PostgresServer().Kill(); err != nil {
		return err
	}
	if err := standby.Promote(ctx); err != nil {
		return err
	}
	addr := fmt.Sprintf("127.0.0.1:%d", standby.Port())
	if err := s.MoveAdmin(ctx, addr); err != nil {
		return err
	}
	return lead(addr)
}

// loseTail promotes a standby that has not got the newest commits: the walsender stands
// still from the moment when everything before it had arrived.
func loseTail(ctx context.Context, s *stage.Stage, r *rand.Rand, lead func(addr string) error) error {
	standby, err := streaming(ctx, s)
	if err != nil {
		return err
	}
	// What may be lost is counted from here; what was committed before arrives.
	defer s.Fault(history.TailLost)()
	var walsender int
	var from string
	if err := s.Admin().QueryRow(ctx, `SELECT pid, pg_current_wal_lsn()::text FROM pg_stat_replication`).Scan(&walsender, &from); err != nil {
		return err
	}
	if err := asked(ctx, s, "the standby up to date", `SELECT flush_lsn >= $1::text::pg_lsn FROM pg_stat_replication`, from); err != nil {
		return err
	}
	if err := syscall.Kill(walsender, syscall.SIGSTOP); err != nil {
		return fmt.Errorf("freeze the walsender: %w", err)
	}
	var last int64
	if err := s.Admin().QueryRow(ctx, `SELECT max(id) FROM outbox.jobs`).Scan(&last); err != nil {
		return err
	}
	if err := asked(ctx, s, "a tail of 100 jobs", `SELECT max(id) >= $1 FROM outbox.jobs`, last+tailIDs); err != nil {
		return err
	}
	if err := stage.Sleep(ctx, stage.Between(r, 0, 3*time.Second)); err != nil {
		return err
	}
	if err := promote(ctx, s, standby, lead); err != nil {
		return err
	}
	// Until the windows of before are closed, what the tail had handed out may be taken
	// from them; then no more.
	if err := asked(ctx, s, "an epoch of the new timeline for every queue", `SELECT bool_and(life LIKE '%:00000002') FROM outbox.queues`); err != nil {
		return err
	}
	return stage.Sleep(ctx, 2*time.Second)
}

// idsIssuedAgain makes sure that the run was about what it says.
func idsIssuedAgain(f *verify.Facts, found *verify.Report) {
	keys := map[int64]string{}
	again := 0
	for _, a := range f.Acts {
		if a.Word != history.Committed {
			continue
		}
		if first, ok := keys[a.ID]; ok && first != a.Key {
			again++
		}
		keys[a.ID] = a.Key
	}
	if again == 0 || found.TailLost == 0 {
		found.Add("harness: %d ids were issued again, %d commits were lost, want both above 0", again, found.TailLost)
	}
}
