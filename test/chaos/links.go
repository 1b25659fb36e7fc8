package main

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/penguinmails/rookery/test/chaos/history"
	"github.com/penguinmails/rookery/test/chaos/stage"
	"github.com/penguinmails/rookery/test/chaos/verify"
)

// workerLinks are faults of the wires between one worker and the servers. A worker
// that reaches one of the two never has its jobs run again.
func workerLinks() []Fault {
	return []Fault{
		{
			Name: "take-reply-lost", Family: "worker",
			Says: "a worker's commands reach Redis and the answers vanish, four times for 0.3 to 2 s: what was taken is answered again. Back: from each return",
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				l := pick(r, s.Processes(stage.Worker)).Link(stage.Redis)
				for range 4 {
					if err := l.Swallow(stage.Down); err != nil {
						return err
					}
					if err := stage.Sleep(ctx, stage.Between(r, 300*time.Millisecond, 2*time.Second)); err != nil {
						return err
					}
					if err := l.Mend(); err != nil {
						return err
					}
					if err := stage.Sleep(ctx, stage.Between(r, 0, time.Second)); err != nil {
						return err
					}
				}
				return nil
			},
			Back: workerBack,
		},
		{
			Name: "outcome-reply-lost", Family: "worker", Long: true,
			Says: "a worker's outcomes reach Postgres and the verdicts vanish, four times for 0.3 to 2 s: they are sent again and change nothing. Back: from each return",
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				l := pick(r, s.Processes(stage.Worker)).Link(stage.Postgres)
				for range 4 {
					if err := l.Swallow(stage.Down); err != nil {
						return err
					}
					if err := stage.Sleep(ctx, stage.Between(r, 300*time.Millisecond, 2*time.Second)); err != nil {
						return err
					}
					if err := l.Mend(); err != nil {
						return err
					}
				}
				return nil
			},
			Back: workerBack,
		},
		holding(workerCut("worker-cut-redis", "Redis", nil, stage.Redis)),
		workerCut("worker-cut-postgres", "Postgres", nil, stage.Postgres),
		workerCut("worker-cut-both", "Redis and Postgres", []history.Cause{history.CutRedis, history.CutPostgres}, stage.Redis, stage.Postgres),
	}
}

// workerCut cuts a worker off for half a minute while it runs jobs that take longer
// than a lease.
func workerCut(name, from string, allow []history.Cause, servers ...stage.Server) Fault {
	says := "one of two workers does not reach " + from + " for 30 s, in the middle of jobs of 18 to 22 s"
	if allow == nil {
		says += ": none of them runs again"
	}
	return Fault{
		Name: name, Family: "worker", Long: true, Says: says + ". Back: from the return", Allow: allow,
		Options: func(o *stage.Options, _ *rand.Rand) { o.Mix, o.Rate = "long", 1.5 },
		Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
			if err := stage.Sleep(ctx, 5*time.Second); err != nil { // for more of them to run
				return err
			}
			p, err := s.Busiest()
			if err != nil {
				return err
			}
			for _, server := range servers {
				l := p.Link(server)
				if r.IntN(2) == 0 {
					l.Cut()
				} else if err := l.Swallow(stage.Up); err != nil {
					return err
				}
			}
			if err := stage.Sleep(ctx, 30*time.Second); err != nil {
				return err
			}
			for _, server := range servers {
				if err := p.Link(server).Mend(); err != nil {
					return err
				}
			}
			return nil
		},
		Rest: 2 * time.Minute,
	}
}

// holding wants f to have made a worker hold an attempt in Postgres: else the fault
// hit nothing, and that nothing ran again says nothing.
func holding(f Fault) Fault {
	f.Check = func(facts *verify.Facts, found *verify.Report) {
		for _, c := range facts.Changes {
			if c.Was == c.Becomes && c.WasDispatch != c.Dispatch {
				return
			}
		}
		found.Add("harness: no attempt was held in Postgres: the fault hit nothing")
	}
	return f
}
