package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/penguinmails/rookery/test/chaos/verify"
)

// row is what all runs of one fault came to.
type row struct {
	fault                                 Fault
	runs, broken                          int
	jobs, ran, lost, phantom, tail, stale int
	duplicates                            map[string]int
	recovery                              verify.Recovery
	findings, notes                       []string
}

// table is the matrix with its figures. It is safe for concurrent use.
type table struct {
	o    settings
	mu   sync.Mutex // guards rows
	rows []*row
}

func newTable(o settings, faults []Fault) *table {
	t := &table{o: o}
	for _, f := range faults {
		t.rows = append(t.rows, &row{fault: f, duplicates: map[string]int{}})
	}
	return t
}

// add counts a run. err is the harness's own trouble, which is a finding too.
func (t *table) add(o one, found *verify.Report, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.IndexFunc(t.rows, func(r *row) bool { return r.fault.Name == o.fault.Name })
	r := t.rows[i]
	r.runs++
	if err != nil {
		r.broken++
		r.findings = append(r.findings, fmt.Sprintf("run %d: harness: %v", o.n, err))
	}
	if found == nil {
		return
	}
	r.jobs += found.Jobs
	r.ran += found.Runs
	r.lost += found.Lost
	r.phantom += found.Phantom
	r.tail += found.TailLost
	r.stale += found.Stale
	for cause, n := range found.Duplicates {
		r.duplicates[cause] += n
	}
	r.recovery.NewWork = max(r.recovery.NewWork, found.Recovery.NewWork)
	r.recovery.Back = max(r.recovery.Back, found.Recovery.Back)
	for _, n := range found.Notes {
		r.notes = append(r.notes, fmt.Sprintf("run %d: %s", o.n, n))
	}
	for _, f := range found.Findings {
		r.findings = append(r.findings, fmt.Sprintf("run %d: %s", o.n, f))
	}
}

func (t *table) findings() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range t.rows {
		n += len(r.findings)
	}
	return n
}

// String returns the table as Markdown, with its legend and the findings.
func (t *table) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d\n\n", t.o.seed)
	b.WriteString("| fault | runs | jobs | calls | lost | phantom | run again, by cause | stale | new work ≤ | back ≤ | findings |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, r := range t.rows {
		lost := fmt.Sprint(r.lost)
		if r.tail > 0 {
			lost += fmt.Sprintf(" (+%d by Postgres)", r.tail)
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %s | %d | %s | %d | %s | %s | %d |\n", r.fault.Name, r.runs, r.jobs, r.ran, lost, r.phantom,
			causes(r.duplicates), r.stale, inSeconds(r.recovery.NewWork), inSeconds(r.recovery.Back), len(r.findings))
	}
	b.WriteString(legend)
	for _, r := range t.rows {
		fmt.Fprintf(&b, "- **%s**: %s.", r.fault.Name, r.fault.Says)
		if len(r.notes) > 0 {
			fmt.Fprintf(&b, " Measured: %s.", strings.Join(r.notes, "; "))
		}
		b.WriteByte('\n')
	}
	for _, r := range t.rows {
		for i, f := range r.findings {
			if i == 0 {
				fmt.Fprintf(&b, "\nFindings of %s:\n\n", r.fault.Name)
			}
			if i == 30 {
				fmt.Fprintf(&b, "- … and %d more\n", len(r.findings)-i)
				break
			}
			fmt.Fprintf(&b, "- %s\n", f)
		}
	}
	return b.String()
}

const legend = `
jobs: committed. calls: of handlers; more than jobs, since some jobs fail as they were asked to and are tried again.
lost: committed and not ended as they should. phantom: there, or run, and never committed.
run again: calls that no failure of the job's own asked for; machine_stalled means that the machine ran nobody for 8 s
in between, so that a lease ended. stale: outcomes that came too late and were refused.
new work: how long until ten jobs that were committed after the fault had begun, the slowest of all runs.
back: how long until the last job that was not finished, or came later, had begun the call that counted, the slowest of all runs.
Both count from the kill or freeze of a process, and from the lifting of a fault of links or servers; where a limit is
promised it is a finding to exceed it by more than the machine let a program that does nothing wait for its turn.

`

func causes(n map[string]int) string {
	if len(n) == 0 {
		return "0"
	}
	var parts []string
	for _, cause := range slices.Sorted(maps.Keys(n)) {
		parts = append(parts, fmt.Sprintf("%d %s", n[cause], cause))
	}
	return strings.Join(parts, ", ")
}

func inSeconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

// line is what is said of a run when it is over.
func line(o one, found *verify.Report, err error, took time.Duration, kept string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-28s run %-3d %5.1f s  ", o.fault.Name, o.n, took.Seconds())
	if found != nil {
		fmt.Fprintf(&b, "%d jobs, %d calls, again: %s, new work %s, back %s", found.Jobs, found.Runs, causes(found.Duplicates),
			inSeconds(found.Recovery.NewWork), inSeconds(found.Recovery.Back))
	}
	b.WriteByte('\n')
	if err != nil {
		fmt.Fprintf(&b, "    harness: %v\n", err)
	}
	if found != nil {
		for i, f := range found.Findings {
			if i == 10 {
				fmt.Fprintf(&b, "    … and %d more\n", len(found.Findings)-i)
				break
			}
			fmt.Fprintf(&b, "    %s\n", f)
		}
	}
	if found != nil && len(found.Notes) > 0 {
		fmt.Fprintf(&b, "    %s\n", strings.Join(found.Notes, "; "))
	}
	if kept != "" {
		fmt.Fprintf(&b, "    again: %s\n    files: %s\n", o.again(), kept)
	}
	return b.String()
}
