package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/penguinmails/rookery/test/chaos/verify"
)

var faultName = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

func TestCatalogue_IsWellFormed(t *testing.T) {
	families := []string{"relay", "worker", "pull", "push", "redis", "cluster", "postgres", "clock", "everything", "marathon"}
	seen := map[string]bool{}
	for _, f := range catalogue() {
		switch {
		case !faultName.MatchString(f.Name) || seen[f.Name] || slices.Contains(families, f.Name):
			t.Errorf("fault %q: its name must be of letters, digits and dashes, its own, and no family's", f.Name)
		case !slices.Contains(families, f.Family):
			t.Errorf("fault %s is of the family %q, want one of %v", f.Name, f.Family, families)
		case f.Says == "" || strings.ContainsAny(f.Says, "|\n") || f.Inject == nil:
			t.Errorf("fault %s lacks what it says, says it with | or in lines, or injects nothing", f.Name)
		}
		seen[f.Name] = true
	}
	for _, name := range shortForm() {
		if !seen[name] {
			t.Errorf("the short form names %q, which is no fault", name)
		}
	}
}

func TestChoose_TakesNamesAndFamilies(t *testing.T) {
	all := catalogue()
	for _, c := range []struct {
		o    settings
		want func(f Fault) bool
	}{
		{settings{}, func(f Fault) bool { return f.Family != "marathon" }},
		{settings{only: "relay,calm"}, func(f Fault) bool { return f.Family == "relay" || f.Name == "calm" }},
		{settings{only: "marathon"}, func(f Fault) bool { return f.Family == "marathon" }},
		{settings{quick: true, only: "worker"}, func(f Fault) bool { return f.Family == "worker" && !f.Long }},
		{settings{short: true}, func(f Fault) bool { return slices.Contains(shortForm(), f.Name) }},
	} {
		got, err := choose(slices.Clone(all), c.o)
		want := slices.DeleteFunc(slices.Clone(all), func(f Fault) bool { return !c.want(f) })
		if err != nil || !slices.Equal(names(got), names(want)) {
			t.Errorf("choose(%+v) = %v, %v, want %v", c.o, names(got), err, names(want))
		}
	}
	if _, err := choose(all, settings{only: "nonsense"}); err == nil {
		t.Error("choose(nonsense) has no error")
	}
}

func names(faults []Fault) []string {
	list := make([]string, len(faults))
	for i, f := range faults {
		list[i] = f.Name
	}
	return list
}

func TestSource_IsTheRunsOwn(t *testing.T) {
	draw := func(o one) uint64 { return o.source().Uint64() }
	a := one{fault: Fault{Name: "a"}, seed: 1, n: 1}
	if first, again := draw(a), draw(a); first != again {
		t.Error("a run that is repeated draws other numbers")
	}
	for _, other := range []one{{fault: a.fault, seed: 2, n: 1}, {fault: a.fault, seed: 1, n: 2}, {fault: Fault{Name: "b"}, seed: 1, n: 1}} {
		if draw(a) == draw(other) {
			t.Errorf("run %d of %s with seed %d draws the numbers of another", other.n, other.fault.Name, other.seed)
		}
	}
}

// A promise is broken when it is exceeded by more than the machine's own waiting.
func TestLimits_AllowForABusyMachine(t *testing.T) {
	began := time.Now()
	for _, c := range []struct {
		took, stood time.Duration
		want        int
	}{{3 * time.Second, 0, 0}, {3*time.Second + 1, 0, 1}, {5 * time.Second, 2 * time.Second, 0}, {5*time.Second + 1, 2 * time.Second, 1}} {
		m := &machine{waits: []wait{{at: began.Add(-time.Second), excess: time.Hour}, {at: began.Add(time.Second), excess: c.stood}, {at: began.Add(2 * time.Second), excess: -usual}}}
		found := &verify.Report{Recovery: verify.Recovery{Back: c.took, NewWork: time.Hour}}
		one{fault: Fault{Back: 3 * time.Second}, machine: m, began: began}.limits(found)
		if len(found.Findings) != c.want {
			t.Errorf("limits(back %s, machine stood %s) = %q, want %d", c.took, c.stood, found.Findings, c.want)
		}
	}
}
