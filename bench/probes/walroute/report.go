package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// column is one figure of a round.
type column struct {
	name  string
	value func(r round) float64
}

// each returns µs a job.
func (r round) each(d time.Duration) float64 {
	return d.Seconds() * 1e6 / float64(r.jobs)
}

func (r round) postgres() float64 {
	return r.each(r.handedOut.postgres() + r.completed.postgres() + r.vacuumed.postgres())
}

var columns = []column{
	{"producers", func(r round) float64 { return r.each(r.handedOut.cpu["producer"]) }},
	{"claim", func(r round) float64 { return r.each(r.handedOut.cpu["rookery"]) }},
	{"walsender", func(r round) float64 { return r.each(r.handedOut.cpu["walsender"]) }},
	{"others", func(r round) float64 { return r.each(r.handedOut.cpu[""]) }},
	{"complete", func(r round) float64 { return r.each(r.completed.postgres() - r.completed.cpu["walsender"]) }},
	{"walsender", func(r round) float64 { return r.each(r.completed.cpu["walsender"]) }},
	{"vacuum", func(r round) float64 { return r.each(r.vacuumed.postgres()) }},
	{"POSTGRES", round.postgres},
	{"go", func(r round) float64 { return r.each(r.handedOut.cpu["go"]) }},
	{"TOGETHER", func(r round) float64 { return r.postgres() + r.each(r.handedOut.cpu["go"]) }},
	{"WAL", func(r round) float64 { return (r.handedOut.wal + r.completed.wal) / float64(r.jobs) }},
	{"statements/1000", func(r round) float64 { return float64(r.statements) * 1000 / float64(r.jobs) }},
	{"jobs/s", func(r round) float64 { return float64(r.jobs) / r.seconds }},
	{"early/1000", func(r round) float64 { return float64(r.early) * 1000 / float64(r.jobs) }},
}

// report writes medians; CPU in µs and WAL in bytes a job.
func report(to io.Writer, w workload, names []string, found map[string][]round) {
	fmt.Fprintf(to, "\n%s, medians (lowest to highest of TOGETHER)\n", w.title())
	t := tabwriter.NewWriter(to, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, c := range columns {
		fmt.Fprintf(t, "\t%s", c.name)
	}
	fmt.Fprintln(t, "\t")
	for _, name := range names {
		fmt.Fprint(t, name)
		for _, c := range columns {
			lo, middle, hi := spread(found[name], c.value)
			digits := 1
			if middle >= 100 {
				digits = 0
			}
			fmt.Fprintf(t, "\t%.*f", digits, middle)
			if c.name == "TOGETHER" {
				fmt.Fprintf(t, " (%.1f–%.1f)", lo, hi)
			}
		}
		fmt.Fprintln(t, "\t")
	}
	_ = t.Flush() // to is stdout
}

func spread(rounds []round, value func(round) float64) (lo, median, hi float64) {
	var all []float64
	for _, r := range rounds {
		all = append(all, value(r))
	}
	slices.Sort(all)
	n := len(all)
	return all[0], (all[(n-1)/2] + all[n/2]) / 2, all[n-1]
}
