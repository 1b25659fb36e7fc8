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

// Cases returns all cases of a whole or a short run.
func Cases(b *Bench) []Case {
	n := b.scaled
	var all []Case
	add := func(workload, name string, systems []string, rounds int, f flow) {
		all = append(all, Case{Workload: workload, Name: name, Systems: systems, Rounds: rounds, Measure: f.measure})
	}
	add("a", "drain-100k", withFloor, 0, flow{jobs: n(100_000)})
	if !b.Short {
		add("a", "drain-1m", []string{"floor", "rookery", "river-bench"}, 1, flow{jobs: 1_000_000})
	}
	add("b", "together", everybody, 0, flow{jobs: n(100_000), together: true})
	add("c", "single", append([]string{"plain", "rookery-sql"}, everybody...), 0, flow{jobs: n(20_000), together: true, produce: []string{"-per-tx", "1", "-business"}})
	for _, size := range []int{120, 1024, 20480} {
		jobs := n(50_000)
		if size > 2000 {
			jobs = n(20_000)
		}
		add("d", fmt.Sprintf("payload-%d", size), fewer, 0, flow{jobs: jobs, together: true, produce: []string{"-payload", strconv.Itoa(size)}})
	}
	for _, rate := range []float64{20, 200, 1000, 3000} {
		systems := []string{"rookery", "river", "river-bench"}
		if rate == 200 {
			systems = append(systems, "asynq", "bullmq", "graphile-worker", "pg-boss")
		}
		seconds := 15.0
		if b.Short {
			seconds = 3
		}
		all = append(all, Case{Workload: "e", Name: fmt.Sprintf("rate-%.0f", rate), Systems: systems, Measure: latency{rate: rate, seconds: seconds}.measure})
	}
	for _, f := range []struct {
		sleep string
		jobs  int64
	}{{"1ms", 50_000}, {"10ms", 20_000}, {"100ms", 5_000}} {
		add("f", "handler-"+f.sleep, fewer, 1, flow{jobs: n(f.jobs), work: []string{"-sleep", f.sleep, "-concurrency", "100"}})
	}
	all = append(all, longCases(b)...)
	for _, c := range []struct{ relays, workers int }{{1, 1}, {2, 1}, {4, 1}, {1, 2}, {1, 4}, {1, 8}} {
		add("l", fmt.Sprintf("%d-relays-%d-workers", c.relays, c.workers), ours, 0, flow{jobs: n(200_000), relays: c.relays, workers: c.workers})
	}
	add("m", "failing", fewer, 0, flow{jobs: n(50_000), together: true, work: []string{"-fail-every", "10"}})
	for _, system := range []string{"rookery", "river-bench", "asynq"} {
		all = append(all, Case{Workload: "counts", Name: "together", Systems: []string{system}, Rounds: 1, Counted: true,
			Measure: flow{jobs: n(100_000), together: true}.measure})
		all = append(all, Case{Workload: "counts", Name: "single", Systems: []string{system}, Rounds: 1, Counted: true,
			Measure: flow{jobs: n(20_000), together: true, produce: []string{"-per-tx", "1", "-business"}}.measure})
	}
	return all
}
