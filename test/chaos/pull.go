package main

import (
	"context"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/penguinmails/rookery/test/chaos/history"
	"github.com/penguinmails/rookery/test/chaos/stage"
	"github.com/penguinmails/rookery/test/chaos/verify"
)

// clientBack is a dead client's jobs: its lease at the server (10 s), then the server's
// own in Redis, and the relay's rounds.
const clientBack = 30 * time.Second

// roaming has clients ask any server each time, as behind a load balancer; else they stay
// with one while it answers.
var roaming = []string{"CHAOS_ROAM=1"}

// pullFaults are what happens to workers over HTTP, to the servers that give them leases,
// and to the wires between. Two servers, each a relay too, and three clients; there is no
// other worker. As for a worker in Go, nothing runs again while its client lives and
// reaches a server.
func pullFaults() []Fault {
	var all []Fault
	for _, group := range []func() []Fault{pullPoints, pullClients, pullServers, pullLinks, pullStores} {
		all = append(all, group()...)
	}
	for i := range all {
		f := &all[i]
		f.Family = "pull"
		f.Check = both(apart, f.Check)
		more := f.Options
		f.Options = func(o *stage.Options, r *rand.Rand) {
			o.Relays, o.Workers, o.Servers, o.Clients, o.Rate = 0, 0, 2, 3, 60
			if r.IntN(2) == 0 {
				o.ClientEnv = roaming
			}
			if more != nil {
				more(o, r)
			}
		}
	}
	return all
}

// pullPoints are kills at every point of the way of a lease, of the client and of the
// worker that a server is for it.
func pullPoints() []Fault {
	var all []Fault
	for _, p := range []struct {
		role        stage.Role
		point, says string
		back        time.Duration
	}{
		{stage.Client, "client.after_lease", "a client when it has an answer with jobs and has begun none", clientBack},
		{stage.Client, "client.in_handler", "a client right after it began a job", clientBack},
		{stage.Client, "client.before_ack", "a client that has done a job and told nobody", clientBack},
		{stage.Client, "client.after_ack", "a client that was told that its ack counts", clientBack},
		{stage.Serve, "worker.after_take", "a server that has taken jobs for clients, who have no answer", relayAlone},
		{stage.Serve, "worker.in_handler", "a server right before it hands a job to a client", relayAlone},
		{stage.Serve, "worker.before_reconcile", "a server that has acks which Postgres does not know: they are sent again, to the other", relayAlone},
		{stage.Serve, "worker.before_ack", "a server whose acks Postgres has, and Redis and the clients do not know", relayAlone},
	} {
		whose, where, _ := strings.Cut(p.point, ".")
		name := "client-kill-"
		if whose == "worker" {
			name = "serve-kill-"
		}
		all = append(all, Fault{
			Name: name + strings.ReplaceAll(where, "_", "-"), Long: true,
			Says:    "SIGKILL of " + p.says + ". Back: from the kill",
			Options: func(o *stage.Options, _ *rand.Rand) { o.ClientEnv = roaming }, // or all stay where nobody dies
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				return dieAt(ctx, s, r, p.role, p.point, nil)
			},
			Back: p.back,
		})
	}
	return all
}

func pullClients() []Fault {
	return []Fault{
		{
			Name: "pull-calm", Says: "no fault at all: nothing runs twice, nothing waits",
			Inject: func(ctx context.Context, _ *stage.Stage, _ *rand.Rand) error { return stage.Sleep(ctx, 2*time.Second) },
		},
		{
			Name: "client-kill", Says: "SIGKILL of the busiest client, in the middle of jobs of 0.5 to 2 s. Back: from the kill",
			Options: busy,
			Inject: func(ctx context.Context, s *stage.Stage, _ *rand.Rand) error {
				if err := killBusiest(s); err != nil {
					return err
				}
				return stage.Sleep(ctx, 2*time.Second)
			},
			Back: clientBack,
		},
		{
			Name: "client-kill-turns", Long: true, Says: "clients killed in turn, one every 0.2 to 1 s, alive again 0.3 s later, for 8 s",
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				return turns(ctx, s, r, stage.Client, 8*time.Second)
			},
		},
		{
			Name: "client-freeze", Says: "SIGSTOP of the busiest client for 28 s, longer than its leases; then it acks what others have done: 409. Back: from the freeze",
			Options: busy,
			Inject: func(ctx context.Context, s *stage.Stage, _ *rand.Rand) error {
				return frozen(ctx, s, 28*time.Second)
			},
			Check: someRefused, Back: clientBack,
		},
		{
			Name: "client-freeze-brief", Long: true, Says: "SIGSTOP of the busiest client for 1 to 5 s: no lease ends, nothing runs again. Back: from the freeze",
			Options: busy,
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				return frozen(ctx, s, stage.Between(r, time.Second, 5*time.Second))
			},
		},
		{
			Name: "client-stop-turns", Long: true, Says: "SIGTERM of each client in turn, in the middle of jobs of 0.5 to 2 s: it finishes, or gives back; nobody waits for a lease to end",
			Options: busy,
			Inject: func(ctx context.Context, s *stage.Stage, _ *rand.Rand) error {
				return stopTurns(ctx, s, stage.Client)
			},
			Back: 8 * time.Second,
		},
	}
}

// someRefused wants stale acks: without any, the run shows nothing about them.
func someRefused(_ *verify.Facts, found *verify.Report) {
	if found.Stale == 0 {
		found.Add("harness: no ack came too late: the fault hit nothing")
	}
}

