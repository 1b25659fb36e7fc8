package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/penguinmails/rookery/test/chaos/history"
	"github.com/penguinmails/rookery/test/chaos/stage"
)

// postgresStalls are a Postgres that is there and does not answer, or says no.
func postgresStalls() []Fault {
	return []Fault{
		{
			Name: "postgres-freeze", Family: "postgres",
			Says:    "SIGSTOP of every process of Postgres for 20 s: leases in Redis go on, nothing runs again. Back: from its waking",
			Options: durableBusy,
			Inject: func(ctx context.Context, s *stage.Stage, _ *rand.Rand) error {
				return postgresFrozen(ctx, s, history.PostgresAway, 20*time.Second)
			},
		},
		{
			Name: "postgres-freeze-while-holding", Family: "postgres", Long: true,
			Says:    "Redis stands still for 40 s, workers hold their jobs of 18 to 22 s in Postgres, and then Postgres stands still for 5 s (holding begins after 7 s without Redis and is due within 13): nothing runs again. Back: from Redis' waking",
			Options: long,
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				return whileHolding(ctx, s, r, func() error {
					start := time.Now()
					err := postgresFrozen(ctx, s, history.Other, 5*time.Second)
					if time.Since(start) > 6*time.Second { // the machine's doing, and due
						s.Fault(history.PostgresAway)()
					}
					return err
				})
			},
			Allow: []history.Cause{history.PostgresAway},
			Rest:  2 * time.Minute,
		},
		{
			Name: "postgres-locked", Family: "postgres",
			Says:    "LOCK TABLE outbox.jobs for 15 s: every statement meets its lock_timeout; nothing runs again. Back: from the unlocking",
			Options: busy,
			Inject: func(ctx context.Context, s *stage.Stage, _ *rand.Rand) error {
				defer s.Fault(history.PostgresAway)()
				return inTransaction(ctx, s, func(tx pgx.Tx) error {
					if _, err := tx.Exec(ctx, `LOCK TABLE outbox.jobs IN ACCESS EXCLUSIVE MODE`); err != nil {
						return err
					}
					return stage.Sleep(ctx, 15*time.Second)
				})
			},
		},
		{
			Name: "postgres-statement-timeout", Family: "postgres", Long: true,
			Says:    "for 25 s no UPDATE of jobs ends by itself: each runs into its statement_timeout of 10 s; nothing runs again. Back: from the end of it",
			Options: busy,
			Prepare: func(ctx context.Context, s *stage.Stage) error {
				_, err := s.Admin().Exec(ctx, brake)
				return err
			},
			Inject: func(ctx context.Context, s *stage.Stage, _ *rand.Rand) error {
				defer s.Fault(history.PostgresAway)()
				if _, err := s.Admin().Exec(ctx, `INSERT INTO chaos.brake VALUES (true)`); err != nil {
					return err
				}
				if err := stage.Sleep(ctx, 25*time.Second); err != nil {
					return err
				}
				_, err := s.Admin().Exec(ctx, `DELETE FROM chaos.brake`)
				return err
			},
		},
		{
			Name: "postgres-cancel", Family: "postgres", Long: true,
			Says: "pg_cancel_backend of every statement under way (57014, as of a statement_timeout), every 0 to 20 ms for 10 s: nothing runs again. Back: from the last",
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				defer s.Fault(history.Other)()
				for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
					if _, err := s.Admin().Exec(ctx, `SELECT pg_cancel_backend(pid) FROM pg_stat_activity
						WHERE datname = 'rookery' AND state = 'active' AND pid <> pg_backend_pid()`); err != nil {
						return err
					}
					if err := stage.Sleep(ctx, stage.Between(r, 0, 20*time.Millisecond)); err != nil {
						return err
					}
				}
				return nil
			},
		},
		{
			Name: "postgres-connections-exhausted", Family: "postgres",
			Says: "an intruder ends everybody's connections and takes all of max_connections for 10 s: nothing runs again. Back: from its leaving",
			Options: func(o *stage.Options, r *rand.Rand) {
				busy(o, r)
				o.Postgres = map[string]string{"max_connections": "60"}
			},
			Inject: func(ctx context.Context, s *stage.Stage, _ *rand.Rand) error {
				return intrude(ctx, s, 60, 10*time.Second)
			},
		},
	}
}

