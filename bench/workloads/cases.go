package workloads

import (
	"fmt"
	"strconv"
)

// The systems, in the order in which they are run.
var (
	everybody = []string{"rookery", "river", "river-bench", "asynq", "bullmq", "graphile-worker", "graphile-worker-bench", "pg-boss", "pg-boss-bench"}
	withFloor = append([]string{"floor"}, everybody...)
	fewer     = []string{"rookery", "river-bench", "asynq", "bullmq", "graphile-worker-bench"}
	pair      = []string{"rookery", "river-bench"}
	ours      = []string{"rookery"}
)

// Cases returns all cases of a whole or a short run. A short one is a taste of each
// workload, under five minutes in all: a tenth of the jobs or less, few systems, and
// of cases that differ in a number, one.
func Cases(b *Bench) []Case {
	n, of := b.scaled, b.fewer
	var all []Case
	add := func(workload, name string, systems []string, rounds int, f flow) {
		all = append(all, Case{Workload: workload, Name: name, Systems: systems, Rounds: rounds, Measure: f.measure})
	}
	add("a", "drain-100k", of(withFloor, "floor", "rookery", "river-bench", "asynq", "bullmq", "graphile-worker-bench"), 0, flow{jobs: n(100_000)})
	if !b.Short {
		add("a", "drain-1m", []string{"floor", "rookery", "river-bench"}, 1, flow{jobs: 1_000_000})
	}
	add("b", "together", of(everybody, pair...), 0, flow{jobs: n(100_000), together: true})
	add("c", "single", of(append([]string{"plain", "rookery-sql"}, everybody...), "plain", "rookery"), 0, flow{jobs: n(20_000), together: true, produce: []string{"-per-tx", "1", "-business"}})
	for _, size := range onlyIf(b.Short, 1024, 120, 1024, 20480) {
		jobs := n(50_000)
		if size > 2000 {
			jobs = n(20_000)
		}
		add("d", fmt.Sprintf("payload-%d", size), of(fewer, pair...), 0, flow{jobs: jobs, together: true, produce: []string{"-payload", strconv.Itoa(size)}})
	}
	for _, rate := range onlyIf(b.Short, 200, 20, 200, 1000, 3000) {
		systems := []string{"rookery", "river", "river-bench"}
		if rate == 200 {
			systems = append(systems, "asynq", "bullmq", "graphile-worker", "pg-boss")
		}
		seconds := 15.0
		if b.Short {
			seconds = 3
		}
		all = append(all, Case{Workload: "e", Name: fmt.Sprintf("rate-%d", rate), Systems: of(systems, pair...), Measure: latency{rate: float64(rate), seconds: seconds}.measure})
	}
	sleeps := map[string]int64{"1ms": 50_000, "10ms": 20_000, "100ms": 5_000}
	for _, sleep := range onlyIf(b.Short, "10ms", "1ms", "10ms", "100ms") {
		add("f", "handler-"+sleep, of(fewer, ours...), 1, flow{jobs: n(sleeps[sleep]), work: []string{"-sleep", sleep, "-concurrency", "100"}})
	}
	all = append(all, longCases(b)...)
	if !b.Short {
		all = append(all, wakeCases(b)...)
	}
	type crew struct{ relays, workers int }
	for _, c := range onlyIf(b.Short, crew{2, 1}, crew{1, 1}, crew{2, 1}, crew{4, 1}, crew{1, 2}, crew{1, 4}, crew{1, 8}) {
		add("l", fmt.Sprintf("%d-relays-%d-workers", c.relays, c.workers), ours, 0, flow{jobs: n(200_000), relays: c.relays, workers: c.workers})
	}
	add("m", "failing", of(fewer, pair...), 0, flow{jobs: n(50_000), together: true, work: []string{"-fail-every", "10"}})
	for _, system := range of([]string{"rookery", "river-bench", "asynq"}, ours...) {
		all = append(all, Case{Workload: "counts", Name: "together", Systems: []string{system}, Rounds: 1, Counted: true,
			Measure: flow{jobs: n(100_000), together: true}.measure})
		all = append(all, Case{Workload: "counts", Name: "single", Systems: []string{system}, Rounds: 1, Counted: true,
			Measure: flow{jobs: n(20_000), together: true, produce: []string{"-per-tx", "1", "-business"}}.measure})
	}
	return all
}

// fewer returns the systems that a case measures, those of a short run or all.
func (b *Bench) fewer(all []string, short ...string) []string {
	if b.Short {
		return short
	}
	return all
}

// onlyIf returns one of all instead of all of them.
func onlyIf[T any](short bool, one T, all ...T) []T {
	if short {
		return []T{one}
	}
	return all
}
