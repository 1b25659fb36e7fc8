package main

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/penguinmails/rookery/test/chaos/stage"
)

// kills is how many a marathon makes.
const kills = 1000

// marathons run only when they are asked for by name.
func marathons() []Fault {
	return []Fault{
		{
			Name: "marathon-relay", Family: "marathon", Heavy: true,
			Says:    "1,000 SIGKILLs of one of three relays, at random moments under load: nothing runs twice",
			Options: func(o *stage.Options, _ *rand.Rand) { o.Relays, o.Rate = 3, 100 },
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				return marathon(ctx, s, r, stage.Relay)
			},
		},
		{
			Name: "marathon-worker", Family: "marathon", Heavy: true,
			Says:    "1,000 SIGKILLs of one of four workers, at random moments under load: nothing is lost, no retry is eaten",
			Options: func(o *stage.Options, _ *rand.Rand) { o.Workers, o.Rate = 4, 100 },
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				return marathon(ctx, s, r, stage.Worker)
			},
			Rest: 3 * time.Minute,
		},
	}
}

// marathon kills a process that lives every 0.1 to 0.5 s, whatever it is doing.
func marathon(ctx context.Context, s *stage.Stage, r *rand.Rand, role stage.Role) error {
	defer s.Supervise(ctx, role, 50*time.Millisecond)()
	for done := 0; done < kills; {
		if p := pick(r, s.Processes(role)); p.Alive() {
			p.Kill()
			done++
		}
		if err := stage.Sleep(ctx, stage.Between(r, 100*time.Millisecond, 500*time.Millisecond)); err != nil {
			return err
		}
	}
	return nil
}
