package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/penguinmails/rookery/test/chaos/history"
	"github.com/penguinmails/rookery/test/chaos/stage"
	"github.com/penguinmails/rookery/test/chaos/verify"
)

// listeners is the name of the link that all relays listen through, apart from what
// else they ask of Postgres.
const listeners = "listeners"

// postgresLinks are faults of the wires to Postgres.
func postgresLinks() []Fault {
	return []Fault{
		{
			Name: "postgres-slow", Family: "postgres",
			Says: "every answer of Postgres takes 0.4 s (200 ms each way), to everybody, for 15 s: nothing runs again. Back: from the end of it",
			Inject: func(ctx context.Context, s *stage.Stage, _ *rand.Rand) error {
				for _, l := range s.Links(stage.Postgres) {
					if err := l.Slow(200 * time.Millisecond); err != nil {
						return err
					}
				}
				err := stage.Sleep(ctx, 15*time.Second)
				for _, l := range s.Links(stage.Postgres) {
					err = errors.Join(err, l.Mend())
				}
				return err
			},
		},
		cutFromPostgres(20*time.Second, busy),
		cutFromPostgres(60*time.Second, long),
		{
			Name: "listen-half-open", Family: "postgres",
			Says:    "what Postgres sends to the relays' LISTEN sessions vanishes, or what they send, and no connection closes: 12 jobs on an idle system. New work: the longest wait from commit to start",
			Options: func(o *stage.Options, _ *rand.Rand) { o.Producers = 0 },
			Prepare: listenApart,
			Inject:  listenHalfOpen,
			Check:   func(f *verify.Facts, found *verify.Report) { found.Recovery.NewWork = waitedFor(f, "stage.") },
			NewWork: lostNotify,
		},
		{
			Name: "listen-half-open-in-load", Family: "postgres", Long: true,
			Says:    "the same four times for 1 to 8 s under load, while the gate is held by such a session",
			Prepare: listenApart,
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				l, err := s.Link(listeners, stage.Postgres)
				if err != nil {
					return err
				}
				for range 4 {
					if err := l.Swallow([]stage.Way{stage.Up, stage.Down}[r.IntN(2)]); err != nil {
						return err
					}
					if err := stage.Sleep(ctx, stage.Between(r, time.Second, 8*time.Second)); err != nil {
						return err
					}
					if err := l.Mend(); err != nil {
						return err
					}
					if err := stage.Sleep(ctx, stage.Between(r, 0, 2*time.Second)); err != nil {
						return err
					}
				}
				return nil
			},
			NewWork: relayBack,
		},
	}
}

// cutFromPostgres cuts one worker off from Postgres alone: its leases in Redis are
// renewed, its outcomes wait.
func cutFromPostgres(d time.Duration, options func(*stage.Options, *rand.Rand)) Fault {
	return Fault{
		Name: fmt.Sprintf("postgres-cut-%.0fs", d.Seconds()), Family: "postgres", Long: true,
		Says:    fmt.Sprintf("one of two workers does not reach Postgres for %.0f s, and does reach Redis: nothing of it runs again. Back: from the return", d.Seconds()),
		Options: options,
		Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
			l := pick(r, s.Processes(stage.Worker)).Link(stage.Postgres)
			if r.IntN(2) == 0 {
				l.Cut()
			} else if err := l.Swallow([]stage.Way{stage.Up, stage.Down}[r.IntN(2)]); err != nil {
				return err
			}
			if err := stage.Sleep(ctx, d); err != nil {
				return err
			}
			return l.Mend()
		},
		Rest: 2 * time.Minute,
	}
}

// listenApart gives the relays' LISTEN sessions a link of their own.
func listenApart(_ context.Context, s *stage.Stage) error {
	l, err := s.Link(listeners, stage.Postgres)
	if err != nil {
		return err
	}
	l.Aim(fmt.Sprintf("127.0.0.1:%d", s.PostgresServer().Port()))
	s.Options.RelayEnv = append(s.Options.RelayEnv, "DATABASE_LISTEN_URL=postgres://chaos_relay@"+l.Addr()+"/rookery?sslmode=disable")
	return nil
}

func listenHalfOpen(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
	l, err := s.Link(listeners, stage.Postgres)
	if err != nil {
		return err
	}
	defer s.Fault(history.Other)()
	if _, err := s.Insert(ctx, stage.Job{}); err != nil { // the relays get to know the queue
		return err
	}
	for range 12 {
		if err := l.Swallow([]stage.Way{stage.Up, stage.Down}[r.IntN(2)]); err != nil {
			return err
		}
		// Within what a ping takes to find out, or beyond it.
		if err := stage.Sleep(ctx, stage.Between(r, 0, 2500*time.Millisecond)); err != nil {
			return err
		}
		if _, err := s.Insert(ctx, stage.Job{}); err != nil {
			return err
		}
		if err := stage.Sleep(ctx, stage.Between(r, 1300*time.Millisecond, 2*time.Second)); err != nil {
			return err
		}
		if err := l.Mend(); err != nil {
			return err
		}
		if err := stage.Sleep(ctx, stage.Between(r, 300*time.Millisecond, time.Second)); err != nil { // it listens again
			return err
		}
	}
	return nil
}
