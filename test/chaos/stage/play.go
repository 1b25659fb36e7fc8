package stage

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/penguinmails/rookery/test/chaos/history"
)

// Cast starts the processes of the Options: relays, servers, receivers, then workers of all kinds, then producers.
func (s *Stage) Cast() error {
	o := s.Options
	for _, c := range []struct {
		role Role
		name string
		n    int
	}{
		{Relay, "relay", o.Relays}, {API, "api", apis(o.API)}, {Serve, "serve", o.Servers},
		{Receiver, "receiver", len(s.endpoints)}, {Push, "push", o.Pushers},
		{Worker, "worker", o.Workers}, {Client, "client", o.Clients}, {Producer, "producer", o.Producers},
	} {
		for i := range c.n {
			if _, err := s.Start(c.role, fmt.Sprintf("%s-%d", c.name, i+1)); err != nil {
				return err
			}
		}
	}
	if o.API {
		api := s.Processes(API)[0]
		_, err := s.Start(Producer, "producer-http", "CHAOS_HTTP=http://"+api.HTTP())
		return err
	}
	return nil
}

// Flows waits until every relay and worker is up, and jobs are handed out when there
// is somebody who inserts them. On a busy machine this takes longer than the load
// before a fault, which would then hit nothing.
func (s *Stage) Flows(ctx context.Context) error {
	want := len(s.Processes(Relay)) + len(s.Processes(API)) + len(s.Processes(Serve)) + len(s.Processes(Worker)) + len(s.Processes(Push))*len(s.Options.Queues)
	jobs := 5
	if len(s.Processes(Producer)) == 0 || len(s.Processes(Worker))+len(s.Processes(Client))+len(s.Processes(Push)) == 0 || len(s.Processes(Relay))+len(s.Processes(API))+len(s.Processes(Serve)) == 0 {
		jobs = 0
	}
	return Until(ctx, time.Minute, "the load flows", func(ctx context.Context) (ok bool, err error) {
		err = s.Admin().QueryRow(ctx, `SELECT (SELECT count(*) FROM outbox.processes) >= $1
			AND (SELECT count(*) FROM chaos.changes WHERE becomes = 'dispatched') >= $2`, want, jobs).Scan(&ok)
		return ok, err
	})
}

// Sleep waits for d. The error is ctx's.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Between returns a random duration from low to high.
func Between(r *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(r.Int64N(int64(high-low)+1))
}

// Until asks every 50 ms until yes says so; the error names what was waited for.
func Until(ctx context.Context, limit time.Duration, what string, yes func(ctx context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("%s: not within %s", what, limit))
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		asked, done := context.WithTimeout(ctx, 5*time.Second)
		ok, err := yes(asked)
		done()
		if ok && err == nil {
			return nil
		}
		if err != nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), last)
		case <-tick.C:
		}
	}
}

// Supervise starts processes of a role again, each after it has been gone for after,
// until stop is called: what systemd does. The next life gets no failpoint.
func (s *Stage) Supervise(ctx context.Context, role Role, after time.Duration) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		gone := map[*Process]time.Time{}
		for Sleep(ctx, 20*time.Millisecond) == nil {
			for _, p := range s.Processes(role) {
				switch since, known := gone[p]; {
				case p.Alive():
					delete(gone, p)
				case !known:
					gone[p] = time.Now()
				case time.Since(since) >= after:
					if p.Start() == nil {
						delete(gone, p)
					}
				}
			}
		}
	}()
	return func() { cancel(); <-done }
}

// Heal ends every fault that processes and links have: links are mended, frozen
// processes are thawed, those that have ended are started again.
func (s *Stage) Heal() error {
	var errs []error
	for _, l := range s.Links("") {
		if l.faulty() {
			errs = append(errs, l.Mend())
		}
	}
	for _, p := range s.Processes("") {
		p.mu.Lock()
		frozen := p.frozen
		p.mu.Unlock()
		if frozen {
			p.Thaw()
		}
		errs = append(errs, p.Start())
	}
	return errors.Join(errs...)
}

// Busiest returns the worker, or client, that runs most jobs just now: a fault that hits an idle
// one shows little.
func (s *Stage) Busiest() (*Process, error) {
	acts, err := history.Read(s.History())
	if err != nil {
		return nil, err
	}
	running := map[int]int{} // by PID
	for _, a := range acts {
		switch a.Word { //nolint:exhaustive // the others are not about a run
		case history.Started:
			running[a.PID]++
		case history.Finished:
			running[a.PID]--
		}
	}
	workers := slices.Concat(s.Processes(Worker), s.Processes(Client))
	best := workers[0]
	for _, p := range workers[1:] {
		if running[p.PID()] > running[best.PID()] {
			best = p
		}
	}
	return best, nil
}

// StopProducers ends the load, so that every job's fate is known.
func (s *Stage) StopProducers() error {
	var errs []error
	for _, p := range s.Processes(Producer) {
		errs = append(errs, p.Stop(20*time.Second))
	}
	errs = append(errs, s.Log.Note(history.Act{Word: history.Stopped}))
	return errors.Join(errs...)
}