// brake is a trigger that holds up every update of jobs while its table has a row.
const brake = `
CREATE TABLE chaos.brake (pulled boolean);
CREATE FUNCTION chaos.hold_up() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF EXISTS (SELECT FROM chaos.brake) THEN
        PERFORM pg_sleep(60);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER chaos_brake AFTER UPDATE ON outbox.jobs FOR EACH STATEMENT EXECUTE FUNCTION chaos.hold_up();`

func postgresFrozen(ctx context.Context, s *stage.Stage, cause history.Cause, d time.Duration) error {
	defer s.Fault(cause)()
	if err := s.PostgresServer().Freeze(); err != nil {
		return err
	}
	err := stage.Sleep(ctx, d)
	return errors.Join(err, s.PostgresServer().Thaw())
}

// whileHolding has Redis stand still for 40 s, and then does something when workers
// have held what they run in Postgres for some seconds.
func whileHolding(ctx context.Context, s *stage.Stage, r *rand.Rand, do func() error) error {
	if err := stage.Sleep(ctx, 10*time.Second); err != nil { // for more of the jobs to run
		return err
	}
	lift := s.Fault(history.RedisAway)
	defer lift()
	if err := s.RedisServer().Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	err := func() error {
		if err := stage.Until(ctx, 20*time.Second, "attempts held in Postgres", func(ctx context.Context) (held bool, err error) {
			err = s.Admin().QueryRow(ctx, `SELECT EXISTS (SELECT FROM outbox.dispatches WHERE lease_until IS NOT NULL)`).Scan(&held)
			return held, err
		}); err != nil {
			return err
		}
		if err := stage.Sleep(ctx, stage.Between(r, 3*time.Second, 9*time.Second)); err != nil {
			return err
		}
		if err := do(); err != nil {
			return err
		}
		return stage.Sleep(ctx, 15*time.Second)
	}()
	return errors.Join(err, s.RedisServer().Signal(syscall.SIGCONT))
}

// inTransaction does something in a transaction on a connection of its own, and
// commits it.
func inTransaction(ctx context.Context, s *stage.Stage, do func(pgx.Tx) error) error {
	c, err := pgx.Connect(ctx, s.PostgresServer().URL("rookery"))
	if err != nil {
		return err
	}
	defer func() { _ = c.Close(context.WithoutCancel(ctx)) }() // the transaction has ended, or ends with it
	tx, err := c.Begin(ctx)
	if err != nil {
		return err
	}
	if err := do(tx); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// intrude ends every other connection and opens new ones, again and again for d, with
// no pause: whoever comes finds no slot.
func intrude(ctx context.Context, s *stage.Stage, slots int, d time.Duration) error {
	defer s.Fault(history.PostgresAway)()
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	var all sync.WaitGroup
	defer all.Wait()
	first, err := pgx.Connect(ctx, s.PostgresServer().URL("rookery")+"&application_name=intruder")
	if err != nil {
		return err
	}
	for range slots {
		all.Go(func() {
			for ctx.Err() == nil {
				c, err := pgx.Connect(ctx, s.PostgresServer().URL("rookery")+"&application_name=intruder")
				if err != nil {
					_ = stage.Sleep(ctx, 50*time.Millisecond)
					continue
				}
				<-ctx.Done()
				_ = c.Close(context.WithoutCancel(ctx)) // the server ends it otherwise
			}
		})
	}
	for ctx.Err() == nil {
		if _, err := first.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE backend_type = 'client backend' AND application_name <> 'intruder'`); err != nil && ctx.Err() == nil {
			return err
		}
		_ = stage.Sleep(ctx, 100*time.Millisecond) // its end is the loop's
	}
	_ = first.Close(context.WithoutCancel(ctx)) // the server ends it otherwise
	return nil
}
