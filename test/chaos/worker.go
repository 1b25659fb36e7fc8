package main

import (
	"context"
	"math/rand/v2"
	"strings"
	"syscall"
	"time"

	"github.com/penguinmails/rookery/test/chaos/stage"
)

const kill = syscall.SIGKILL

// workerPoints are the failpoints of a worker.
var workerPoints = []struct {
	point, says string
	short       bool
}{
	{"worker.after_take", "after take: jobs are leased, none has begun", true},
	{"worker.in_handler", "right before a handler", false},
	{"worker.before_reconcile", "handlers have returned, Postgres does not know", false},
	{"worker.before_ack", "Postgres has committed, Redis does not know", true},
}

func workerFaults() []Fault {
	var all []Fault
	for _, p := range workerPoints {
		all = append(all, Fault{
			Name: "worker-kill-" + strings.ReplaceAll(strings.TrimPrefix(p.point, "worker."), "_", "-"), Family: "worker", Long: !p.short,
			Says: "SIGKILL of one of two workers " + p.says + ". Back: from the kill",
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				return dieAt(ctx, s, r, stage.Worker, p.point, nil)
			},
			Back: workerBack,
		})
	}
	return append(append(all, workerEnds()...), workerLinks()...)
}

// busy gives the workers something to hold, and no more than one of them can do.
func busy(o *stage.Options, _ *rand.Rand) { o.Mix, o.Rate = "slow", 12 }

func workerEnds() []Fault {
	return []Fault{
		{
			Name: "worker-kill", Family: "worker",
			Says:    "SIGKILL of the busier of two workers, in the middle of jobs of 0.5 to 2 s. Back: from the kill",
			Options: busy,
			Inject: func(ctx context.Context, s *stage.Stage, _ *rand.Rand) error {
				if err := killBusiest(s); err != nil {
					return err
				}
				return stage.Sleep(ctx, 2*time.Second)
			},
			Back: workerBack,
		},
		{
			Name: "worker-and-relay-kill", Family: "worker", Long: true,
			Says: "SIGKILL of the busier worker and the only relay, which is back 1 s later. Back: from the kill",
			Options: func(o *stage.Options, r *rand.Rand) {
				busy(o, r)
				o.Relays = 1
			},
			Inject: func(ctx context.Context, s *stage.Stage, _ *rand.Rand) error {
				defer s.Supervise(ctx, stage.Relay, time.Second)()
				if err := killBusiest(s); err != nil {
					return err
				}
				s.Processes(stage.Relay)[0].Kill()
				return stage.Sleep(ctx, 2*time.Second)
			},
			Back: relayAlone,
		},
		{
			Name: "worker-freeze", Family: "worker",
			Says:    "SIGSTOP of the busier of two workers for 20 s, longer than its leases; then it wakes with what it had. Back: from the freeze",
			Options: busy,
			Inject: func(ctx context.Context, s *stage.Stage, _ *rand.Rand) error {
				return frozen(ctx, s, 20*time.Second)
			},
			Back: workerBack,
		},
		{
			Name: "worker-freeze-brief", Family: "worker", Long: true,
			Says:    "SIGSTOP of the busier of two workers for 1 to 7 s: no lease ends, nothing runs again. Back: from the freeze",
			Options: busy,
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				return frozen(ctx, s, stage.Between(r, time.Second, 7*time.Second))
			},
		},
		{
			Name: "worker-stop-turns", Family: "worker", Long: true,
			Says: "a rolling restart: SIGTERM of each worker in turn, twice; nothing runs again",
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				for range 2 {
					for _, p := range s.Processes(stage.Worker) {
						if err := p.Stop(40 * time.Second); err != nil {
							return err
						}
						if err := stage.Sleep(ctx, stage.Between(r, 0, time.Second)); err != nil {
							return err
						}
						if err := p.Start(); err != nil {
							return err
						}
					}
				}
				return nil
			},
		},
		{
			Name: "worker-kill-turns", Family: "worker", Long: true,
			Says:    "three workers killed in turn, one every 0.2 to 1 s, alive again 0.3 s later, for 8 s",
			Options: func(o *stage.Options, _ *rand.Rand) { o.Workers = 3 },
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				return turns(ctx, s, r, stage.Worker, 8*time.Second)
			},
		},
	}
}

func killBusiest(s *stage.Stage) error {
	p, err := s.Busiest()
	if err == nil {
		p.Kill()
	}
	return err
}

func frozen(ctx context.Context, s *stage.Stage, d time.Duration) error {
	p, err := s.Busiest()
	if err != nil {
		return err
	}
	p.Freeze()
	defer p.Thaw()
	return stage.Sleep(ctx, d)
}
