package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/penguinmails/rookery/bench/lab"
	"github.com/penguinmails/rookery/bench/report"
	"github.com/penguinmails/rookery/bench/workloads"
)

// run measures the workloads that are asked for, and writes one file of results for
// each: results/a.json and so on, or, of a short run, results/short/a.json. What a
// file holds of other cases and systems stays there.
func run(ctx context.Context, short bool, args []string) error {
	f := flag.NewFlagSet("run", flag.ContinueOnError)
	letters := f.String("workloads", "", "comma-separated, e.g. a,b; all when empty")
	only := f.String("cases", "", "comma-separated names of cases; all when empty")
	systems := f.String("systems", "", "comma-separated; all when empty")
	rounds := f.Int("rounds", 3, "how often each is measured, interleaved")
	dir := f.String("dir", ".", "the folder of bench")
	into := f.String("results", "", "folder; results, or results/short")
	statements := f.Int("statements", 0, "of runs in which they are counted, print so many that took the most time")
	if err := f.Parse(args); err != nil {
		return err
	}
	if short {
		*rounds = 1
	}
	if *into == "" {
		*into = filepath.Join(*dir, "results")
		if short {
			*into = filepath.Join(*into, "short")
		}
	}
	b := &workloads.Bench{Dir: *dir, Short: short, Statements: *statements, Log: func(format string, args ...any) {
		fmt.Printf("%s "+format+"\n", append([]any{time.Now().UTC().Format("15:04:05")}, args...)...)
	}}
	all := workloads.Cases(b)
	present, without := nodeSystems(*dir, all)
	if without {
		b.Log("no Node or no node/node_modules (npm ci): without the systems written for it")
	}
	var cases []workloads.Case
	for _, c := range present {
		if chosen(*letters, c.Workload) && chosen(*only, c.Name) {
			cases = append(cases, c)
		}
	}
	if len(cases) == 0 {
		return errors.New("no case has that workload and name")
	}
	machine, err := lab.Machine(ctx)
	if err != nil {
		return err
	}
	kept, err := openBook(*into, machine, cases, all)
	if err != nil {
		return err
	}
	err = b.All(ctx, cases, split(*systems), *rounds, func(r workloads.Run) {
		if err := kept.add(r); err != nil {
			b.Log("cannot write results: %v", err)
		}
	})
	kept.print(os.Stdout)
	return err
}

// nodeSystems leaves out the systems written for Node where it, or what npm installs
// into node/, is missing, and reports whether it did.
func nodeSystems(dir string, cases []workloads.Case) (left []workloads.Case, without bool) {
	_, missing := exec.LookPath("node")
	if _, err := os.Stat(filepath.Join(dir, "node", "node_modules")); missing == nil && err == nil {
		return cases, false
	}
	for _, c := range cases {
		c.Systems = slices.DeleteFunc(slices.Clone(c.Systems), lab.Node)
		left = append(left, c)
	}
	return left, true
}

// book is the files of results that a call of run writes. Runs of earlier calls stay
// in them, save those of the systems that this one measures in the same case; which
// commit and command a run is of stands in the run.
type book struct {
	folder  string
	command string
	machine lab.Facts
	order   map[pair]int // of cases and systems in a file
	files   map[string]*report.Results
	anew    map[pair]bool // measured by this call
}

// pair is what has its runs replaced together.
type pair struct{ workload, name, system string }

func pairOf(r workloads.Run) pair { return pair{r.Workload, r.Case, r.System} }

// openBook reads the files in folder that cases will write to, in which runs stand in
// the order of all cases. A file from another machine is an error: its runs could not
// be compared, and are not ours to delete.
func openBook(folder string, machine lab.Facts, cases, all []workloads.Case) (*book, error) {
	b := &book{folder: folder, command: "go run . " + strings.Join(os.Args[1:], " "), machine: machine,
		order: map[pair]int{}, files: map[string]*report.Results{}, anew: map[pair]bool{}}
	for _, c := range all {
		for _, system := range c.Systems {
			b.order[pair{c.Workload, c.Name, system}] = len(b.order)
		}
	}
	for _, c := range cases {
		if b.files[c.Workload] != nil {
			continue
		}
		file, err := report.Read(b.path(c.Workload))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			file = &report.Results{Workload: c.Workload}
		case err != nil:
			return nil, fmt.Errorf("read results of earlier calls: %w", err)
		case file.Machine.CPU != machine.CPU || file.Machine.Cores != machine.Cores:
			return nil, fmt.Errorf("%s is of another machine (%d cores of %s): move it away, or give -results another folder", b.path(c.Workload), file.Machine.Cores, file.Machine.CPU)
		}
		for i := range file.Runs { // written before runs said so themselves
			if r := &file.Runs[i]; r.Commit == "" {
				r.Commit, r.Command = file.Machine.Commit, file.Command
			}
		}
		b.files[c.Workload] = file
	}
	return b, nil
}

func (b *book) path(workload string) string { return filepath.Join(b.folder, workload+".json") }

// add writes a run down. The first of its system and case replaces those of earlier
// calls, so a call that ends early costs none that it has not measured.
func (b *book) add(r workloads.Run) error {
	file, p := b.files[r.Workload], pairOf(r)
	if !b.anew[p] {
		file.Runs = slices.DeleteFunc(file.Runs, func(old workloads.Run) bool { return pairOf(old) == p })
		b.anew[p] = true
	}
	r.Commit, r.Command = b.machine.Commit, b.command
	file.Runs = append(file.Runs, r)
	file.Command, file.Machine = b.command, b.machine
	place := func(r workloads.Run) int {
		if i, ok := b.order[pairOf(r)]; ok {
			return i
		}
		return len(b.order)
	}
	slices.SortStableFunc(file.Runs, func(x, y workloads.Run) int { return cmp.Compare(place(x), place(y)) })
	return write(b.path(r.Workload), file)
}

// print prints the files that this call has written to.
func (b *book) print(w io.Writer) {
	written := map[string]bool{}
	for p := range b.anew {
		written[p.workload] = true
	}
	for _, letter := range slices.Sorted(maps.Keys(written)) {
		report.Print(w, b.files[letter])
	}
}

func chosen(list, name string) bool { return list == "" || slices.Contains(split(list), name) }

func split(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}

func write(path string, results *report.Results) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	data, err := json.MarshalIndent(results, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}
