// Command chaos plays faults against a real Rookery, real servers and real
// processes, many times, and prints a table of what came of it. It exits with 1 when
// the verifier has found anything.
//
//	go run ./test/chaos -seed 7 -runs 20 -parallel 6 -only relay,flushall -o table.md
//
// Every line has its own seed: a run that found something is repeated by the command
// printed with it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/penguinmails/rookery/internal/devstack"
	"github.com/penguinmails/rookery/test/chaos/stage"
)

// settings are the command line.
type settings struct {
	seed     uint64
	runs     int
	first    int
	parallel int
	only     string
	short    bool
	quick    bool
	list     bool
	out      string
	keep     string
	bin      string
	work     string
	all      bool
}

// silence is what go-redis may say by itself: the stage looks at Redis while it is
// away, on purpose.
type silence struct{}

// Printf drops what it is given.
func (silence) Printf(context.Context, string, ...any) {}

func main() {
	redis.SetLogger(silence{})
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

// errFindings: the table has said what.
var errFindings = errors.New("findings, see above")

func run(ctx context.Context) error {
	var o settings
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()%1_000_000), "of everything random")
	flag.IntVar(&o.runs, "runs", 1, "of each fault")
	flag.IntVar(&o.first, "first", 1, "number of the first run")
	flag.IntVar(&o.parallel, "parallel", 6, "runs side by side")
	flag.StringVar(&o.only, "only", "", "names or families of faults, by comma")
	flag.BoolVar(&o.short, "short", false, "the few faults of the short form")
	flag.BoolVar(&o.quick, "quick", false, "leave out what is long, or a variant of another fault")
	flag.BoolVar(&o.list, "list", false, "list the faults and end")
	flag.StringVar(&o.out, "o", "", "file for the table, besides stdout")
	flag.StringVar(&o.keep, "keep", filepath.Join(os.TempDir(), "rookery-chaos"), "folder for the logs and histories of runs that found something")
	flag.StringVar(&o.work, "work", memory(), "folder for the stages' servers and files")
	flag.BoolVar(&o.all, "all", false, "keep the files of every run")
	flag.StringVar(&o.bin, "bin", "", "folder with rookery, worker and producer; empty: they are built")
	flag.Parse()
	faults, err := choose(catalogue(), o)
	if err != nil {
		return err
	}
	if o.list {
		for _, f := range faults {
			fmt.Printf("%-32s %-11s %s\n", f.Name, f.Family, f.Says)
		}
		return nil
	}
	return playAll(ctx, o, faults)
}

// memory is /dev/shm where there is one: many clusters side by side are too much for
// a disk, and no fault here is the loss of the machine's power.
func memory() string {
	const folder = "/dev/shm"
	if info, err := os.Stat(folder); err != nil || !info.IsDir() {
		return os.TempDir()
	}
	return folder
}

// choose returns the faults that the command line asks for.
func choose(all []Fault, o settings) ([]Fault, error) {
	var wanted []string
	if o.only != "" {
		wanted = strings.Split(o.only, ",")
	}
	for _, w := range wanted {
		if !slices.ContainsFunc(all, func(f Fault) bool { return f.Name == w || f.Family == w }) {
			return nil, fmt.Errorf("-only: %q is neither a fault nor a family; see -list", w)
		}
	}
	return slices.DeleteFunc(all, func(f Fault) bool {
		if o.short && !slices.Contains(shortForm(), f.Name) || o.quick && f.Long {
			return true
		}
		if wanted != nil {
			return !slices.Contains(wanted, f.Name) && !slices.Contains(wanted, f.Family)
		}
		return f.Family == "marathon"
	}), nil
}

func playAll(ctx context.Context, o settings, faults []Fault) error {
	if err := devstack.InstallTools(ctx, os.Stderr); err != nil {
		return err
	}
	work, err := os.MkdirTemp(o.work, "rookery-chaos-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()     // a folder of our own
	if err := os.Chmod(work, 0o755); err != nil { // servers run as another user
		return err
	}
	if o.bin == "" {
		o.bin = filepath.Join(work, "bin")
		if err := stage.Build(ctx, o.bin); err != nil {
			return err
		}
	}
	template, err := stage.NewTemplate(ctx, filepath.Join(work, "template"), o.bin)
	if err != nil {
		return err
	}
	t := newTable(o, faults)
	player := &player{o: o, work: work, template: template, table: t, machine: &machine{}}
	watched, stop := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() { player.machine.watch(watched) })
	player.playAll(ctx, faults)
	stop()
	watching.Wait()
	fmt.Print(t.String())
	if o.out != "" {
		if err := os.WriteFile(o.out, []byte(t.String()), 0o644); err != nil {
			return err
		}
	}
	if t.findings() > 0 {
		return errFindings
	}
	return context.Cause(ctx)
}

// player plays runs side by side.
type player struct {
	o        settings
	work     string
	template *stage.Template
	table    *table
	machine  *machine
	printing sync.Mutex
}

// playAll plays run 1 of every fault, then run 2, and so on: a table that is broken
// off has a bit of everything. Heavy ones come last, alone.
func (p *player) playAll(ctx context.Context, faults []Fault) {
	for _, heavy := range []bool{false, true} {
		var runs sync.WaitGroup
		places := make(chan struct{}, max(1, p.o.parallel))
		if heavy {
			places = make(chan struct{}, 1)
		}
		for n := p.o.first; n < p.o.first+p.o.runs; n++ {
			for _, f := range faults {
				if f.Heavy != heavy || ctx.Err() != nil {
					continue
				}
				places <- struct{}{}
				runs.Go(func() {
					defer func() { <-places }()
					p.playOne(ctx, one{fault: f, seed: p.o.seed, n: n, dir: filepath.Join(p.work, fmt.Sprintf("%s-%d", f.Name, n)), machine: p.machine, began: time.Now()})
				})
			}
		}
		runs.Wait()
	}
}

func (p *player) playOne(ctx context.Context, o one) {
	start := time.Now()
	found, err := o.play(ctx, p.template, p.o.bin)
	if ctx.Err() != nil {
		return // broken off by hand
	}
	p.table.add(o, found, err)
	bad := err != nil || len(found.Findings) > 0 || p.o.all
	kept := ""
	if bad {
		kept = filepath.Join(p.o.keep, fmt.Sprintf("%d-%s-%d", o.seed, o.fault.Name, o.n))
		keepFiles(o, kept)
	}
	o.tidy()
	p.printing.Lock()
	defer p.printing.Unlock()
	fmt.Fprint(os.Stderr, line(o, found, err, time.Since(start), kept))
	if stood := p.machine.stood(o.began); stood > time.Second {
		fmt.Fprintf(os.Stderr, "    the machine let programs wait for %s\n", stood)
	}
}
