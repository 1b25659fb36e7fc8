package workloads

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/penguinmails/rookery/bench/lab"
)

// stage is one system at work: relays, workers and producers, timed and counted.
type stage struct {
	*lab.Lab
	bench   *Bench
	system  string
	relays  []*lab.Actor
	workers []*lab.Actor

	before lab.Usage
	cpu    map[string]float64
	began  time.Time
}

func (b *Bench) stage(ctx context.Context, system string, settings map[string]string, env ...string) (*stage, error) {
	l, err := b.open(ctx, system, settings, env...)
	return &stage{Lab: l, bench: b, system: system}, err
}

// relayed reports whether a system has relays.
func relayed(system string) bool { return strings.HasPrefix(system, "rookery") || system == "floor" }

// backlog inserts jobs and waits until they are in.
func (s *stage) backlog(ctx context.Context, jobs int64, args ...string) (float64, error) {
	p, err := s.Start(ctx, "producers", "produce", false, append([]string{"-jobs", num(jobs), "-per-tx", "500", "-producers", "4"}, args...)...)
	if err != nil {
		return 0, err
	}
	if err := p.Go(); err != nil {
		return 0, err
	}
	_, seconds, err := p.Wait(ctx)
	return seconds, err
}

// work starts workers, and then relays, so that nothing is handed out beforehand.
func (s *stage) work(ctx context.Context, workers, relays int, recorded bool, args ...string) error {
	for range workers {
		w, err := s.Start(ctx, "workers", "work", recorded, args...)
		if err != nil {
			return err
		}
		s.workers = append(s.workers, w)
	}
	if !relayed(s.system) {
		return nil
	}
	for range relays {
		r, err := s.Start(ctx, "relay", "relay", false)
		if err != nil {
			return err
		}
		s.relays = append(s.relays, r)
	}
	return nil
}

// count begins to count what is used.
func (s *stage) count(ctx context.Context) error {
	if _, err := s.Pool.Exec(ctx, `CHECKPOINT`); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	var err error
	s.before, err = s.Counters(ctx)
	s.cpu, s.began = s.CPU(), time.Now()
	return err
}

// ran waits until the workers have run so many jobs, and returns when.
func (s *stage) ran(ctx context.Context, jobs int64) (time.Time, error) {
	deadline := time.Now().Add(10 * time.Minute)
	for {
		var sum int64
		changes := make([]<-chan struct{}, len(s.workers))
		for i, w := range s.workers {
			var n int64
			n, changes[i] = w.Ran()
			sum += n
		}
		if sum >= jobs {
			return time.Now(), nil
		}
		if time.Now().After(deadline) {
			return time.Time{}, fmt.Errorf("%d of %d jobs ran in 10 minutes", sum, jobs)
		}
		select {
		case <-ctx.Done():
			return time.Time{}, ctx.Err()
		case <-changes[0]: // the others tell within 20 ms
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// recorded waits until the system's own store records all jobs as completed. The
// time is when the look began that found none left: at the latest then they were.
func (s *stage) recorded(ctx context.Context) (time.Time, error) {
	for range 3000 {
		asked := time.Now()
		a, err := s.Ask(ctx, "left")
		if err != nil {
			return asked, err
		}
		if a.Left == 0 {
			return asked, nil
		}
		select {
		case <-ctx.Done():
			return asked, ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	return time.Time{}, fmt.Errorf("jobs have run that %s does not record as completed", s.system)
}

// done ends the actors and fills in what the run has used.
func (s *stage) done(ctx context.Context, r *Run) error {
	if r.CPU == nil {
		r.CPU = lab.Minus(s.CPU(), s.cpu)
	}
	for _, a := range append(s.workers, s.relays...) {
		if err := a.Stop(ctx); err != nil {
			return err
		}
	}
	after, err := s.Counters(ctx)
	if err != nil {
		return err
	}
	if b := s.bench; b.counted && b.Statements > 0 {
		top, err := s.Statements(ctx, b.Statements)
		if err != nil {
			return err
		}
		for _, t := range top {
			b.Log("  %9.1f ms, %7.0f calls of %7.3f ms, %8.0f rows: %s", t.Ms, t.Calls, t.Ms/t.Calls, t.Rows, t.Text)
		}
	}
	u := after.Minus(s.before)
	u.Mallocs, u.MallocBytes = s.Allocations()
	r.Usage = &u
	return nil
}

func num[T int | int64](n T) string { return strconv.FormatInt(int64(n), 10) }
