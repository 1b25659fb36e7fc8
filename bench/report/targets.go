package report

import (
	"fmt"
	"math"

	"github.com/penguinmails/rookery/bench/lab"
	"github.com/penguinmails/rookery/bench/workloads"
)

// The names that targets ask for, as package workloads gives them; a test compares.
const (
	ours     = "rookery"
	rival    = "river-bench"
	together = "together"
	single   = "single"
	steady   = "steady"
	snapshot = "old-snapshot"
	schedule = "scheduled"
	eight    = "1-relays-8-workers"
	backlog  = "backlog-"        // and a number
	waiting  = "one-of-50-has-"  // and a number
	started  = "commit to start" // a latency
	punctual = "due to start"    // a latency
	inserts  = "inserted_per_second"
	asNow    = "insert_ratio_of_due_now"
	payload  = 120.0 // bytes of a job of workload (b)
)

// Targets computes every target from the medians of all runs. One whose runs are
// missing is there too, as not measured.
func Targets(s Set) []Target {
	var all []Target
	add := func(t ...Target) { all = append(all, t...) }
	add(s.drains(rival, limit{"≥", 4, " ×"})...)
	add(s.faster("b", together, rival, limit{"≥", 4, " ×"}))
	add(s.faster("c", single, rival, limit{"≥", 3, " ×"}))
	add(s.producers())
	add(s.faster("b", together, "asynq", limit{"≥", 6, " ×"}))
	add(s.drains("floor", limit{"≥", 0.7, " ×"})...)
	add(s.cpu())
	for _, perSecond := range []float64{200, 1000} {
		name, before := fmt.Sprintf("rate-%.0f", perSecond), whole(perSecond)+" jobs/s: "
		add(s.wait("e", name, started, "p50", before, limit{"≤", 1.5, " ms"}))
		add(s.wait("e", name, started, "p99", before, limit{"≤", 10, " ms"}))
	}
	add(s.even())
	add(s.bounded("ready"), s.bounded("jobs"))
	add(s.besideSnapshot())
	add(s.deep()...)
	add(s.crowded())
	add(s.wait("k", schedule, punctual, "p99", "", limit{"≤", 50, " ms"}))
	ratio, ok := s.of("k", schedule, ours).measured(extra(asNow))
	add(judge("k", "inserting scheduled jobs, of inserting due ones", limit{"≥", 0.9, " ×"}, ratio.median, ok, ""))
	add(s.manyWorkers())
	add(s.wal())
	return all
}

// drains compares the drain of every case of (a); one target a case.
func (s Set) drains(other string, l limit) []Target {
	cases := s.cases("a")
	if len(cases) == 0 {
		return []Target{s.faster("a", "drain-100k", other, l)}
	}
	var all []Target
	for _, name := range cases {
		all = append(all, s.faster("a", name, other, l))
	}
	return all
}

// faster compares Rookery's rate with another system's.
func (s Set) faster(letter, name, other string, l limit) Target {
	a, okA := s.of(letter, name, ours).measured(rate)
	b, okB := s.of(letter, name, other).measured(rate)
	return judge(letter, fmt.Sprintf("%s: jobs/s, of %s's", name, other), l, a.median/b.median, okA && okB, versus(a, okA, b, okB, "jobs/s"))
}

// producers compares how fast producers insert one job a transaction, through
// whichever of Rookery's two ways is faster, with an ordinary table.
func (s Set) producers() Target {
	best, name, okA := spread{}, "", false
	for _, system := range []string{ours, "rookery-sql"} {
		if v, ok := s.of("c", single, system).measured(extra(inserts)); ok && (!okA || v.median > best.median) {
			best, name, okA = v, system, true
		}
	}
	b, okB := s.of("c", single, "plain").measured(extra(inserts))
	text := "single: inserts/s, of an ordinary table's"
	if okA {
		text = fmt.Sprintf("single: inserts/s of %s (the faster way), of an ordinary table's", name)
	}
	return judge("c", text, limit{"≥", 0.75, " ×"}, best.median/b.median, okA && okB && b.median > 0, versus(best, okA, b, okB, "inserts/s"))
}

func (s Set) cpu() Target {
	a, okA := s.of("b", together, ours).measured(cpuPerJob)
	b, okB := s.of("b", together, rival).measured(cpuPerJob)
	return judge("b", "together: CPU a job, of river-bench's", limit{"≤", 1.0 / 3, " ×"}, a.median/b.median, okA && okB && b.median > 0, versus(a, okA, b, okB, "µs"))
}

// wait looks at one quantile of one latency.
func (s Set) wait(letter, name, latency, q, before string, l limit) Target {
	v, ok := s.of(letter, name, ours).measured(quantile(latency, quantileOf(q)))
	return judge(letter, before+latency+", "+q, l, v.median, ok, "")
}

func quantileOf(name string) func(lab.Quantiles) float64 {
	for _, q := range quantiles {
		if q.name == name {
			return q.pick
		}
	}
	return longest
}

