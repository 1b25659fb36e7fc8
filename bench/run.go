package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/penguinmails/rookery/bench/lab"
	"github.com/penguinmails/rookery/bench/report"
	"github.com/penguinmails/rookery/bench/workloads"
)

// run measures the workloads that are asked for, and writes one file of results for
// each: results/a.json and so on, or, of a short run, results/short/a.json.
func run(ctx context.Context, short bool, args []string) error {
	f := flag.NewFlagSet("run", flag.ContinueOnError)
	letters := f.String("workloads", "", "comma-separated, e.g. a,b; all when empty")
	only := f.String("cases", "", "comma-separated names of cases; all when empty")
	systems := f.String("systems", "", "comma-separated; all when empty")
	rounds := f.Int("rounds", 3, "how often each is measured, interleaved")
	dir := f.String("dir", ".", "the folder of bench")
	into := f.String("results", "", "folder; results, or results/short")
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
	b := &workloads.Bench{Dir: *dir, Short: short, Log: func(format string, args ...any) {
		fmt.Printf("%s "+format+"\n", append([]any{time.Now().UTC().Format("15:04:05")}, args...)...)
	}}
	var cases []workloads.Case
	for _, c := range workloads.Cases(b) {
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
	command := "go run . " + strings.Join(os.Args[1:], " ")
	files := map[string]*report.Results{}
	err = b.All(ctx, cases, split(*systems), *rounds, func(r workloads.Run) {
		file := files[r.Workload]
		if file == nil {
			file = &report.Results{Workload: r.Workload, Command: command, Machine: machine}
			files[r.Workload] = file
		}
		file.Runs = append(file.Runs, r)
		if err := write(filepath.Join(*into, r.Workload+".json"), file); err != nil {
			b.Log("cannot write results: %v", err)
		}
	})
	for _, letter := range slices.Sorted(keys(files)) {
		report.Print(os.Stdout, files[letter])
	}
	return err
}

func keys[V any](m map[string]V) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
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
