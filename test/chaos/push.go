package main

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/penguinmails/rookery/test/chaos/history"
	"github.com/penguinmails/rookery/test/chaos/stage"
	"github.com/penguinmails/rookery/test/chaos/verify"
)

// pushBack is a dead push worker's jobs: its leases in Redis, and then the wait for a place
// at an endpoint where its permits lived as long, and a backlog has gathered.
const pushBack = 40 * time.Second

// openBack is the same where attempts that are open for 25 s keep some of the places.
const openBack = pushBack + 25*time.Second

// pushFaults are what happens to push workers, to the receivers that they deliver to, to the
// servers that these call back, and to the wires between. Two push workers, two queues with
// a receiver each, two servers, each a relay too; there is no other worker. Only what
// receivers have said is recorded, nothing comes again that nobody asked for, and the
// endpoints' limits hold over both workers. Half of the runs deliver by https and HTTP/2.
func pushFaults() []Fault {
	var all []Fault
	for _, group := range []func() []Fault{pushPoints, pushWorkers, pushReceivers, pushLinks, pushServers, pushStores} {
		all = append(all, group()...)
	}
	for i := range all {
		f := &all[i]
		f.Family = "push"
		more := f.Options
		f.Options = func(o *stage.Options, r *rand.Rand) {
			o.Relays, o.Workers, o.Servers, o.Pushers, o.Mix, o.Rate = 0, 0, 2, 2, "pushed", 12
			o.InFlight, o.PushTLS = 5+r.IntN(4), r.IntN(2) == 0
			if more != nil {
				more(o, r)
			}
		}
	}
	return all
}

// atReceivers has most jobs take half a second to two at their receiver.
func atReceivers(o *stage.Options, _ *rand.Rand) { o.Mix, o.Rate = "pushed-slowly", 5 }

// pushPoints are kills at every point of the way of a delivery.
func pushPoints() []Fault {
	var all []Fault
	for _, p := range []struct{ point, name, says string }{
		{"worker.after_take", "after-take", "that has taken jobs and sent none"},
		{"worker.in_handler", "before-post", "right before it sends a job"},
		{"push.after_answer", "after-answer", "that has an answer which nobody else knows"},
		{"worker.before_reconcile", "before-reconcile", "that has outcomes which Postgres does not know"},
		{"worker.before_ack", "before-ack", "whose outcomes Postgres has, and Redis does not know"},
	} {
		all = append(all, Fault{
			Name: "push-kill-" + p.name, Long: true,
			Says: "SIGKILL of a push worker " + p.says + ". Back: from the kill",
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				return dieAt(ctx, s, r, stage.Push, p.point, nil)
			},
			Back: pushBack,
		})
	}
	return all
}

func pushWorkers() []Fault {
	return []Fault{
		{
			Name: "push-calm", Says: "no fault at all: nothing comes twice but what its receiver wants to",
			Inject: func(ctx context.Context, _ *stage.Stage, _ *rand.Rand) error { return stage.Sleep(ctx, 2*time.Second) },
		},
		{
			Name: "push-kill", Says: "SIGKILL of the busier push worker in the middle of deliveries and of attempts that wait for callbacks: what receivers say of these before its leases end counts. Back: from the kill",
			Options: atReceivers,
			Inject: func(ctx context.Context, s *stage.Stage, _ *rand.Rand) error {
				defer s.Supervise(ctx, stage.Push, time.Second)()
				p, err := s.BusiestPush()
				if err != nil {
					return err
				}
				p.Kill()
				return stage.Sleep(ctx, 2*time.Second)
			},
			Back: pushBack,
		},
		{
			Name: "push-kill-open", Long: true, Says: "the same in the middle of attempts that their receivers call back about after 25 s: the jobs come again, and what is said of the attempts before is refused. Back: from the kill",
			Options: atReceivers,
			Inject: func(ctx context.Context, s *stage.Stage, _ *rand.Rand) error {
				open, err := opened(ctx, s, "completed")
				if err != nil {
					return err
				}
				defer s.Supervise(ctx, stage.Push, time.Second)()
				p, err := s.BusiestPush(open...)
				if err != nil {
					return err
				}
				p.Kill()
				return stage.Sleep(ctx, 2*time.Second)
			},
			Check: someRefused, Back: openBack,
		},
		{
			Name: "push-kill-turns", Long: true, Says: "push workers killed in turn, one every 0.2 to 1 s, alive again 0.3 s later, for 8 s",
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				return turns(ctx, s, r, stage.Push, 8*time.Second)
			},
			Rest: 2 * time.Minute,
		},
		{
			Name: "push-stop-turns", Long: true, Says: "a rolling restart: SIGTERM of each push worker in turn, in the middle of deliveries: it waits for their answers and callbacks, and none comes again",
			Options: atReceivers,
			Inject: func(ctx context.Context, s *stage.Stage, _ *rand.Rand) error {
				return stopTurns(ctx, s, stage.Push)
			},
			Check: func(_ *verify.Facts, found *verify.Report) {
				if n := found.Duplicates[verify.GivenBack]; n > 0 {
					found.Add("stop: %d attempts were given back, which had 25 s to end", n)
				}
			},
		},
		{
			Name: "push-freeze", Says: "SIGSTOP of the busier push worker for 20 s, longer than its leases and permits; then it wakes with answers to what others have delivered since. Back: from the freeze",
			Options: atReceivers,
			Inject: func(ctx context.Context, s *stage.Stage, _ *rand.Rand) error {
				open, err := opened(ctx, s, "completed")
				if err != nil {
					return err
				}
				return frozenPush(ctx, s, 20*time.Second, open...)
			},
			Check: someRefused, Back: openBack,
		},
		{
			Name: "push-freeze-brief", Long: true, Says: "SIGSTOP of the busier push worker for 1 to 7 s: no lease ends, and what comes again is what it heard of too late. Back: from the freeze",
			Options: atReceivers,
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				return frozenPush(ctx, s, stage.Between(r, time.Second, 7*time.Second))
			},
		},
	}
}

