package main

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/penguinmails/rookery/test/chaos/stage"
	"github.com/penguinmails/rookery/test/chaos/verify"
)

// Pieces of a run.
const (
	warmLow, warmHigh = 2 * time.Second, 5 * time.Second // load before the fault
	coolDown          = 2 * time.Second                  // load after it
	restLimit         = 90 * time.Second
	runLimit          = 20 * time.Minute // of everything
)

// one is one run of a fault.
type one struct {
	fault Fault
	seed  uint64
	n     int // which run of the fault
	dir   string

	machine *machine
	began   time.Time
}

// source returns the run's own randomness: seed, fault and number determine it.
func (o one) source() *rand.Rand {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s/%d", o.fault.Name, o.n)
	return rand.New(rand.NewPCG(o.seed, h.Sum64()))
}

// again is the command that repeats the run.
func (o one) again() string {
	return fmt.Sprintf("go run ./test/chaos -seed %d -only %s -first %d -runs 1", o.seed, o.fault.Name, o.n)
}

// play plays a run and returns what was found. The error is the harness's own.
func (o one) play(ctx context.Context, template *stage.Template, bin string) (_ *verify.Report, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, runLimit, errors.New("the run took too long"))
	defer cancel()
	r := o.source()
	options := stage.Options{
		Dir: o.dir, Template: template, Bin: bin, Seed: r.Uint64(),
		Relays: 2, Workers: 2, Producers: 2,
	}
	if o.fault.Options != nil {
		o.fault.Options(&options, r)
	}
	s, err := stage.New(ctx, options)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if o.fault.Prepare != nil {
		if err := o.fault.Prepare(ctx, s); err != nil {
			return nil, fmt.Errorf("prepare: %w", err)
		}
	}
	if err := s.Cast(); err != nil {
		return nil, err
	}
	stopWatching := s.Watch(ctx)
	err = o.act(ctx, s, r)
	stopWatching()
	if err != nil {
		return nil, err
	}
	return o.judge(ctx, s)
}

// act is the load and the fault, and ends at rest, or at a finding of Rest's, which
// the verifier words better.
func (o one) act(ctx context.Context, s *stage.Stage, r *rand.Rand) error {
	if err := s.Flows(ctx); err != nil {
		return err
	}
	if err := stage.Sleep(ctx, stage.Between(r, warmLow, warmHigh)); err != nil {
		return err
	}
	if err := o.fault.Inject(ctx, s, r); err != nil {
		return fmt.Errorf("inject: %w", err)
	}
	if err := stage.Sleep(ctx, coolDown); err != nil {
		return err
	}
	if err := s.Heal(); err != nil {
		return fmt.Errorf("heal: %w", err)
	}
	if err := s.StopProducers(); err != nil {
		return err
	}
	limit := o.fault.Rest
	if limit == 0 {
		limit = restLimit
	}
	// What the machine took, it is given again, once.
	began := time.Now()
	err := s.Rest(ctx, limit)
	if err != nil && ctx.Err() == nil {
		err = s.Rest(ctx, o.machine.stood(began))
	}
	if ctx.Err() != nil {
		return err
	}
	return nil // the verifier says it better
}

func (o one) judge(ctx context.Context, s *stage.Stage) (*verify.Report, error) {
	f, err := s.Facts(ctx)
	if err != nil {
		return nil, err
	}
	window := s.Options.Window
	if window == 0 {
		window = 10_000
	}
	f.Window = int64(window + 500*(len(s.Processes(stage.Relay))+len(s.Processes(stage.API))+len(s.Processes(stage.Serve))))
	f.Allow, f.Stalls = o.fault.Allow, o.machine.stalls(o.began)
	if err := f.Save(filepath.Join(o.dir, "tables.json")); err != nil {
		return nil, err
	}
	found := verify.Check(f)
	if o.fault.Check != nil {
		o.fault.Check(f, found)
	}
	if found.Jobs == 0 {
		found.Add("harness: no job was committed")
	}
	o.limits(found)
	for _, line := range s.Said() {
		if o.fault.Tolerates != "" && strings.Contains(line, o.fault.Tolerates) {
			continue
		}
		found.Add("said: %s", line)
	}
	return found, nil
}

// limits compares the recovery with what is promised, with an allowance for the time
// in which the machine let everybody wait.
func (o one) limits(found *verify.Report) {
	stood := o.machine.stood(o.began)
	for _, l := range []struct {
		what        string
		took, limit time.Duration
	}{
		{"new work flowed", found.Recovery.NewWork, o.fault.NewWork},
		{"what was under way was back", found.Recovery.Back, o.fault.Back},
	} {
		if l.limit > 0 && l.took > l.limit+stood {
			found.Add("slow: %s after %s, at most %s is promised (and the machine let programs wait for %s)", l.what, l.took, l.limit, stood)
		}
	}
}

// tidy removes the run's folder.
func (o one) tidy() {
	_ = os.RemoveAll(o.dir) // what stays is in a temporary folder
}

// keepFiles copies history, tables and logs of a run to folder.
func keepFiles(o one, folder string) {
	_ = os.RemoveAll(folder) // of an earlier run with the same seed
	for _, name := range []string{"history", "tables.json", "log", "pg/log", "redis/log"} {
		from, to := filepath.Join(o.dir, name), filepath.Join(folder, name)
		info, err := os.Stat(from)
		switch {
		case err != nil:
			continue // a run that broke off early has not all
		case info.IsDir():
			err = os.CopyFS(to, os.DirFS(from))
		default:
			err = copyFile(from, to)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "chaos: keep:", err)
		}
	}
}

func copyFile(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o644)
}
