package report

import (
	"fmt"
	"time"

	"github.com/penguinmails/rookery/bench/lab"
	"github.com/penguinmails/rookery/bench/workloads"
)

// with changes a run that is made by hand.
type with func(*workloads.Run)

// one is a run at a rate, of a thousand jobs.
func one(letter, name, system string, rate float64, changes ...with) workloads.Run {
	r := workloads.Run{
		Workload: letter, Case: name, System: system, Round: 1, Jobs: 1000, Seconds: 1000 / rate, Rate: rate,
		At: time.Date(2026, 8, 2, 3, 4, 0, 0, time.UTC),
	}
	for _, change := range changes {
		change(&r)
	}
	return r
}

func withExtra(key string, v float64) with {
	return func(r *workloads.Run) {
		if r.Extra == nil {
			r.Extra = map[string]float64{}
		}
		r.Extra[key] = v
	}
}

// withWait has quantiles that are multiples of p50, but p99, which is given.
func withWait(name string, p50, p99 float64) with {
	return func(r *workloads.Run) {
		if r.Latency == nil {
			r.Latency = map[string]lab.Quantiles{}
		}
		r.Latency[name] = lab.Quantiles{N: 100, P50: p50, P95: 2 * p50, P99: p99, P999: 2 * p99, Max: 3 * p99}
	}
}

// withCPU shares so many µs a job out over the groups of processes.
func withCPU(us float64) with {
	return func(r *workloads.Run) {
		s := us * float64(r.Jobs) / 1e6
		r.CPU = map[string]float64{"postgres": s / 2, "redis": s / 4, "workers": s / 4}
	}
}

// withWAL has so many bytes of WAL a job.
func withWAL(bytes float64) with {
	return func(r *workloads.Run) {
		n := float64(r.Jobs)
		r.Usage = &lab.Usage{WALBytes: bytes * n, Commits: n / 100, Inserted: 2 * n, Updated: n, HOT: n / 2, Deleted: n, RedisCalls: n / 20, Statements: n / 25}
	}
}

// withDead is a series with these numbers of dead rows of a table.
func withDead(table string, dead ...float64) with {
	return func(r *workloads.Run) {
		for i, n := range dead {
			if i == len(r.Series) {
				r.Series = append(r.Series, map[string]float64{"seconds": 10 * float64(i+1), "rate": r.Rate})
			}
			r.Series[i][table+"_dead"], r.Series[i][table+"_mb"] = n, 100
		}
	}
}

// withRates is a series of these rates.
func withRates(rates ...float64) with {
	return func(r *workloads.Run) {
		for _, v := range rates {
			r.Series = append(r.Series, map[string]float64{"rate": v})
		}
	}
}

// setOf sorts runs into results.
func setOf(runs ...workloads.Run) Set {
	s := Set{}
	for _, r := range runs {
		if s[r.Workload] == nil {
			s[r.Workload] = &Results{Workload: r.Workload, Command: "go run . run", Machine: lab.Facts{CPU: "one", Cores: 2, Commit: "abc"}}
		}
		s[r.Workload].Runs = append(s[r.Workload].Runs, r)
	}
	return s
}

// atTheLimits has all workloads. Every target is met, each of them exactly at its limit where a limit may
// be reached.
func atTheLimits() []workloads.Run {
	runs := []workloads.Run{
		one("a", "drain-100k", "floor", 40_000/0.7), one("a", "drain-100k", ours, 40_000), one("a", "drain-100k", rival, 10_000),
		one("b", together, ours, 24_000, withCPU(100), withWAL(620)), one("b", together, rival, 6000, withCPU(300)), one("b", together, "asynq", 4000),
		one("c", single, "plain", 1, withExtra(inserts, 8000)), one("c", single, "rookery-sql", 2900, withExtra(inserts, 6000)),
		one("c", single, ours, 3000, withExtra(inserts, 5000)), one("c", single, rival, 1000),
		one("d", "payload-120", ours, 1000), one("f", "handler-1ms", ours, 1000), one("m", "failing", ours, 1000), one("w", "single-wal", ours, 1000),
		one("e", "rate-200", ours, 200, withWait(started, 1.5, 10)), one("e", "rate-200", "asynq", 200, withWait(started, 500, 900)),
		one("e", "rate-1000", ours, 1000, withWait(started, 1.5, 10)),
		one("g", steady, ours, 10_000, withExtra("first_tenth", 10_000), withExtra("last_tenth", 9500), withDead("ready", 5, 10, 20, 3), withDead("jobs", 10, 0, 0, 20)),
		one("g", steady, rival, 5000, withDead("river_job", 1, 2, 3, 4)),
		one("h", snapshot, ours, 9000, withDead("jobs", 1, 2)),
		one("i", backlog+"10000", ours, 10_000, withExtra("redis_mb", 5)), one("i", backlog+"10000000", ours, 8500, withExtra("redis_mb", 49.9), withExtra("least_waiting", 9_999_000)),
		one("j", waiting+"0", ours, 200, withWait(started, 1, 5)), one("j", waiting+"1000000", ours, 200, withWait(started, 2, 10)),
		one("k", schedule, ours, 1000, withWait(punctual, 5, 50), withExtra(asNow, 0.9)),
		one("l", "1-relays-1-workers", ours, 10_000), one("l", eight, ours, 9500),
	}
	for _, system := range []string{ours, rival} {
		runs = append(runs, one("counts", together, system, 1000, withWAL(600)))
	}
	return runs
}

// changed applies changes to the one run of a workload, case and system.
func changed(runs []workloads.Run, letter, name, system string, changes ...with) []workloads.Run {
	for i, r := range runs {
		if r.Workload == letter && r.Case == name && r.System == system {
			for _, change := range changes {
				change(&runs[i])
			}
			return runs
		}
	}
	panic(fmt.Sprintf("no run of %s %s %s", letter, name, system))
}
