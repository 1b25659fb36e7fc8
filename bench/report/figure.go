package report

import (
	"maps"
	"slices"

	"github.com/penguinmails/rookery/bench/lab"
	"github.com/penguinmails/rookery/bench/workloads"
)

// figure is a number that a run may have; false when it was not measured, which is
// not the same as zero.
type figure func(workloads.Run) (float64, bool)

// spread is a figure of several runs.
type spread struct{ median, low, high float64 }

// measured returns a figure over those runs of a group that have it; false when none
// has.
func (g Group) measured(f figure) (spread, bool) {
	var all []float64
	for _, r := range g.Runs {
		if v, ok := f(r); ok {
			all = append(all, v)
		}
	}
	return spreadOf(all), len(all) > 0
}

// spreadOf sorts all. The median of an even number is the mean of the middle two.
func spreadOf(all []float64) spread {
	n := len(all)
	if n == 0 {
		return spread{}
	}
	slices.Sort(all)
	return spread{median: (all[(n-1)/2] + all[n/2]) / 2, low: all[0], high: all[n-1]}
}

// rate is in jobs per second, to completed: a table that nobody works has none.
func rate(r workloads.Run) (float64, bool) { return r.Rate, r.Rate > 0 && r.System != "plain" }

// cpuPerJob is of all processes, in µs.
func cpuPerJob(r workloads.Run) (float64, bool) {
	return CPUPerJob(r), len(r.CPU) > 0 && r.Jobs > 0
}

// cpuOf is that of one group of processes, in µs a job.
func cpuOf(group string) figure {
	return func(r workloads.Run) (float64, bool) {
		seconds, ok := r.CPU[group]
		return 1e6 * seconds / float64(max(r.Jobs, 1)), ok && r.Jobs > 0
	}
}

// sumCPU adds in the order of the names, so that the same run gives the same bits.
func sumCPU(r workloads.Run) float64 {
	var sum float64
	for _, group := range slices.Sorted(maps.Keys(r.CPU)) {
		sum += r.CPU[group]
	}
	return sum
}

// used is something that the servers counted, per job.
func used(count func(*lab.Usage) float64) figure {
	return func(r workloads.Run) (float64, bool) {
		if r.Usage == nil || r.Jobs <= 0 {
			return 0, false
		}
		return count(r.Usage) / float64(r.Jobs), true
	}
}

// counted is the same of what is only counted in workload counts, and 0 elsewhere.
func counted(count func(*lab.Usage) float64) figure {
	return func(r workloads.Run) (float64, bool) {
		v, ok := used(count)(r)
		return v, ok && v > 0
	}
}

// hotShare is the share of updates that touched no index; a run without updates has none.
func hotShare(r workloads.Run) (float64, bool) {
	if r.Usage == nil || r.Usage.Updated <= 0 {
		return 0, false
	}
	return r.Usage.HOT / r.Usage.Updated, true
}

func walBytes(u *lab.Usage) float64    { return u.WALBytes }
func commits(u *lab.Usage) float64     { return u.Commits }
func rowVersions(u *lab.Usage) float64 { return u.Inserted + u.Updated + u.Deleted }
func redisCalls(u *lab.Usage) float64  { return u.RedisCalls }

// extra is one of the figures that only some workloads have.
func extra(key string) figure {
	return func(r workloads.Run) (float64, bool) {
		v, ok := r.Extra[key]
		return v, ok
	}
}

// quantile is one of a latency's quantiles, in ms.
func quantile(latency string, pick func(lab.Quantiles) float64) figure {
	return func(r workloads.Run) (float64, bool) {
		q := r.Latency[latency]
		return pick(q), q.N > 0
	}
}

// quantiles are those that are shown.
var quantiles = []struct {
	name string
	pick func(lab.Quantiles) float64
}{
	{"p50", func(q lab.Quantiles) float64 { return q.P50 }},
	{"p95", func(q lab.Quantiles) float64 { return q.P95 }},
	{"p99", func(q lab.Quantiles) float64 { return q.P99 }},
	{"p99.9", func(q lab.Quantiles) float64 { return q.P999 }},
}

func longest(q lab.Quantiles) float64 { return q.Max }

// highest is the maximum of what add returns over a part of a run's series: from and
// to are shares of it. Points without it do not count.
func highest(from, to float64, add func(point map[string]float64) (float64, bool)) figure {
	return func(r workloads.Run) (most float64, ok bool) {
		n := float64(len(r.Series))
		for _, point := range r.Series[int(from*n):int(to*n)] {
			if v, has := add(point); has {
				most, ok = max(most, v), true
			}
		}
		return most, ok
	}
}
