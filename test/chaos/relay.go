package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/penguinmails/rookery/test/chaos/history"
	"github.com/penguinmails/rookery/test/chaos/stage"
	"github.com/penguinmails/rookery/test/chaos/verify"
)

// The limits that D§3 and the issue promise, on a machine that is not asked for more
// than it can do.
const (
	relayBack  = 3 * time.Second  // a dead relay's batches, another relay alive
	workerBack = 20 * time.Second // a dead worker's jobs
	relayAlone = 35 * time.Second // the same when the only relay died too
	lostNotify = 1200 * time.Millisecond
)

// relayPoints are the failpoints of a relay, and what must happen for one to be
// reached at all.
var relayPoints = []struct {
	point, says string
	provoke     func(ctx context.Context, s *stage.Stage, r *rand.Rand) error
	long        bool
	back        time.Duration
	options     func(o *stage.Options, r *rand.Rand)
}{ // where something must lead there, both relays are armed, and both may die
	{"relay.after_claim", "after D1: claimed, not pushed", nil, false, relayBack, nil},
	{"relay.after_push", "after D2: pushed, not recorded", nil, true, relayBack, nil},
	{"relay.after_record", "after D3: recorded", nil, true, relayBack, nil},
	{"relay.after_promote", "after scheduled jobs were moved to ready", nil, true, relayBack, nil},
	{"relay.after_takeover", "in recovery: took over the batch of a relay killed after D1", killAfterClaim, true, 10 * time.Second, nil},
	{"relay.after_expired", "in reaping: leases moved to lost, Postgres does not know", killWorkers, true, relayAlone, busy},
	{"relay.after_requeue", "in reaping: Postgres knows, lost still has them", killWorkers, true, relayAlone, busy},
	{"relay.after_begin_epoch", "a new epoch begun in Postgres, not opened in Redis", flushAll, true, relayAlone, busy},
	{"relay.after_missing", "in settling: missing copies moved to lost", flushWaiting, true, relayAlone, busy},
}

func relayFaults() []Fault {
	var all []Fault
	for _, p := range relayPoints {
		all = append(all, Fault{
			Name: "relay-kill-" + strings.ReplaceAll(strings.TrimPrefix(p.point, "relay."), "_", "-"), Family: "relay", Long: p.long,
			Says: "SIGKILL of a relay " + p.says + "; a second one lives. Back: from the kill",
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				return dieAt(ctx, s, r, stage.Relay, p.point, p.provoke)
			},
			Options: p.options,
			Back:    p.back,
		})
	}
	return append(all,
		Fault{
			Name: "relay-kill-alone", Family: "relay",
			Says:    "SIGKILL of the only relay, which is started again 1 s later. Back: from the kill",
			Options: func(o *stage.Options, _ *rand.Rand) { o.Relays = 1 },
			Inject: func(ctx context.Context, s *stage.Stage, _ *rand.Rand) error {
				defer s.Supervise(ctx, stage.Relay, time.Second)()
				s.Processes(stage.Relay)[0].Kill()
				return stage.Sleep(ctx, 5*time.Second)
			},
			Back: relayBack + time.Second, NewWork: relayBack + time.Second,
		},
		Fault{
			Name: "relay-freeze", Family: "relay", Long: true,
			Says: "SIGSTOP of one of two relays at any moment for 3 to 25 s. Back: from the freeze",
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				p := pick(r, s.Processes(stage.Relay))
				p.Freeze()
				defer p.Thaw()
				return stage.Sleep(ctx, stage.Between(r, 3*time.Second, 25*time.Second))
			},
			// The gate goes with idle_session_timeout: 3 s more, in which the others poll.
			Back: 2 * relayBack,
		},
		freezeAt("relay.after_claim", "its batch is recovered by the other and pushed late by itself"),
		freezeAt("relay.after_push", "its batch is recovered and found pushed, and recorded late by itself"),
		killedInTurn(2), killedInTurn(3), expressDies(), notifyLost(), priorityOrder(),
	)
}

