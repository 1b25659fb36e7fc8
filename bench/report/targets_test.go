package report

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/penguinmails/rookery/bench/workloads"
)

func withRate(v float64) with { return func(r *workloads.Run) { r.Rate = v } }

// findTarget returns the only target of a workload whose text holds words.
func findTarget(t *testing.T, all []Target, letter, words string) Target {
	t.Helper()
	var found []Target
	for _, target := range all {
		if target.Workload == letter && strings.Contains(target.Text, words) {
			found = append(found, target)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d targets of %s hold %q, want 1: %+v", len(found), letter, words, all)
	}
	return found[0]
}

func TestTargets_MetAtTheirLimits(t *testing.T) {
	t.Parallel()
	all := Targets(setOf(atTheLimits()...))
	if len(all) != 22 {
		t.Errorf("%d targets, want 22", len(all))
	}
	for _, target := range all {
		if target.Verdict != Met {
			t.Errorf("%s %s: %s of %s is %s, want met", target.Workload, target.Text, target.Measured, target.Limit, target.Verdict)
		}
	}
}

func TestTargets_MissedJustBeyond(t *testing.T) {
	t.Parallel()
	below := func(v float64) float64 { return math.Nextafter(v, 0) * (1 - 1e-9) }
	above := func(v float64) float64 { return v * (1 + 1e-9) }
	for _, c := range []struct {
		letter, words string
		name, system  string
		change        with
	}{
		{"a", "river-bench", "drain-100k", rival, withRate(above(10_000))},
		{"a", "floor", "drain-100k", "floor", withRate(above(40_000 / 0.7))},
		{"b", "jobs/s, of river-bench", together, rival, withRate(above(6000))},
		{"b", "asynq", together, "asynq", withRate(above(4000))},
		{"b", "CPU", together, ours, withCPU(above(100))},
		{"b", "WAL", together, ours, withWAL(above(620))},
		{"c", "river-bench", single, rival, withRate(above(1000))},
		{"c", "ordinary", single, "rookery-sql", withExtra(inserts, below(6000))},
		{"e", "200 jobs/s: commit to start, p50", "rate-200", ours, withWait(started, above(1.5), 10)},
		{"e", "200 jobs/s: commit to start, p99", "rate-200", ours, withWait(started, 1.5, above(10))},
		{"e", "1,000 jobs/s: commit to start, p50", "rate-1000", ours, withWait(started, above(1.5), 10)},
		{"e", "1,000 jobs/s: commit to start, p99", "rate-1000", ours, withWait(started, 1.5, above(10))},
		{"g", "last tenth", steady, ours, withExtra("last_tenth", below(9500))},
		{"g", "rows of ready", steady, ours, withDead("ready", 5, 10, 21, 3)},
		{"g", "rows of jobs", steady, ours, withDead("jobs", 10, 0, 0, 21)},
		{"h", "snapshot", snapshot, ours, withRate(below(9000))},
		{"i", "backlog of 10,000,000", backlog + "10000000", ours, withRate(below(8500))},
		{"i", "Redis", backlog + "10000", ours, withExtra("redis_mb", 50)}, // of whichever backlog is highest
		{"j", "p99", waiting + "1000000", ours, withWait(started, 2, above(10))},
		{"k", "p99", schedule, ours, withWait(punctual, 5, above(50))},
		{"k", "inserting", schedule, ours, withExtra(asNow, below(0.9))},
		{"l", "8 workers", eight, ours, withRate(below(9500))},
	} {
		all := Targets(setOf(changed(atTheLimits(), c.letter, c.name, c.system, c.change)...))
		for _, target := range all {
			want := Met
			if target.Workload == c.letter && strings.Contains(target.Text, c.words) {
				want = Missed
			}
			if target.Verdict != want {
				t.Errorf("after %s %q: %s %q (%s of %s) = %s, want %s", c.letter, c.words, target.Workload, target.Text, target.Measured, target.Limit, target.Verdict, want)
			}
		}
		if target := findTarget(t, all, c.letter, c.words); target.Measured == strings.TrimLeft(target.Limit, "≥≤ ") {
			t.Errorf("%s %q shows %s, which is not missed", c.letter, c.words, target.Measured)
		}
	}
}

func TestTargets_NotMeasured(t *testing.T) {
	t.Parallel()
	for _, target := range Targets(Set{}) {
		if target.Verdict != NotMeasured || target.Measured != none || target.Figures != "" {
			t.Errorf("without results: %+v", target)
		}
	}
	for _, gone := range atTheLimits() {
		runs := slices.DeleteFunc(atTheLimits(), func(r workloads.Run) bool {
			return r.Workload == gone.Workload && r.Case == gone.Case && r.System == gone.System
		})
		for _, target := range Targets(setOf(runs...)) {
			if target.Verdict == Missed && !strings.Contains(target.Text, "rookery (the faster way)") {
				t.Errorf("without %s %s %s: %q (%s) is missed, want met or not measured", gone.Workload, gone.Case, gone.System, target.Text, target.Measured)
			}
		}
	}
	// One backlog, one crew, no figure of its own: nothing to compare with.
	for letter, s := range map[string]Set{
		"i": setOf(one("i", backlog+"10000", ours, 1)),
		"l": setOf(one("l", eight, ours, 1)),
		"j": setOf(one("j", waiting+"0", ours, 1, withWait(started, 1, 1))),
		"g": setOf(one("g", steady, ours, 1, withDead("ready", 7))),
		"k": setOf(one("k", schedule, ours, 1)),
	} {
		for _, target := range Targets(s) {
			if target.Verdict != NotMeasured {
				t.Errorf("%s alone: %q = %s (%s), want not measured", letter, target.Text, target.Verdict, target.Measured)
			}
		}
	}
}

func TestTargets_NameTheFasterWayToInsert(t *testing.T) {
	t.Parallel()
	target := findTarget(t, Targets(setOf(atTheLimits()...)), "c", "ordinary")
	if !strings.Contains(target.Text, "rookery-sql (the faster way)") {
		t.Errorf("%q, want rookery-sql named", target.Text)
	}
	runs := changed(atTheLimits(), "c", single, ours, withExtra(inserts, 7000))
	target = findTarget(t, Targets(setOf(runs...)), "c", "ordinary")
	if !strings.Contains(target.Text, "of rookery (the faster way)") || target.Measured != "0.88 ×" {
		t.Errorf("%q = %s, want rookery named, and 0.88 ×", target.Text, target.Measured)
	}
}

func TestTargets_NoteTheSecondMinuteOfG(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change with
		want   string
	}{
		"none":            {func(*workloads.Run) {}, "9,500 against 10,000 jobs/s"},
		"written down":    {withExtra("second_tenth", 9896), "9,500 against 10,000 jobs/s; 0.96 × of the second's 9,896, the first that deletes"},
		"from its series": {withRates(1, 9800, 9600, 3), "9,500 against 10,000 jobs/s; 0.97 × of the second's 9,800, the first that deletes"},
	} {
		runs := []workloads.Run{one("g", steady, ours, 10_000, withExtra("first_tenth", 10_000), withExtra("last_tenth", 9500), c.change)}
		target := findTarget(t, Targets(setOf(runs...)), "g", "last tenth")
		if target.Figures != c.want || target.Measured != "0.95 ×" || target.Verdict != Met {
			t.Errorf("%s: %+v, want %q, and the target as before", name, target, c.want)
		}
	}
}

