package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/penguinmails/rookery/test/chaos/history"
	"github.com/penguinmails/rookery/test/chaos/stage"
)

// who of the cast a fault of links hits.
type who string

const (
	oneWorker who = "one of two workers"
	oneRelay  who = "one of two relays"
	allRelays who = "every relay"
	everybody who = "everybody"
)

// redisLinks are faults of the wires to Redis.
func redisLinks() []Fault {
	var all []Fault
	for _, w := range []struct {
		who  who
		name string
		slow bool // in the short form
	}{{oneWorker, "worker", false}, {oneRelay, "relay", false}, {everybody, "all", true}} {
		all = append(all,
			wire("redis-slow-"+w.name, w.who, "reaches Redis 200 ms later each way, for 10 to 15 s", w.slow, 10*time.Second, 15*time.Second,
				func(l *stage.Link, _ *rand.Rand) error { return l.Slow(200 * time.Millisecond) }),
			wire("redis-half-open-"+w.name, w.who, "has a half-open link to Redis, one way or the other or both, for 3 to 30 s", false, 3*time.Second, 30*time.Second, halfOpen),
		)
	}
	return append(all,
		wire("redis-cut-worker", oneWorker, "does not reach Redis for 40 s: it holds, and claims", true, 40*time.Second, 40*time.Second, cutOff),
		wire("redis-cut-relays", allRelays, "does not reach Redis for 10 to 30 s; workers do", false, 10*time.Second, 30*time.Second, cutOff),
		Fault{
			Name: "redis-cut-worker-both", Long: true,
			Says: "one of two workers reaches neither Redis nor Postgres for 20 s, in the middle of jobs of 15 to 40 s: it ends its handlers before others run its jobs. Back: from the return",
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				if err := longJobs(ctx, s, r); err != nil {
					return err
				}
				p := pick(r, s.Processes(stage.Worker))
				for _, server := range []stage.Server{stage.Redis, stage.Postgres} {
					p.Link(server).Cut()
				}
				if err := stage.Sleep(ctx, 20*time.Second); err != nil {
					return err
				}
				for _, server := range []stage.Server{stage.Redis, stage.Postgres} {
					if err := p.Link(server).Mend(); err != nil {
						return err
					}
				}
				return nil
			},
			Allow: []history.Cause{history.CutRedis, history.CutPostgres},
			Back:  lostBack,
		})
}

// wire is a fault of the links to Redis of some processes, while jobs of 15 to 40 s
// run and 300 more wait.
func wire(name string, whose who, says string, short bool, low, high time.Duration, do func(l *stage.Link, r *rand.Rand) error) Fault {
	return Fault{
		Name: name, Long: !short, Says: fmt.Sprintf("%s %s, in the middle of jobs of 15 to 40 s. Both count from the return", whose, says),
		Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
			if err := longJobs(ctx, s, r); err != nil {
				return err
			}
			if err := backlog(ctx, s, r, 300); err != nil {
				return err
			}
			var links []*stage.Link
			for _, p := range whose.of(s, r) {
				links = append(links, p.Link(stage.Redis))
			}
			seed := r.Uint64() // all the same way
			for _, l := range links {
				if err := do(l, rand.New(rand.NewPCG(seed, 0))); err != nil {
					return err
				}
			}
			if err := stage.Sleep(ctx, stage.Between(r, low, high)); err != nil {
				return err
			}
			for _, l := range links {
				if err := l.Mend(); err != nil {
					return err
				}
			}
			return stage.Sleep(ctx, 3*time.Second)
		},
		NewWork: lostFlows, Back: lostBack,
	}
}

// of returns the processes, those that reach Redis at all.
func (w who) of(s *stage.Stage, r *rand.Rand) []*stage.Process {
	switch w {
	case oneWorker:
		return []*stage.Process{pick(r, s.Processes(stage.Worker))}
	case oneRelay:
		return []*stage.Process{pick(r, s.Processes(stage.Relay))}
	case allRelays:
		return s.Processes(stage.Relay)
	case everybody:
		return append(s.Processes(stage.Relay), s.Processes(stage.Worker)...)
	}
	return nil
}

func halfOpen(l *stage.Link, r *rand.Rand) error {
	ways := [][]stage.Way{{stage.Up}, {stage.Down}, {stage.Up, stage.Down}}[r.IntN(3)]
	for _, way := range ways {
		if err := l.Swallow(way); err != nil {
			return err
		}
	}
	return nil
}

func cutOff(l *stage.Link, _ *rand.Rand) error {
	l.Cut()
	return nil
}
