package main

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/job"
)

// quiet is how long a process may say nothing before it is called silent.
const quiet = 15 * time.Second

// overview is what rookery top shows.
type overview struct {
	At        time.Time
	Queues    []job.QueueStats
	Processes []job.ProcessState
}

// shownQueue is a queue as -o json prints it.
type shownQueue struct {
	job.QueueStats
	Workers    int     `json:"workers"`
	Backlog    int64   `json:"backlog"`
	Throughput float64 `json:"throughput"`
	Seconds    float64 `json:"seconds_of_work"`
}

func (v overview) shown() map[string]any {
	queues := make([]shownQueue, len(v.Queues)) // never null
	for i, q := range v.Queues {
		queues[i] = shownQueue{q, rookery.WorkersOf(q.Name, v.Processes), q.Backlog(), q.Rate.PerSecond(), workOf(q)}
	}
	return map[string]any{"at": v.At.UTC(), "queues": queues, "processes": append([]job.ProcessState{}, v.Processes...), "alerts": append([]string{}, v.alerts()...)}
}

func workOf(q job.QueueStats) float64 {
	if q.Paused {
		return 0
	}
	return q.Rate.SecondsOfWork(q.Backlog())
}

// alerts is what a person should look at, the worst first.
func (v overview) alerts() (all []string) {
	relays := 0
	for _, p := range v.Processes {
		if p.Role == "relay" && p.BeatAge < quiet {
			relays++
		}
	}
	if relays == 0 {
		all = append(all, "no relay lives: nothing is handed out")
	}
	if len(v.Queues) > 0 && v.Queues[0].Window == nil {
		all = append(all, "Redis does not answer")
	}
	for _, f := range rookery.QueueFindings(v.Queues, v.Processes) {
		all = append(all, harmless(f.Problem))
	}
	return all
}

func jobsAre(n int64) string {
	if n == 1 {
		return "1 job is"
	}
	return fmt.Sprint(n, " jobs are")
}

// lines is the whole of it: a line of sums, then alerts, queues and processes, each
// with an empty line before it. With most above 0 the lists are cut so that no part is
// pushed off the screen: what has most work comes first, and what was cut is counted.
func (v overview) lines(most int) []string {
	var backlog int64
	rate, work := 0.0, 0.0
	for _, q := range v.Queues {
		backlog, rate, work = backlog+q.Backlog(), rate+q.Rate.PerSecond(), max(work, workOf(q))
	}
	head := fmt.Sprintf("rookery top  %s  %s due  %.1f/s  work %s", v.At.Format(time.TimeOnly), jobsAre(backlog), rate, seconds(work))
	alerts := append([]string{"ALERTS"}, v.alerts()...)
	if len(alerts) == 1 {
		alerts = append(alerts, "none")
	}
	queues, processes := v.queueLines(), v.processLines()
	if most > 0 {
		room := most - 4 // the head, and three empty lines
		alerts = shorten(alerts, max(room/4, 3))
		queues = shorten(queues, max(min(len(queues), room-len(alerts)-min(len(processes), room/3)), 3))
		processes = shorten(processes, max(room-len(alerts)-len(queues), 2))
	}
	out := []string{head, ""}
	out = append(append(out, alerts...), "")
	out = append(append(out, queues...), "")
	return append(out, processes...)
}

// shorten keeps the first lines, and says how many it left out.
func shorten(lines []string, most int) []string {
	if len(lines) <= most {
		return lines
	}
	return append(slices.Clone(lines[:most-1]), fmt.Sprintf("… %d more", len(lines)-most+1))
}

func (v overview) queueLines() []string {
	queues := slices.Clone(v.Queues)
	slices.SortStableFunc(queues, func(a, b job.QueueStats) int {
		return cmp.Or(cmp.Compare(workOf(b), workOf(a)), cmp.Compare(b.Backlog(), a.Backlog()), cmp.Compare(a.Name, b.Name))
	})
	return aligned("QUEUE\tREADY\tSCHEDULED\tIN REDIS\tLEASED\tOLDEST\tRATE\tWORK\tWORKERS\t", len(queues), func(i int) string {
		q := queues[i]
		waiting, leased, oldest := "?", "?", "-"
		if q.Window != nil {
			waiting, leased = fmt.Sprint(q.Window.Depth()), fmt.Sprint(q.Window.Leased)
		}
		if q.OldestAt != nil {
			oldest = seconds(max(q.OldestAge.Seconds(), 0))
		}
		work := seconds(workOf(q))
		if q.Paused {
			work = "paused"
		}
		return fmt.Sprintf("%s\t%d\t%d\t%s\t%s\t%s\t%.1f\t%s\t%d\t", clip(q.Name, 28), q.Ready, q.Scheduled, waiting, leased, oldest, q.Rate.PerSecond(), work, rookery.WorkersOf(q.Name, v.Processes))
	})
}

func (v overview) processLines() []string {
	all := slices.Clone(v.Processes)
	slices.SortStableFunc(all, func(a, b job.ProcessState) int {
		return cmp.Or(cmp.Compare(a.Role, b.Role), cmp.Compare(a.BeatAge/quiet, b.BeatAge/quiet), cmp.Compare(a.ID, b.ID))
	})
	return aligned("PROCESS\tROLE\tHOST\tUP\tLAST BEAT\tQUEUES\t", len(all), func(i int) string {
		p := all[i]
		return fmt.Sprintf("%s\t%s\t%s\t%s\t%s ago\t%d\t", clip(printable(p.ID), 32), p.Role, clip(printable(p.Host), 20), seconds(v.At.Sub(p.StartedAt).Seconds()), seconds(p.BeatAge.Seconds()), len(p.Epochs))
	})
}

// aligned is a table as lines.
func aligned(head string, rows int, row func(int) string) []string {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, head)
	for i := range rows {
		fmt.Fprintln(w, row(i))
	}
	_ = w.Flush() // into memory
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return lines
}

// seconds is a length of time in few characters: 0s, 250ms, 12s, 3m05s, 2h10m, 4d.
func seconds(s float64) string {
	d := time.Duration(min(s, 1e9) * float64(time.Second))
	switch {
	case d <= 0:
		return "0s"
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Hour:
		return d.Round(time.Second).String()
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd", int(d.Hours())/24)
}
