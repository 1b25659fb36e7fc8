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

// flushStep is a line of the protocol's FLUSHALL table: a process that stands between
// two steps while Redis loses everything, and then goes on.
type flushStep struct {
	role      stage.Role
	point     string
	says      string
	provoke   func(ctx context.Context, s *stage.Stage, r *rand.Rand) error // what leads there; nil: the load does
	low, high time.Duration                                                 // how long it stands in all
	back      time.Duration
	long      bool
}

// Frozen for less than what its leases live without renewal, and for more.
const (
	briefLow, briefHigh = time.Second, 4 * time.Second
	deadLow, deadHigh   = 18 * time.Second, 22 * time.Second
)

var flushSteps = []flushStep{
	{stage.Relay, "relay.after_claim", "between D1 and D2: its push meets another life", nil, briefLow, briefHigh, lostBack, false},
	{stage.Relay, "relay.after_push", "between D2 and D3: it records a seq of an ended epoch", nil, briefLow, briefHigh, lostBack, false},
	{stage.Relay, "relay.after_record", "between D3 and take: the window is gone", nil, briefLow, briefHigh, lostBack, true},
	{stage.Relay, "relay.after_takeover", "in recovery, with the batch of a dead relay in its hands", killAfterClaim, briefLow, briefHigh, 2 * lostBack, true},
	{stage.Relay, "relay.after_expired", "between expired and lose: leases were moved to lost, Postgres does not know", killWorkers, briefLow, briefHigh, 3 * lostBack, true},
	{stage.Relay, "relay.after_requeue", "between lose and drop: Postgres knows, lost still has them", killWorkers, briefLow, briefHigh, 3 * lostBack, true},
	{stage.Relay, "relay.after_begin_epoch", "settling a FLUSHALL: the next epoch was begun in Postgres, not opened in Redis", flushBacklog, briefLow, briefHigh, 3 * lostBack, true},
	{stage.Relay, "relay.after_missing", "settling a FLUSHALL: between missing and lose", flushBacklog, briefLow, briefHigh, 3 * lostBack, true},
	{stage.Worker, "worker.after_take", "between take and run: it announces, and goes on", nil, briefLow, briefHigh, lostBack, true},
	{stage.Worker, "worker.in_handler", "right before a handler: it announces, and goes on", nil, briefLow, briefHigh, lostBack, true},
	{stage.Worker, "worker.before_reconcile", "with outcomes that Postgres does not know: they are accepted", nil, briefLow, briefHigh, lostBack, true},
	{stage.Worker, "worker.before_ack", "between outcome and ack: the ack finds nothing", nil, briefLow, briefHigh, lostBack, true},
	{stage.Worker, "worker.after_take", "between take and run, longer than its leases live", nil, deadLow, deadHigh, 2 * lostBack, true},
	{stage.Worker, "worker.before_reconcile", "with outcomes that Postgres does not know, longer than its leases live: they are refused", nil, deadLow, deadHigh, 2 * lostBack, true},
}

func flushFaults() []Fault {
	all := []Fault{
		{
			Name: "flushall", Says: "FLUSHALL at a random moment. Both count from there",
			Options: someBusy,
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				if err := flushAll(ctx, s, r); err != nil {
					return err
				}
				return stage.Sleep(ctx, 3*time.Second)
			},
			NewWork: lostFlows, Back: lostBack,
		},
		{
			Name: "flushall-backlog", Says: "FLUSHALL while 600 jobs of 50 ms wait in Redis. Both count from there",
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				if err := flushBacklog(ctx, s, r); err != nil {
					return err
				}
				return stage.Sleep(ctx, 3*time.Second)
			},
			NewWork: lostFlows, Back: lostBack,
		},
		{
			Name: "flushall-twice", Long: true, Says: "FLUSHALL, and again 0.05 to 16 s later, while the first is being settled; jobs of 15 to 40 s run on. New work: from each",
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				if err := longJobs(ctx, s, r); err != nil {
					return err
				}
				if err := flushBacklog(ctx, s, r); err != nil {
					return err
				}
				if err := stage.Sleep(ctx, stage.Between(r, 50*time.Millisecond, 16*time.Second)); err != nil {
					return err
				}
				if err := flushAll(ctx, s, r); err != nil {
					return err
				}
				return stage.Sleep(ctx, 3*time.Second)
			},
			NewWork: lostFlows, Back: 2 * lostBack,
		},
		{
			Name: "flushall-rain", Long: true, Says: "ten FLUSHALLs within 20 s, and jobs of 15 to 40 s that run on",
			Inject: func(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
				if err := longJobs(ctx, s, r); err != nil {
					return err
				}
				for range 10 {
					if err := flushAll(ctx, s, r); err != nil {
						return err
					}
					if err := stage.Sleep(ctx, stage.Between(r, 0, 4*time.Second)); err != nil {
						return err
					}
				}
				return nil
			},
			Back: 3 * lostBack,
		},
		{
			Name: "flushall-cancel", Long: true, Says: "50 waiting and running jobs are cancelled, then FLUSHALL before take or heartbeat know: none of them runs once more, running handlers are told",
			Inject: flushCancelled, Check: toldOfCancel, Back: lostBack,
		},
	}
	for _, step := range flushSteps {
		all = append(all, step.fault())
	}
	return all
}

