package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/penguinmails/rookery/internal/devstack"
	"github.com/penguinmails/rookery/test/chaos/history"
	"github.com/penguinmails/rookery/test/chaos/stage"
	"github.com/penguinmails/rookery/test/chaos/verify"
)

// poolerFaults have a PgBouncer in transaction mode between everybody and Postgres,
// but for the relays' LISTEN sessions.
func poolerFaults() []Fault {
	return []Fault{
		{
			Name: "pooler-terminate", Family: "postgres", Long: true,
			Says:    "PgBouncer in transaction mode in front of all but the listeners, and behind it backends are terminated for 10 s: nothing runs again. Back: from the last",
			Prepare: withPooler,
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				return terminate(ctx, s, r, 10*time.Second)
			},
		},
		{
			Name: "pooler-failover-lost-tail", Family: "postgres", Long: true,
			Says:    "behind PgBouncer, whose clients stay connected, Postgres fails over to a standby without the newest commits: the new timeline is noticed as without a pooler. Back: from the promotion",
			Options: durable,
			Prepare: withPooler,
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				return loseTail(ctx, s, r, func(addr string) error {
					l, err := s.Link(listeners, stage.Postgres)
					if err != nil {
						return err
					}
					l.Aim(addr)
					return s.Kept(pooler).(*devstack.Pooler).Aim(addr)
				})
			},
			Allow: []history.Cause{history.TailLost},
			Check: func(f *verify.Facts, found *verify.Report) { idsIssuedAgain(f, found) },
		},
	}
}

const pooler = "pooler"

// roleSettings are what `rookery doctor` asks for behind a pooler, which does not let
// our startup parameters pass.
const roleSettings = `
ALTER ROLE ALL SET plan_cache_mode = force_generic_plan;
ALTER ROLE ALL SET enable_seqscan = off;
ALTER ROLE ALL SET enable_bitmapscan = off;
ALTER ROLE ALL SET enable_hashjoin = off;
ALTER ROLE ALL SET enable_mergejoin = off;
ALTER ROLE ALL SET enable_material = off;
ALTER ROLE ALL SET enable_memoize = off;
ALTER ROLE ALL SET jit = off;
ALTER ROLE ALL SET lock_timeout = '1s';
ALTER ROLE ALL SET statement_timeout = '10s';
ALTER ROLE ALL SET default_transaction_isolation = 'read committed';`

func withPooler(ctx context.Context, s *stage.Stage) error {
	if err := devstack.InstallTools(ctx, os.Stderr); err != nil {
		return err
	}
	if _, err := s.Admin().Exec(ctx, roleSettings); err != nil {
		return err
	}
	p, err := devstack.StartPooler(ctx, fmt.Sprintf("127.0.0.1:%d", s.PostgresServer().Port()), stage.Logins()...)
	if err != nil {
		return err
	}
	s.Own(p.Stop)
	s.Keep(pooler, p)
	s.SetPostgres(p.Addr(), nil)
	return listenApart(ctx, s) // past it
}
