package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/penguinmails/rookery/bench/lab"
	"github.com/penguinmails/rookery/bench/report"
	"github.com/penguinmails/rookery/bench/workloads"
)

var here = lab.Facts{CPU: "one", Cores: 2, Commit: "new"}

// bookCases are two workloads; of each file the first case is asked for.
func bookCases() []workloads.Case {
	return []workloads.Case{
		{Workload: "a", Name: "first", Systems: []string{"rookery", "river"}},
		{Workload: "a", Name: "second", Systems: []string{"rookery", "river"}},
		{Workload: "b", Name: "first", Systems: []string{"rookery"}},
	}
}

// saved writes results of an earlier call, whose runs say nothing of their commit.
func saved(t *testing.T, folder string, machine lab.Facts, runs ...workloads.Run) {
	t.Helper()
	r := &report.Results{Workload: "a", Command: "go run . run", Machine: machine, Runs: runs}
	if err := write(filepath.Join(folder, "a.json"), r); err != nil {
		t.Fatal(err)
	}
}

func runOf(name, system string, round int) workloads.Run {
	return workloads.Run{Workload: "a", Case: name, System: system, Round: round}
}

func TestBook_KeepsWhatIsNotMeasuredAnew(t *testing.T) {
	folder := t.TempDir()
	old := here
	old.Commit = "old"
	saved(t, folder, old, runOf("first", "rookery", 1), runOf("first", "river", 1), runOf("first", "rookery", 2),
		runOf("second", "river", 1), runOf("gone", "rookery", 1))
	all := bookCases()
	b, err := openBook(folder, here, all[:2], all)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []workloads.Run{runOf("second", "rookery", 1), runOf("first", "rookery", 1), runOf("first", "rookery", 2), runOf("first", "rookery", 3)} {
		if err := b.add(r); err != nil {
			t.Fatal(err)
		}
	}
	file, err := report.Read(filepath.Join(folder, "a.json"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range file.Runs {
		got = append(got, strings.Join([]string{r.Case, r.System, string(rune('0' + r.Round)), r.Commit}, " "))
	}
	want := []string{
		"first rookery 1 new", "first rookery 2 new", "first rookery 3 new", "first river 1 old",
		"second rookery 1 new", "second river 1 old", "gone rookery 1 old",
	}
	if !slices.Equal(got, want) {
		t.Errorf("runs in the file:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if i := slices.IndexFunc(file.Runs, func(r workloads.Run) bool { return r.System == "river" }); file.Runs[i].Command != "go run . run" {
		t.Errorf("command of a run that was kept = %q, want that of its own call", file.Runs[i].Command)
	}
	if file.Machine != here || file.Command != b.command {
		t.Errorf("file is of %+v by %q, want the last call's %+v by %q", file.Machine, file.Command, here, b.command)
	}
	if _, err := os.Stat(filepath.Join(folder, "b.json")); !os.IsNotExist(err) {
		t.Errorf("Stat of a file for which nothing was measured = %v, want none", err)
	}
}

func TestOpenBook_RefusesAnotherMachine(t *testing.T) {
	folder := t.TempDir()
	saved(t, folder, lab.Facts{CPU: "one", Cores: 4}, runOf("first", "rookery", 1))
	all := bookCases()
	if _, err := openBook(folder, here, all, all); err == nil || !strings.Contains(err.Error(), "another machine") {
		t.Errorf("openBook beside results of 4 cores = %v, want an error that says so", err)
	}
	if _, err := openBook(folder, here, all[2:], all); err != nil {
		t.Errorf("openBook for another workload = %v, want none", err)
	}
}

func TestNodeSystems_LeavesThemOutWithoutNode(t *testing.T) {
	cases := []workloads.Case{{Systems: []string{"rookery", "bullmq", "pg-boss-bench"}}}
	left, without := nodeSystems(t.TempDir(), cases) // in which nothing is installed
	if !without || !slices.Equal(left[0].Systems, []string{"rookery"}) {
		t.Errorf("nodeSystems = %v, %t, want rookery alone, true", left[0].Systems, without)
	}
	if len(cases[0].Systems) != 3 {
		t.Errorf("nodeSystems changed its argument to %v", cases[0].Systems)
	}
}