// freezeAt is the frozen relay against the recovering one: it stops in the middle of
// its dispatch and wakes when the other has done its work.
func freezeAt(point, says string) Fault {
	return Fault{
		Name: "relay-freeze-" + strings.ReplaceAll(strings.TrimPrefix(point, "relay."), "_", "-"), Family: "relay", Long: point != "relay.after_claim",
		Says: "SIGSTOP of a relay at " + point + " for 1 to 13 s: " + says + ". Back: from the freeze",
		Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
			p := s.Processes(stage.Relay)[0]
			if err := rearm(p, fmt.Sprintf("%s:%d:stop", point, 1+r.IntN(20))); err != nil {
				return err
			}
			if err := stage.Until(ctx, 30*time.Second, p.Name+" frozen at "+point, func(context.Context) (bool, error) { return p.Stands(), nil }); err != nil {
				return err
			}
			if err := s.Log.Note(history.Act{Word: history.Frozen, Proc: p.Name, PID: p.PID()}); err != nil {
				return err
			}
			defer p.Thaw()
			return stage.Sleep(ctx, stage.Between(r, time.Second, 13*time.Second))
		},
		Back: 2 * relayBack,
	}
}

// killedInTurn kills one of n relays after the other, each about to be alive again
// when the next dies.
func killedInTurn(n int) Fault {
	return Fault{
		Name: fmt.Sprintf("relay-kill-turns-%d", n), Family: "relay", Long: n == 3,
		Says:    fmt.Sprintf("%d relays killed in turn, one every 0.2 to 1 s, alive again 0.3 s later, for 8 s", n),
		Options: func(o *stage.Options, _ *rand.Rand) { o.Relays = n },
		Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
			return turns(ctx, s, r, stage.Relay, 8*time.Second)
		},
	}
}

// turns kills processes of a role in turn for d.
func turns(ctx context.Context, s *stage.Stage, r *rand.Rand, role stage.Role, d time.Duration) error {
	defer s.Supervise(ctx, role, 300*time.Millisecond)()
	for end := time.Now().Add(d); time.Now().Before(end); {
		pick(r, s.Processes(role)).Kill()
		if err := stage.Sleep(ctx, stage.Between(r, 200*time.Millisecond, time.Second)); err != nil {
			return err
		}
	}
	return nil
}

// dieAt arms every process of a role with a failpoint, provokes what leads there,
// waits until one has died of it, and has it alive again a second later.
func dieAt(ctx context.Context, s *stage.Stage, r *rand.Rand, role stage.Role, point string, provoke func(context.Context, *stage.Stage, *rand.Rand) error) error {
	nth := 1 + r.IntN(20)
	if provoke != nil {
		nth = 1 // rare enough
	}
	armed := s.Processes(role)
	if provoke == nil {
		armed = armed[:1]
	}
	for _, p := range armed {
		if err := rearm(p, fmt.Sprintf("%s:%d", point, nth)); err != nil {
			return err
		}
	}
	if err := stage.Sleep(ctx, time.Second); err != nil { // they come to know the queues again
		return err
	}
	if provoke != nil {
		if err := provoke(ctx, s, r); err != nil {
			return err
		}
	}
	if err := stage.Until(ctx, 40*time.Second, "a "+string(role)+" killed at "+point, func(context.Context) (bool, error) {
		for _, p := range armed {
			if !p.Alive() {
				return true, nil
			}
		}
		return false, nil
	}); err != nil {
		return err
	}
	defer s.Supervise(ctx, role, time.Second)()
	return stage.Sleep(ctx, 3*time.Second)
}

// rearm stops a process and starts it with a failpoint.
func rearm(p *stage.Process, spec string) error {
	if err := p.Stop(40 * time.Second); err != nil {
		return err
	}
	return p.Start("ROOKERY_FAILPOINT=" + spec)
}

// killAfterClaim starts a third relay that dies after its claim.
func killAfterClaim(ctx context.Context, s *stage.Stage, _ *rand.Rand) error {
	p, err := s.Start(stage.Relay, "relay-claims", "ROOKERY_FAILPOINT=relay.after_claim:3")
	if err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return p.Await(wait)
}