// opened has two attempts of each queue wait for callbacks that come after 25 s, and returns
// the keys of their jobs, which are wanted to end so.
func opened(ctx context.Context, s *stage.Stage, want string) ([]string, error) {
	var slow []stage.Job
	for _, queue := range s.Options.Queues {
		for range 2 {
			slow = append(slow, stage.Job{Queue: queue, Priority: 1, Plan: []string{"later-slow"}, Want: want})
		}
	}
	keys, err := s.Insert(ctx, slow...)
	if err != nil {
		return nil, err
	}
	return keys, stage.Until(ctx, 20*time.Second, "attempts to be open", func(context.Context) (bool, error) {
		acts, err := history.Read(s.History())
		return !slices.ContainsFunc(keys, func(key string) bool {
			return !slices.ContainsFunc(acts, func(a history.Act) bool { return a.Word == history.Extended && a.Key == key })
		}), err
	})
}

// frozenPush freezes the push worker that is busiest, with jobs of keys if there are any.
func frozenPush(ctx context.Context, s *stage.Stage, d time.Duration, keys ...string) error {
	p, err := s.BusiestPush(keys...)
	if err != nil {
		return err
	}
	p.Freeze()
	defer p.Thaw()
	return stage.Sleep(ctx, d)
}

func pushReceivers() []Fault {
	return []Fault{
		{
			Name: "receiver-kill", Says: "SIGKILL of a receiver, back after 1 to 3 s: what it was to call back about fails at its deadline, its jobs come again, and none of the other queue fails",
			Options: atReceivers,
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				defer s.Supervise(ctx, stage.Receiver, stage.Between(r, time.Second, 3*time.Second))()
				pick(r, s.Processes(stage.Receiver)).Kill()
				return stage.Sleep(ctx, 4*time.Second)
			},
		},
		{
			Name: "receiver-kill-turns", Long: true, Says: "receivers killed in turn, one every 0.2 to 1 s, alive again 0.3 s later, for 6 s",
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				return turns(ctx, s, r, stage.Receiver, 6*time.Second)
			},
		},
		{
			Name: "receiver-freeze", Long: true, Says: "SIGSTOP of a receiver for 8 s, longer than its endpoint's timeout: it wakes with requests that were given up, answers and calls back",
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				p := pick(r, s.Processes(stage.Receiver))
				p.Freeze()
				defer p.Thaw()
				return stage.Sleep(ctx, 8*time.Second)
			},
		},
		{
			Name: "push-cancel", Long: true, Says: "jobs are cancelled while their attempts wait for callbacks that come after 25 s: they stay cancelled, their places are free within a beat, and the callbacks are refused",
			Options: atReceivers,
			Inject: func(ctx context.Context, s *stage.Stage, _ *rand.Rand) error {
				keys, err := opened(ctx, s, "cancelled")
				if err != nil {
					return err
				}
				_, err = s.Admin().Exec(ctx, `SELECT outbox.cancel(id) FROM outbox.jobs WHERE payload ->> 'key' = ANY($1)`, keys)
				if err != nil {
					return err
				}
				return stage.Sleep(ctx, 30*time.Second)
			},
			Check: someRefused,
		},
		{
			Name: "receiver-gone", Long: true, Says: "a receiver answers 410: its queue is paused and waits, until the endpoint is set again 4 s later; no job fails",
			Inject: gone,
		},
	}
}

