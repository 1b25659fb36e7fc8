package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"time"

	"github.com/penguinmails/rookery/test/chaos/history"
	"github.com/penguinmails/rookery/test/chaos/stage"
)

// setBack is how far clocks are set.
const setBack = time.Minute

// clockFaults set wall clocks by a minute while everything runs, of processes and of
// servers, forth and back, which makes two steps. No clock that is set may cost a
// prompt worker its lease, so nothing runs again. How it is done: stage/clock.go.
func clockFaults() []Fault {
	if runtime.GOARCH != "amd64" {
		return nil
	}
	var all []Fault
	for _, role := range []stage.Role{stage.Producer, stage.Worker, stage.Relay} {
		for _, d := range []time.Duration{setBack, -setBack} {
			all = append(all, roleClock(role, d))
		}
	}
	for _, d := range []time.Duration{setBack, -setBack} {
		all = append(all,
			serverClock("redis", d, busy, func(s *stage.Stage) []int { return []int{s.RedisServer().PID()} }),
			serverClock("postgres", d, busy, func(s *stage.Stage) []int { return s.PostgresServer().Processes() }),
			Fault{
				Name: "clock-postgres-while-holding" + sign(d), Family: "clock", Long: true,
				Says:    fmt.Sprintf("the clock of Postgres is set by %s while Redis stands still for 40 s and workers hold their jobs of 18 to 22 s in Postgres; nothing runs again", d),
				Options: long,
				Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
					return whileHolding(ctx, s, r, func() error {
						s.Fault(history.Clock, "postgres")
						return stage.SetClocks(d, s.PostgresServer().Processes()...)
					})
				},
				Rest: 4 * time.Minute,
			})
	}
	return all
}

func sign(d time.Duration) string {
	if d < 0 {
		return "-back"
	}
	return "-ahead"
}

// roleClock sets the clocks of all processes of a role, for 15 s.
func roleClock(role stage.Role, d time.Duration) Fault {
	return Fault{
		Name: "clock-" + string(role) + sign(d), Family: "clock", Long: role != stage.Worker,
		Says:    fmt.Sprintf("the clocks of all %ss are set by %s while they run, and 20 s later right again: nothing runs again", role, d),
		Options: busy,
		Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
			var pids []int
			var names []string
			for _, p := range s.Processes(role) {
				pids, names = append(pids, p.PID()), append(names, p.Name)
			}
			return clocksSet(ctx, s, r, d, names, func() []int { return pids })
		},
		Rest: 3 * time.Minute, // a producer that is ahead asks for later
	}
}

// serverClock sets a server's clock, its children's with it.
func serverClock(name string, d time.Duration, options func(*stage.Options, *rand.Rand), pids func(*stage.Stage) []int) Fault {
	return Fault{
		Name: "clock-" + name + sign(d), Family: "clock", Long: d < 0,
		Says:    fmt.Sprintf("the clock of %s is set by %s while it runs, and 20 s later right again: no prompt worker loses a lease, nothing runs again", strings.ToUpper(name[:1])+name[1:], d),
		Options: options,
		Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
			return clocksSet(ctx, s, r, d, []string{name}, func() []int { return pids(s) })
		},
		Rest: 3 * time.Minute, // what was to come in a second comes when the clock has caught up
	}
}

func clocksSet(ctx context.Context, s *stage.Stage, r *rand.Rand, d time.Duration, names []string, pids func() []int) error {
	// Relays end no lease before they have been in contact with both servers for one.
	if err := stage.Sleep(ctx, stage.Between(r, 16*time.Second, 20*time.Second)); err != nil {
		return err
	}
	defer s.Fault(history.Clock, names...)()
	if err := stage.SetClocks(d, pids()...); err != nil {
		return err
	}
	err := stage.Sleep(ctx, stage.Between(r, 17*time.Second, 22*time.Second)) // longer than a lease
	return errors.Join(err, stage.SetClocks(0, pids()...))
}