func (step flushStep) fault() Fault {
	name := "flushall-" + strings.ReplaceAll(strings.ReplaceAll(step.point, ".", "-"), "_", "-")
	if step.low > lostBack/2 {
		name += "-dead"
	}
	return Fault{
		Name: name, Long: step.long,
		Says:    fmt.Sprintf("a %s stands (SIGSTOP) %s, for %.0f to %.0f s; FLUSHALL meanwhile", step.role, step.says, step.low.Seconds(), step.high.Seconds()),
		Options: step.options,
		Inject:  step.inject,
		Back:    step.back,
	}
}

func (step flushStep) options(o *stage.Options, r *rand.Rand) {
	switch {
	case step.provoke != nil: // who gets there must be the armed one
		o.Relays = 1
		busy(o, r)
	default:
		someBusy(o, r)
	}
}

func (step flushStep) inject(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
	nth := 1
	if step.provoke == nil {
		nth += r.IntN(20)
	}
	p := s.Processes(step.role)[0]
	if err := rearm(p, fmt.Sprintf("%s:%d:stop", step.point, nth)); err != nil {
		return err
	}
	if step.provoke != nil {
		if err := stage.Sleep(ctx, 2*time.Second); err != nil { // it comes to know the queues
			return err
		}
		if err := step.provoke(ctx, s, r); err != nil {
			return err
		}
	}
	if err := stage.Until(ctx, 60*time.Second, p.Name+" standing at "+step.point, func(context.Context) (bool, error) { return p.Stands(), nil }); err != nil {
		return err
	}
	if err := s.Log.Note(history.Act{Word: history.Frozen, Proc: p.Name, PID: p.PID()}); err != nil {
		return err
	}
	defer p.Thaw()
	if step.provoke != nil {
		if _, err := s.Start(stage.Relay, "relay-heir"); err != nil {
			return err
		}
	}
	before := stage.Between(r, 0, step.low)
	if err := stage.Sleep(ctx, before); err != nil {
		return err
	}
	if err := flushAll(ctx, s, r); err != nil {
		return err
	}
	return stage.Sleep(ctx, stage.Between(r, step.low, step.high)-before)
}

// flushBacklog loses a window with jobs in it.
func flushBacklog(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
	if err := backlog(ctx, s, r, 600); err != nil {
		return err
	}
	return flushAll(ctx, s, r)
}

// flushCancelled cancels what waits and what runs, and flushes before anybody can
// have heard of it, or some time after.
func flushCancelled(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
	jobs := make([]stage.Job, 50)
	for i := range jobs {
		jobs[i] = stage.Job{MS: 25_000, Queue: pick(r, s.Options.Queues), Want: "cancelled"}
	}
	keys, err := s.Insert(ctx, jobs...)
	if err != nil {
		return err
	}
	if err := stage.Sleep(ctx, stage.Between(r, 300*time.Millisecond, 2*time.Second)); err != nil {
		return err
	}
	if _, err := s.Admin().Exec(ctx, `SELECT outbox.cancel(id) FROM outbox.jobs WHERE payload ->> 'key' = ANY($1)`, keys); err != nil {
		return fmt.Errorf("cancel: %w", err)
	}
	if err := stage.Sleep(ctx, stage.Between(r, 0, 300*time.Millisecond)); err != nil {
		return err
	}
	if err := flushAll(ctx, s, r); err != nil {
		return err
	}
	return stage.Sleep(ctx, 3*time.Second)
}

// toldOfCancel wants every handler of a job that the stage has cancelled to have been
// told.
func toldOfCancel(f *verify.Facts, found *verify.Report) {
	for _, a := range f.Acts {
		if a.Word == history.Finished && strings.HasPrefix(a.Key, "stage.") && a.How == "ok" {
			found.Add("cancel: the handler of job %s (%d) was not told", a.Key, a.ID)
		}
	}
}