// gone has a receiver answer 410 once.
func gone(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
	queue := pick(r, s.Options.Queues)
	if _, err := s.Insert(ctx, stage.Job{Queue: queue, Plan: []string{"410", "ok"}}); err != nil {
		return err
	}
	if err := stage.Until(ctx, time.Minute, "the endpoint to be disabled", func(ctx context.Context) (ok bool, err error) {
		err = s.Admin().QueryRow(ctx, `SELECT disabled_at IS NOT NULL FROM outbox.endpoints WHERE queue_name = $1`, queue).Scan(&ok)
		return ok, err
	}); err != nil {
		return err
	}
	if err := stage.Sleep(ctx, 4*time.Second); err != nil {
		return err
	}
	return s.SetEndpoint(ctx, queue)
}

func pushServers() []Fault {
	return []Fault{
		{
			Name: "callback-serve-kill", Long: true, Says: "SIGKILL of one of two servers, alive again 1 s later, three times: callbacks without an answer are said again, to the other, and none is lost",
			Options: atReceivers,
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				defer s.Supervise(ctx, stage.Serve, time.Second)()
				for range 3 {
					pick(r, s.Processes(stage.Serve)).Kill()
					if err := stage.Sleep(ctx, 3*time.Second); err != nil {
						return err
					}
				}
				return nil
			},
		},
		{
			Name: "callback-serve-stop", Long: true, Says: "a rolling restart of the servers that receivers call back",
			Options: atReceivers,
			Inject: func(ctx context.Context, s *stage.Stage, _ *rand.Rand) error {
				return stopTurns(ctx, s, stage.Serve)
			},
		},
	}
}

// pushLinks are faults of the wires between push workers and a receiver, and between that
// and the servers that it calls back.
func pushLinks() []Fault {
	return []Fault{
		{
			Name: "endpoint-cut", Long: true, Says: "no push worker reaches the receiver of one queue for 4 s: its jobs fail and come again, and none of the other queue fails",
			Options: atReceivers,
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				l := s.EndpointLink(pick(r, s.Options.Queues))
				l.Cut()
				if err := stage.Sleep(ctx, 4*time.Second); err != nil {
					return err
				}
				return l.Mend()
			},
		},
		{
			Name: "endpoint-reply-lost", Says: "answers of a receiver vanish, four times for 0.3 to 2 s: the work was done, and is asked for again",
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				return vanish(ctx, r, s.EndpointLink(pick(r, s.Options.Queues)))
			},
		},
		{
			Name: "endpoint-hang-ups", Long: true, Says: "every connection to a receiver is closed, 40 times in 8 s, requests and answers on their way included",
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				for range 40 {
					if err := s.EndpointLink(pick(r, s.Options.Queues)).Drop(); err != nil {
						return err
					}
					if err := stage.Sleep(ctx, stage.Between(r, 0, 400*time.Millisecond)); err != nil {
						return err
					}
				}
				return nil
			},
		},
		{
			Name: "callback-reply-lost", Long: true, Says: "answers to callbacks vanish, four times for 0.3 to 2 s, at every server: they are said again, and have the same answer",
			Options: atReceivers,
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				return vanish(ctx, r, callbackLinks(s)...)
			},
		},
	}
}

// callbackLinks are the ways of callbacks to all servers.
func callbackLinks(s *stage.Stage) []*stage.Link {
	var all []*stage.Link
	for _, l := range s.Links("") {
		if strings.HasPrefix(l.Proc, "receiver-") || strings.HasPrefix(l.Proc, "push-") && l.Server != stage.Postgres && l.Server != stage.Redis {
			all = append(all, l)
		}
	}
	return all
}

// vanish loses what links carry back, four times.
func vanish(ctx context.Context, r *rand.Rand, links ...*stage.Link) error {
	for range 4 {
		for _, l := range links {
			if err := l.Swallow(stage.Down); err != nil {
				return err
			}
		}
		if err := stage.Sleep(ctx, stage.Between(r, 300*time.Millisecond, 2*time.Second)); err != nil {
			return err
		}
		for _, l := range links {
			if err := l.Mend(); err != nil {
				return err
			}
		}
		if err := stage.Sleep(ctx, stage.Between(r, 0, time.Second)); err != nil {
			return err
		}
	}
	return nil
}
