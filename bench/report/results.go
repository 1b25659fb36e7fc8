// Package report prints what was measured: tables for a terminal and for
// docs/performance.md, and plots.
package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/penguinmails/rookery/bench/lab"
	"github.com/penguinmails/rookery/bench/workloads"
)

// Results is one file of bench/results.
type Results struct {
	Workload string          `json:"workload"`
	Command  string          `json:"command"`
	Machine  lab.Facts       `json:"machine"`
	Runs     []workloads.Run `json:"runs"`
}

// Read reads a file of results.
func Read(path string) (*Results, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var r Results
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &r, nil
}

// Group is all runs of one system in one case.
type Group struct {
	Case, System string
	Runs         []workloads.Run
}

// Groups returns the runs by case and system, in the order in which they came.
func (r *Results) Groups() []Group {
	var out []Group
	for _, run := range r.Runs {
		i := slices.IndexFunc(out, func(g Group) bool { return g.Case == run.Case && g.System == run.System })
		if i < 0 {
			out = append(out, Group{Case: run.Case, System: run.System})
			i = len(out) - 1
		}
		out[i].Runs = append(out[i].Runs, run)
	}
	order := map[string]int{}
	for _, g := range out {
		if _, ok := order[g.Case]; !ok {
			order[g.Case] = len(order)
		}
	}
	slices.SortStableFunc(out, func(a, b Group) int { return cmp.Compare(order[a.Case], order[b.Case]) })
	return out
}

// Of returns the group of a case and system, empty when there is none.
func (r *Results) Of(name, system string) Group {
	for _, g := range r.Groups() {
		if g.Case == name && g.System == system {
			return g
		}
	}
	return Group{Case: name, System: system}
}

// Median returns the median of a figure of all runs, and its spread.
func (g Group) Median(figure func(workloads.Run) float64) (median, low, high float64) {
	s, _ := g.measured(func(r workloads.Run) (float64, bool) { return figure(r), true })
	return s.median, s.low, s.high
}

// Rate is a run's jobs per second.
func Rate(r workloads.Run) float64 { return r.Rate }

// CPUPerJob is a run's CPU of all processes, in µs a job.
func CPUPerJob(r workloads.Run) float64 { return 1e6 * sumCPU(r) / float64(max(r.Jobs, 1)) }

// Print prints a table of all groups.
func Print(w io.Writer, r *Results) {
	fmt.Fprintf(w, "\n(%s) %s\n", r.Workload, r.Command)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "case\tsystem\truns\tjobs/s (low to high)\tCPU us/job\tcommits/job\tWAL B/job\trow versions/job\tHOT\tRedis commands/job\tlatency ms, p50 p95 p99 p99.9")
	for _, g := range r.Groups() {
		rate, low, high := g.Median(Rate)
		cpu, _, _ := g.Median(CPUPerJob)
		fmt.Fprintf(t, "%s\t%s\t%d\t%.0f (%.0f to %.0f)\t%.1f\t%s\t%s\n", g.Case, g.System, len(g.Runs), rate, low, high, cpu, strings.Join(g.Counts(), "\t"), g.Latencies())
	}
	_ = t.Flush()
}

// Counts are what the servers counted, per job: commits, WAL bytes, row versions
// written, share of HOT updates, Redis commands. A dash is what was not counted.
func (g Group) Counts() []string {
	show := func(format string, scale float64, f figure) string {
		s, ok := g.measured(f)
		if !ok {
			return none
		}
		return fmt.Sprintf(format, scale*s.median)
	}
	return []string{
		show("%.3f", 1, used(commits)),
		show("%.0f", 1, used(walBytes)),
		show("%.2f", 1, used(rowVersions)),
		show("%.0f %%", 100, hotShare),
		show("%.2f", 1, used(redisCalls)),
	}
}

// Latencies are the medians of the quantiles of all runs, in ms.
func (g Group) Latencies() string {
	var parts []string
	for _, name := range LatencyNames {
		if q := g.Latency(name); q.N > 0 {
			parts = append(parts, fmt.Sprintf("%s %.1f %.1f %.1f %.1f", name, q.P50, q.P95, q.P99, q.P999))
		}
	}
	return strings.Join(parts, "; ")
}

// LatencyNames are what is measured of a job's wait.
var LatencyNames = []string{"insert to start", "commit to start", "commit to completed", "due to start"}

// Latency returns the median of each quantile over the runs that measured it, in ms.
// N is the smallest number of samples of a run; 0 when none measured it.
func (g Group) Latency(name string) lab.Quantiles {
	of := func(pick func(lab.Quantiles) float64) float64 {
		s, _ := g.measured(quantile(name, pick))
		return s.median
	}
	n, _ := g.measured(quantile(name, func(q lab.Quantiles) float64 { return float64(q.N) }))
	return lab.Quantiles{
		N:   int(n.low),
		P50: of(func(q lab.Quantiles) float64 { return q.P50 }), P95: of(func(q lab.Quantiles) float64 { return q.P95 }),
		P99: of(func(q lab.Quantiles) float64 { return q.P99 }), P999: of(func(q lab.Quantiles) float64 { return q.P999 }),
		Max: of(longest),
	}
}