func TestTargets_EveryCaseOfA(t *testing.T) {
	t.Parallel()
	runs := append(atTheLimits(), one("a", "drain-1m", ours, 3000), one("a", "drain-1m", rival, 1000))
	all := Targets(setOf(runs...))
	if target := findTarget(t, all, "a", "drain-1m: jobs/s, of river-bench"); target.Verdict != Missed || target.Measured != "3.00 ×" {
		t.Errorf("drain-1m: %+v, want 3.00 × missed", target)
	}
	if target := findTarget(t, all, "a", "drain-1m: jobs/s, of floor"); target.Verdict != NotMeasured {
		t.Errorf("drain-1m without floor: %+v, want not measured", target)
	}
	if target := findTarget(t, all, "a", "drain-100k: jobs/s, of river-bench"); target.Verdict != Met {
		t.Errorf("drain-100k: %+v, want met", target)
	}
}

func TestTargets_DeadRows(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		dead []float64
		want Verdict
	}{
		{nil, NotMeasured},
		{[]float64{1}, NotMeasured}, // of a first half nothing is known
		{[]float64{0, 0}, Met},
		{[]float64{0, 1}, Missed},
		{[]float64{1, 2}, Met},
		{[]float64{1, 3}, Missed},
		{[]float64{10, 20, 21}, Missed}, // the halves of three are one and two
		{[]float64{0, 50, 100, 0}, Met},
	} {
		s := setOf(one("g", steady, ours, 1, withDead("ready", c.dead...)))
		if target := findTarget(t, Targets(s), "g", "rows of ready"); target.Verdict != c.want {
			t.Errorf("dead rows %v: %s (%s), want %s", c.dead, target.Verdict, target.Measured, c.want)
		}
	}
}