// even says whether the end of (g) is as fast as its beginning. In its first minute
// nothing is old enough to be deleted, so the note also compares with the second, which
// bears what every later one does.
func (s Set) even() Target {
	g := s.of("g", steady, ours)
	last, okA := g.measured(extra("last_tenth"))
	first, okB := g.measured(extra("first_tenth"))
	figures := versus(last, okA, first, okB, "jobs/s")
	if second, ok := g.measured(secondTenth); ok && okA && second.median > 0 {
		figures += fmt.Sprintf("; %.2f × of the second's %s, the first that deletes", last.median/second.median, number(second.median))
	}
	return judge("g", "jobs/s in the last tenth, of the first's", limit{"≥", 0.95, " ×"}, last.median/first.median, okA && okB && first.median > 0, figures)
}

// secondTenth is the rate of the second minute of (g). Runs from before it was written
// down have it in their series.
func secondTenth(r workloads.Run) (float64, bool) {
	if v, ok := r.Extra["second_tenth"]; ok {
		return v, true
	}
	v, ok := workloads.Tenths(r.Series)["second_tenth"]
	return v, ok
}

// bounded says whether a table's dead rows stop growing.
func (s Set) bounded(table string) Target {
	dead := func(point map[string]float64) (float64, bool) {
		v, ok := point[table+"_dead"]
		return v, ok
	}
	g := s.of("g", steady, ours)
	first, okA := g.measured(highest(0, 0.5, dead))
	last, okB := g.measured(highest(0.5, 1, dead))
	ratio := last.median / first.median
	if first.median == 0 {
		ratio = math.Inf(1)
	}
	if last.median == 0 {
		ratio = 0
	}
	text := fmt.Sprintf("most dead rows of %s in the last half, of the first half's", table)
	return judge("g", text, limit{"≤", 2, " ×"}, ratio, okA && okB, versus(last, okB, first, okA, "rows"))
}

func (s Set) besideSnapshot() Target {
	a, okA := s.of("h", snapshot, ours).measured(rate)
	b, okB := s.of("g", steady, ours).measured(rate)
	return judge("h", "jobs/s beside an old snapshot, of (g)'s", limit{"≥", 0.9, " ×"}, a.median/b.median, okA && okB, versus(a, okA, b, okB, "jobs/s"))
}

// deep compares the largest backlog with that of 10,000, and looks at Redis' memory
// at whichever backlog it is highest.
func (s Set) deep() []Target {
	var largest int64
	var most, deepest spread
	var okMB, okRate bool
	for _, name := range s.cases("i") {
		n, ok := trailing(name, backlog)
		if !ok {
			continue
		}
		if v, ok := s.of("i", name, ours).measured(rate); ok && n > largest {
			largest, deepest, okRate = n, v, true
		}
		if v, ok := s.of("i", name, ours).measured(extra("redis_mb")); ok && (!okMB || v.median > most.median) {
			most, okMB = v, true
		}
	}
	base, okBase := s.of("i", backlog+"10000", ours).measured(rate)
	text := "jobs/s at the largest backlog, of that at 10,000"
	if okRate {
		text = fmt.Sprintf("jobs/s at a backlog of %s, of that at 10,000", whole(float64(largest)))
	}
	ok := okRate && okBase && largest > 10_000
	return []Target{
		judge("i", text, limit{"≥", 0.85, " ×"}, deepest.median/base.median, ok, versus(deepest, okRate, base, okBase, "jobs/s")),
		judge("i", "Redis' memory at any backlog", limit{"<", 50, " MB"}, most.median, okMB, ""),
	}
}

// crowded compares how long the other queues' jobs wait beside the largest backlog
// with how long they wait beside the smallest.
func (s Set) crowded() Target {
	alone, crowd := int64(math.MaxInt64), int64(-1)
	var a, b spread
	for _, name := range s.cases("j") {
		n, ok := trailing(name, waiting)
		v, has := s.of("j", name, ours).measured(quantile(started, quantileOf("p99")))
		if !ok || !has {
			continue
		}
		if n < alone {
			alone, b = n, v
		}
		if n > crowd {
			crowd, a = n, v
		}
	}
	return judge("j", "p99 of the other queues' jobs beside a backlog, of theirs alone", limit{"≤", 2, " ×"}, a.median/b.median, crowd > alone && b.median > 0, versus(a, crowd > alone, b, crowd >= 0, "ms"))
}

// manyWorkers compares eight workers with the fastest of all cases.
func (s Set) manyWorkers() Target {
	var best spread
	others := false
	for _, name := range s.cases("l") {
		if v, ok := s.of("l", name, ours).measured(rate); ok {
			others = others || name != eight
			if v.median > best.median {
				best = v
			}
		}
	}
	v, ok := s.of("l", eight, ours).measured(rate)
	return judge("l", "jobs/s of 8 workers, of the fastest case's", limit{"≥", 0.95, " ×"}, v.median/best.median, ok && others, versus(v, ok, best, best.median > 0, "jobs/s"))
}

func (s Set) wal() Target {
	v, ok := s.of("b", together, ours).measured(used(walBytes))
	figures := ""
	if ok {
		figures = number(v.median) + " B with it"
	}
	return judge("b", "together: WAL a job beyond the payload of 120 B", limit{"≤", 500, " B"}, v.median-payload, ok, figures)
}

// versus writes two figures, whichever are there.
func versus(a spread, okA bool, b spread, okB bool, unit string) string {
	if !okA && !okB {
		return ""
	}
	one := func(v spread, ok bool) string {
		if !ok {
			return none
		}
		return number(v.median)
	}
	return fmt.Sprintf("%s against %s %s", one(a, okA), one(b, okB), unit)
}
