package dashboard

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/penguinmails/rookery/job"
)

// lateness is how long a due job may wait before the overview says so.
const lateness = time.Minute

type overviewBody struct {
	Alerts []alert
	Tiles  []tile
	Queues []queueLine
	Dead   []job.DeadGroup
	Idle   bool // there is no queue at all

	Charts  bool   // may be seen
	Charted string // the queue that they are of; "": all
}

// alert is something that needs a person.
type alert struct {
	Tone string // bad or warn
	Text string
	To   string // where one can look or act
}

type tile struct {
	Label string
	Value string
	Note  string
	To    string
	Tone  string
	Trail string // the points of a sparkline, in a box of 100 by 24; "": none
}

// queueLine is a queue in a table.
type queueLine struct {
	job.QueueStats
	Bar     int // of its backlog, 0 to 100 of the largest
	Share   int // of its window that is used, 0 to 100
	Oldest  time.Duration
	Workers int
	Slots   int
	Busy    int
	Known   bool // workers are
}

// overview shows how the house is doing.
func (d *Dashboard) overview(ctx context.Context, _ *http.Request, v Visitor) (content, error) {
	g, dead, err := d.lookAtDead(ctx, v)
	if err != nil {
		return content{}, err
	}
	now := time.Now()
	lines := linesOf(g, now)
	body := overviewBody{Alerts: alertsOf(g, lines), Tiles: tilesOf(g), Queues: lines, Dead: dead[:min(len(dead), 5)], Idle: len(lines) == 0}
	what, err := v.charted(charted{})
	body.Charts, body.Charted = err == nil, what.Queue
	return content{template: "overview", title: "Overview", nav: "overview", live: true, body: body}, nil
}

func linesOf(g glance, now time.Time) []queueLine {
	most := int64(1)
	for _, q := range g.Queues {
		most = max(most, q.Ready+q.Out)
	}
	lines := make([]queueLine, len(g.Queues))
	for i, q := range g.Queues {
		l := queueLine{QueueStats: q, Bar: int((q.Ready + q.Out) * 100 / most)}
		if q.OldestAt != nil {
			l.Oldest = max(0, now.Sub(*q.OldestAt))
		}
		if q.Window != nil {
			l.Share = int(min(100, q.Window.Depth()*100/int64(max(1, q.WindowSize))))
		}
		l.Workers, l.Slots, l.Busy, l.Known = g.serving(q.Name)
		lines[i] = l
	}
	return lines
}

func tilesOf(g glance) []tile {
	var ready, scheduled, out, leased int64
	for _, q := range g.Queues {
		ready, scheduled, out = ready+q.Ready, scheduled+q.Scheduled, out+q.Out
		if q.Window != nil {
			leased += q.Window.Leased
		}
	}
	running := tile{Label: "With workers", Value: number(leased), Note: "leases in Redis", To: "/ui/jobs?q=status%3Aout"}
	if g.redisAway() {
		running.Value, running.Note = "?", "Redis does not answer"
	} else {
		running.Trail = trailOf(g.Trail, func(s sample) int64 { return s.leased })
	}
	deadTone := ""
	if g.Dead > 0 {
		deadTone = "bad"
	}
	relays, workers := g.alive("relay"), g.alive("worker")
	processTone := ""
	if relays == 0 {
		processTone = "bad"
	}
	return []tile{
		{Label: "Ready", Value: about(ready), Note: "due, in Postgres", To: "/ui/jobs?q=status%3Aready", Trail: trailOf(g.Trail, func(s sample) int64 { return s.ready })},
		{Label: "Scheduled", Value: about(scheduled), Note: "later, retries too", To: "/ui/jobs?q=status%3Ascheduled", Trail: trailOf(g.Trail, func(s sample) int64 { return s.scheduled })},
		{Label: "Out", Value: number(out), Note: "handed to Redis", To: "/ui/jobs?q=status%3Aout", Trail: trailOf(g.Trail, func(s sample) int64 { return s.out })},
		running,
		{Label: "Dead", Value: capped(g.Dead), Note: "failed for good", To: "/ui/dead", Tone: deadTone, Trail: trailOf(g.Trail, func(s sample) int64 { return s.dead })},
		{Label: "Processes", Value: number(relays + workers), Note: plural(relays, "relay", "relays") + ", " + plural(workers, "worker", "workers"), To: "/ui/workers", Tone: processTone},
	}
}

// trailOf draws a figure over the last minutes: points for a polyline.
func trailOf(trail []sample, of func(sample) int64) string {
	if len(trail) < 3 {
		return ""
	}
	most := int64(1)
	for _, s := range trail {
		most = max(most, of(s))
	}
	var b strings.Builder
	for i, s := range trail {
		fmt.Fprintf(&b, "%.1f,%.1f ", float64(i)*100/float64(len(trail)-1), 22-20*float64(of(s))/float64(most))
	}
	return strings.TrimSpace(b.String())
}

// alertsOf names what a person should look at, the worst first.
func alertsOf(g glance, lines []queueLine) []alert {
	var bad, warn []alert
	backlog := int64(0)
	for _, l := range lines {
		backlog += l.Ready + l.Out
	}
	if g.alive("relay") == 0 && len(lines) > 0 {
		bad = append(bad, alert{"bad", fmt.Sprintf("No relay has said for %s that it lives: jobs are not handed out.", span(job.Alive)), "/ui/workers"})
	}
	if g.redisAway() {
		bad = append(bad, alert{"bad", "Redis does not answer. Workers take jobs from Postgres meanwhile, and nothing is lost.", "/ui/workers"})
	}
	for _, l := range lines {
		to := "/ui/queues/" + l.Name
		waiting := l.Ready
		if l.Window != nil {
			waiting += l.Window.Depth()
		}
		switch {
		case l.Paused && waiting > 0:
			warn = append(warn, alert{"warn", fmt.Sprintf("Queue %s is paused, with %s waiting.", l.Name, plural(waiting, "job", "jobs")), to})
		case l.Known && l.Workers == 0 && waiting > 0:
			bad = append(bad, alert{"bad", fmt.Sprintf("No live worker serves queue %s, where %s.", l.Name, wait(waiting)), to})
		case l.Oldest > lateness && l.Window != nil && l.Share < 50 && g.alive("relay") > 0:
			bad = append(bad, alert{"bad", fmt.Sprintf("Relays hand out nothing of queue %s: a due job has waited for %s, and there is room in Redis.", l.Name, span(l.Oldest)), to})
		case l.Oldest > lateness:
			warn = append(warn, alert{"warn", fmt.Sprintf("The oldest due job of queue %s has waited for %s.", l.Name, span(l.Oldest)), to})
		}
	}
	all := append(bad, warn...)
	if len(all) > 8 {
		all = append(all[:7], alert{"warn", fmt.Sprintf("%d more things need a look.", len(all)-7), "/ui/queues"})
	}
	return all
}

func wait(n int64) string {
	if n == 1 {
		return "1 job waits"
	}
	return number(n) + " jobs wait"
}