func TestTargets_AreOfMedians(t *testing.T) {
	t.Parallel()
	runs := slices.DeleteFunc(atTheLimits(), func(r workloads.Run) bool { return r.Workload == "b" })
	for _, rate := range []float64{90_000, 3999, 10} { // the median decides, not the mean, the best or the worst
		runs = append(runs, one("b", together, ours, rate))
	}
	runs = append(runs, one("b", together, rival, 1000))
	if target := findTarget(t, Targets(setOf(runs...)), "b", "jobs/s, of river-bench"); target.Verdict != Missed || target.Measured != "3.999 ×" {
		t.Errorf("%+v, want 3.999 × missed", target)
	}
	for _, c := range []struct {
		all  []float64
		want spread
	}{
		{nil, spread{}}, {[]float64{7}, spread{7, 7, 7}}, {[]float64{4, 2}, spread{3, 2, 4}},
		{[]float64{9, 1, 5}, spread{5, 1, 9}}, {[]float64{8, 1, 4, 2}, spread{3, 1, 8}},
	} {
		if got := spreadOf(slices.Clone(c.all)); got != c.want {
			t.Errorf("spreadOf(%v) = %v, want %v", c.all, got, c.want)
		}
	}
}

// The targets ask for cases and systems by name; these are the names' owners.
func TestTargets_NamesAreThoseOfTheWorkloads(t *testing.T) {
	t.Parallel()
	has := map[string][]string{}
	for _, c := range workloads.Cases(&workloads.Bench{}) {
		has[c.Workload+" "+c.Name] = append(has[c.Workload+" "+c.Name], c.Systems...)
	}
	for name, systems := range map[string][]string{
		"a drain-100k": {ours, rival, "floor"}, "b " + together: {ours, rival, "asynq"},
		"c " + single: {ours, rival, "plain", "rookery-sql"}, "e rate-200": {ours}, "e rate-1000": {ours},
		"g " + steady: {ours}, "h " + snapshot: {ours}, "k " + schedule: {ours}, "l " + eight: {ours},
		"i " + backlog + "10000": {ours}, "j " + waiting + "0": {ours}, "j " + waiting + "1000000": {ours},
	} {
		for _, system := range systems {
			if !slices.Contains(has[name], system) {
				t.Errorf("workload and case %q has systems %v, a target needs %s", name, has[name], system)
			}
		}
	}
	for key := range has {
		if letter, _, _ := strings.Cut(key, " "); !slices.Contains(letters, letter) {
			t.Errorf("workload %s would not be reported", letter)
		}
	}
}

func TestLimit_ShowsOnWhichSideItIs(t *testing.T) {
	t.Parallel()
	l := limit{"≥", 4, " ×"}
	for v, want := range map[float64]string{4: "4.00 ×", 3.9996: "3.9996 ×", 3.5: "3.50 ×", math.Inf(1): "∞ ×"} {
		if got := l.show(v); got != want {
			t.Errorf("show(%v) = %s, want %s", v, got, want)
		}
	}
}