func stopTurns(ctx context.Context, s *stage.Stage, role stage.Role) error {
	for _, p := range s.Processes(role) {
		if err := p.Stop(40 * time.Second); err != nil {
			return err
		}
		if err := p.Start(); err != nil {
			return err
		}
		if err := stage.Sleep(ctx, 2*time.Second); err != nil {
			return err
		}
	}
	return nil
}

func pullServers() []Fault {
	return []Fault{
		{
			Name: "serve-kill", Says: "SIGKILL of one of two servers in the middle of jobs of 18 to 22 s, alive again 1 s later: their clients go to the other, and none of them runs again",
			Options: long,
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				defer s.Supervise(ctx, stage.Serve, time.Second)()
				if err := stage.Sleep(ctx, 8*time.Second); err != nil { // for more of them to run
					return err
				}
				pick(r, s.Processes(stage.Serve)).Kill()
				return stage.Sleep(ctx, 2*time.Second)
			},
		},
		{
			Name: "serve-kill-turns", Long: true, Says: "servers killed in turn, one every 1 to 4 s, alive again 0.3 s later, for 20 s, in the middle of jobs of 0.5 to 2 s: none of them runs again",
			Options: busy,
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				defer s.Supervise(ctx, stage.Serve, 300*time.Millisecond)()
				for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
					pick(r, s.Processes(stage.Serve)).Kill()
					if err := stage.Sleep(ctx, stage.Between(r, time.Second, 4*time.Second)); err != nil {
						return err
					}
				}
				return nil
			},
		},
		{
			Name: "serve-freeze", Long: true, Says: "SIGSTOP of one of two servers for 25 s, in the middle of jobs of 18 to 22 s: their clients go to the other, none of them runs again, and what it wakes with changes nothing",
			Options: long,
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				if err := stage.Sleep(ctx, 8*time.Second); err != nil {
					return err
				}
				p := pick(r, s.Processes(stage.Serve))
				p.Freeze()
				defer p.Thaw()
				return stage.Sleep(ctx, 25*time.Second)
			},
		},
		{
			Name: "serve-stop-turns", Long: true, Says: "a rolling restart: SIGTERM of each server in turn, in the middle of jobs of 18 to 22 s; none of them runs again",
			Options: long,
			Inject: func(ctx context.Context, s *stage.Stage, _ *rand.Rand) error {
				if err := stage.Sleep(ctx, 8*time.Second); err != nil {
					return err
				}
				return stopTurns(ctx, s, stage.Serve)
			},
		},
	}
}

// pullLinks are faults of the wires between a client and all servers.
func pullLinks() []Fault {
	wires := func(s *stage.Stage, p *stage.Process, do func(l *stage.Link) error) error {
		for _, server := range s.Processes(stage.Serve) {
			if err := do(p.Link(stage.Server(server.Name))); err != nil {
				return err
			}
		}
		return nil
	}
	const answers = "answers to a client vanish, four times for 0.3 to 2 s: acks are sent again and have the same answer, jobs of lost answers come back when their leases end"
	return []Fault{
		{
			Name: "client-reply-lost", Says: answers + ". Back: from each return",
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				p := pick(r, s.Processes(stage.Client))
				for range 4 {
					if err := wires(s, p, func(l *stage.Link) error { return l.Swallow(stage.Down) }); err != nil {
						return err
					}
					if err := stage.Sleep(ctx, stage.Between(r, 300*time.Millisecond, 2*time.Second)); err != nil {
						return err
					}
					if err := wires(s, p, (*stage.Link).Mend); err != nil {
						return err
					}
					if err := stage.Sleep(ctx, stage.Between(r, 0, time.Second)); err != nil {
						return err
					}
				}
				return nil
			},
			Back: clientBack,
		},
		{
			Name: "client-hang-ups", Long: true, Says: "every connection between clients and servers is closed, 40 times in 8 s, requests that wait for jobs and answers on their way included. Back: from each",
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				for range 40 {
					if err := wires(s, pick(r, s.Processes(stage.Client)), (*stage.Link).Drop); err != nil {
						return err
					}
					if err := stage.Sleep(ctx, stage.Between(r, 0, 400*time.Millisecond)); err != nil {
						return err
					}
				}
				return nil
			},
			Back: clientBack,
		},
		{
			Name: "client-cut-brief", Long: true, Says: "a client reaches no server for 1 to 4 s, in the middle of jobs of 18 to 22 s: none of them runs again",
			Options: long,
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				return cutClient(ctx, s, wires, stage.Between(r, time.Second, 4*time.Second))
			},
		},
		{
			Name: "client-cut", Long: true, Says: "a client reaches no server for 30 s, in the middle of jobs of 18 to 22 s: it ends its runs, others get them",
			Options: long, Allow: []history.Cause{history.CutServer}, Rest: 2 * time.Minute,
			Inject: func(ctx context.Context, s *stage.Stage, _ *rand.Rand) error {
				return cutClient(ctx, s, wires, 30*time.Second)
			},
		},
	}
}

func cutClient(ctx context.Context, s *stage.Stage, wires func(*stage.Stage, *stage.Process, func(*stage.Link) error) error, d time.Duration) error {
	if err := stage.Sleep(ctx, 8*time.Second); err != nil { // for more of them to run
		return err
	}
	p, err := s.Busiest()
	if err != nil {
		return err
	}
	if err := wires(s, p, func(l *stage.Link) error { l.Cut(); return nil }); err != nil {
		return err
	}
	if err := stage.Sleep(ctx, d); err != nil {
		return err
	}
	return wires(s, p, (*stage.Link).Mend)
}