// killWorkers kills every worker and starts them again.
func killWorkers(_ context.Context, s *stage.Stage, _ *rand.Rand) error {
	for _, p := range s.Processes(stage.Worker) {
		p.Kill()
		if err := p.Start(); err != nil {
			return err
		}
	}
	return nil
}

func flushAll(ctx context.Context, s *stage.Stage, _ *rand.Rand) error {
	defer s.Fault(history.RedisLost)()
	return s.RedisAdmin().FlushAll(ctx).Err()
}

// flushWaiting flushes a Redis in which jobs wait: no worker takes for 1.5 s.
func flushWaiting(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
	for _, p := range s.Processes(stage.Worker) {
		p.Freeze()
		defer p.Thaw()
	}
	if err := stage.Sleep(ctx, 1500*time.Millisecond); err != nil {
		return err
	}
	return flushAll(ctx, s, r)
}

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

// expressDies kills the process that has committed a job of the express lane and not
// pushed it: its caller over HTTP hears nothing.
func expressDies() Fault {
	return Fault{
		Name: "relay-kill-after-express", Family: "relay", Long: true,
		Says:    "SIGKILL of the API after it committed a job that arrived over HTTP, not pushed. Back: from the kill",
		Options: func(o *stage.Options, _ *rand.Rand) { o.API = true },
		Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
			return dieAt(ctx, s, r, stage.API, "relay.after_express", nil)
		},
		Back: relayBack,
	}
}

// notifyLost has transactions wake nobody, as if every NOTIFY were lost.
func notifyLost() Fault {
	const jobs = 12
	return Fault{
		Name: "notify-lost", Family: "relay",
		Says:    "12 jobs, one every 0.5 to 1.5 s on an idle system, whose transactions wake no relay: the safety poll finds them. New work: the longest wait from commit to start",
		Options: func(o *stage.Options, _ *rand.Rand) { o.Producers = 0 },
		Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
			if _, err := s.Insert(ctx, stage.Job{}); err != nil { // the relays get to know the queue
				return err
			}
			for range jobs {
				if err := stage.Sleep(ctx, stage.Between(r, 500*time.Millisecond, 1500*time.Millisecond)); err != nil {
					return err
				}
				if _, err := s.Insert(ctx, stage.Job{Unwoken: true}); err != nil {
					return err
				}
			}
			return nil
		},
		Check: func(f *verify.Facts, found *verify.Report) {
			committed := map[string]int64{}
			for _, a := range f.Acts { // in order of time
				switch at, known := committed[a.Key]; {
				case a.Word == history.Committed && a.Key != "stage.1":
					committed[a.Key] = a.Mono
				case a.Word == history.Started && known:
					found.Recovery.NewWork = max(found.Recovery.NewWork, time.Duration(a.Mono-at))
				}
			}
		},
		NewWork: lostNotify,
	}
}

// priorityOrder has a backlog wait for everybody: one relay and one slot then make
// the order exact.
func priorityOrder() Fault {
	const jobs = 1500 // three batches
	return Fault{
		Name: "priority-order", Family: "relay",
		Says: "1,500 jobs of random priorities wait while the relay is frozen and no worker there, then pass through one slot: by priority, then id, exactly",
		Options: func(o *stage.Options, _ *rand.Rand) {
			o.Relays, o.Workers, o.Slots, o.Producers, o.Queues = 1, 1, 1, 0, []string{"email:processing"}
		},
		Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
			// Stopped, not frozen: a worker that wakes after seconds without Redis claims for
			// itself at once, beside the relay, and that is in order too.
			worker, relay := s.Processes(stage.Worker)[0], s.Processes(stage.Relay)[0]
			if err := worker.Stop(40 * time.Second); err != nil {
				return err
			}
			relay.Freeze()
			defer relay.Thaw()
			backlog := make([]stage.Job, jobs)
			for i := range backlog {
				backlog[i].Priority = int16(r.IntN(1001))
			}
			if _, err := s.Insert(ctx, backlog...); err != nil {
				return err
			}
			return worker.Start()
		},
		Check: func(f *verify.Facts, found *verify.Report) {
			keys := make([]string, jobs)
			for i := range keys {
				keys[i] = fmt.Sprint("stage.", i+1)
			}
			verify.Order(f, found, keys)
		},
	}
}
