// Package workloads holds the workloads (a) to (m): what is inserted and run, and
// which systems are measured by it.
package workloads

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/penguinmails/rookery/bench/lab"
)

// Run is one run of one system.
type Run struct {
	Workload string                   `json:"workload"`
	Case     string                   `json:"case"`
	System   string                   `json:"system"`
	Round    int                      `json:"round"`
	At       time.Time                `json:"at"`
	Commit   string                   `json:"commit"`  // of Rookery
	Command  string                   `json:"command"` // that measured it
	Jobs     int64                    `json:"jobs"`
	Seconds  float64                  `json:"seconds"`
	Rate     float64                  `json:"rate"` // jobs per second
	CPU      map[string]float64       `json:"cpu,omitempty"`
	Usage    *lab.Usage               `json:"usage,omitempty"`
	Latency  map[string]lab.Quantiles `json:"latency_ms,omitempty"`
	Extra    map[string]float64       `json:"extra,omitempty"`
	Series   []map[string]float64     `json:"series,omitempty"`
}

// Case is one thing to measure with several systems, interleaved.
type Case struct {
	Workload string
	Name     string
	Systems  []string
	Rounds   int // 0: as many as asked for
	Counted  bool
	Measure  func(ctx context.Context, b *Bench, system string) (Run, error)
}

// Bench is what all cases share.
type Bench struct {
	Dir   string // of bench
	Short bool   // a tenth of the jobs, or less
	Log   func(format string, args ...any)

	Statements int // of counted runs, log so many that took the most time

	counted bool // the present case's
}

// All measures cases: each round runs every system once, so that the machine's moods
// meet all alike. It goes on after a run that fails, and names it.
func (b *Bench) All(ctx context.Context, cases []Case, systems []string, rounds int, each func(Run)) error {
	var failed []string
	for _, c := range cases {
		n := rounds
		if c.Rounds > 0 {
			n = min(n, c.Rounds)
		}
		for round := range n {
			for _, system := range c.Systems {
				if len(systems) > 0 && !slices.Contains(systems, system) {
					continue
				}
				b.counted = c.Counted
				began := time.Now()
				r, err := c.Measure(ctx, b, system)
				if ctx.Err() != nil {
					return ctx.Err()
				}
				if err != nil {
					failed = append(failed, fmt.Sprintf("%s %s %s: %v", c.Workload, c.Name, system, err))
					b.Log("%s %-14s %-22s FAILED: %v", c.Workload, c.Name, system, err)
					continue
				}
				r.Workload, r.Case, r.System, r.Round, r.At = c.Workload, c.Name, system, round+1, began.UTC().Truncate(time.Second)
				if r.Rate == 0 && r.Seconds > 0 {
					r.Rate = float64(r.Jobs) / r.Seconds
				}
				b.Log("%s %-14s %-22s round %d: %9.0f jobs/s in %6.2f s; CPU %5.1f us a job%s", c.Workload, c.Name, system, round+1, r.Rate, r.Seconds, perJob(r), r.latencies())
				each(r)
			}
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("%d runs failed: %v", len(failed), failed)
	}
	return nil
}

// CPUTotal is the CPU of all groups but the producers', in seconds.
func (r Run) CPUTotal(producers bool) float64 {
	var sum float64
	for group, s := range r.CPU {
		if group != "producers" || producers {
			sum += s
		}
	}
	return sum
}

func perJob(r Run) float64 { return 1e6 * r.CPUTotal(true) / float64(max(r.Jobs, 1)) }

func (r Run) latencies() string {
	var text string
	for _, name := range []string{"insert to start", "commit to start", "commit to completed", "due to start", "others"} {
		if q, ok := r.Latency[name]; ok {
			text += fmt.Sprintf("; %s p50 %.2f p95 %.2f p99 %.2f p99.9 %.2f ms", name, q.P50, q.P95, q.P99, q.P999)
		}
	}
	return text
}

// open starts servers for one run.
func (b *Bench) open(ctx context.Context, system string, settings map[string]string, env ...string) (*lab.Lab, error) {
	return lab.Open(ctx, lab.Options{System: system, Dir: b.Dir, Counted: b.counted, Settings: settings, Env: env})
}

// scaled is n, or a tenth of it in a short run.
func (b *Bench) scaled(n int64) int64 {
	if b.Short {
		return n / 10
	}
	return n
}
