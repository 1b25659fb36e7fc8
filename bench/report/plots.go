package report

import (
	"fmt"
	"os"
	"path/filepath"
)

// PlotFolder is where the plots are, below the folder of performance.md.
const PlotFolder = "performance"

// Plot is one drawing of a workload, in two files: Name.svg and Name.png.
type Plot struct {
	Workload string
	Name     string // such as "b-rate"
	Title    string
}

// Draw draws all plots that there are results for into the folder PlotFolder below
// dir, and returns them by workload. The same results give the same files.
func Draw(dir string, s Set) ([]Plot, error) {
	pictures, err := s.pictures()
	if err != nil {
		return nil, fmt.Errorf("draw: %w", err)
	}
	dir = filepath.Join(dir, PlotFolder)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the plots' folder: %w", err)
	}
	var out []Plot
	for _, p := range pictures {
		if err := p.write(dir); err != nil {
			return nil, err
		}
		out = append(out, p.Plot)
	}
	return out, nil
}

// rateTitles are the workloads that are told by rates alone.
var rateTitles = map[string]string{
	"a": "(a) Draining what was inserted before",
	"b": "(b) Inserting and draining together",
	"c": "(c) One job a transaction, together with a row of the application's",
	"d": "(d) Payloads of 120 B, 1 KB and 20 KB",
	"f": "(f) Handlers that take their time, 100 at once",
	"l": "(l) More relays, more workers",
	"m": "(m) One first attempt of ten fails",
}

const whiskers = "Bars are medians of all runs, whiskers reach from the lowest to the highest run."

// pictures returns all that there are results for; a picture without a panel is none.
func (s Set) pictures() ([]picture, error) {
	var all []picture
	add := func(p picture, err error) error {
		if err == nil && len(p.panels) > 0 {
			all = append(all, p)
		}
		return err
	}
	for _, letter := range s.Letters() {
		var err error
		switch letter {
		case "a", "b", "c", "d", "f", "m":
			err = add(s.rates(letter), nil)
		case "e":
			err = add(s.latencyByRate())
		case "g":
			err = add(s.course("g", "(g) Minutes of steady work, autovacuum on"))
		case "h":
			err = add(s.course("h", "(h) The same beside a transaction that holds an old snapshot"))
		case "i":
			err = add(s.depth())
		case "j":
			err = add(s.crowd(), nil)
		case "k":
			err = add(s.lateness(), nil)
		case "l":
			err = add(s.scaling(), nil)
		}
		switch letter {
		case "b":
			err = add(s.cpuParts(), err)
		case "c":
			err = add(s.insertRates(), err)
		}
		if err != nil {
			return nil, fmt.Errorf("workload %s: %w", letter, err)
		}
	}
	return all, nil
}

// rates has a panel per case, each with an axis of its own: cases differ by orders of
// magnitude, systems are what is compared.
func (s Set) rates(letter string) picture {
	p := picture{Plot: Plot{letter, letter + "-rate", rateTitles[letter]}, note: whiskers}
	p.panels = s.systemBars(letter, "jobs per second, to completed", rate)
	return p
}

// insertRates is how fast producers of (c) were told that their jobs are in.
func (s Set) insertRates() picture {
	p := picture{Plot: Plot{"c", "c-inserts", "(c) How fast 16 producers insert, one job a transaction"}, note: whiskers}
	p.panels = s.systemBars("c", "inserts per second", extra(inserts))
	return p
}

// systemBars returns a panel per case with a bar per system.
func (s Set) systemBars(letter, unit string, f figure) []panel {
	var panels []panel
	for _, name := range s.cases(letter) {
		var rows bars
		for _, g := range s.groups(letter) {
			if v, ok := g.measured(f); ok && g.Case == name {
				rows = append(rows, bar{g.System, []part{{v.median, lookOf(g.System)}}, v})
			}
		}
		if len(rows) > 0 {
			panels = append(panels, barPanel(name, unit, rows))
		}
	}
	return panels
}

// cpuParts stacks the CPU of each group of processes. The number beside is the sum.
func (s Set) cpuParts() picture {
	p := picture{
		Plot: Plot{"b", "b-cpu", "(b) CPU a job, inserting and draining together"},
		note: "Medians of all runs, of every group of processes by itself.", legend: cpuGroups,
	}
	for _, name := range s.cases("b") {
		var rows bars
		for _, g := range s.groups("b") {
			row := bar{name: g.System}
			for _, group := range cpuGroups {
				if v, ok := g.measured(cpuOf(group.name)); ok {
					row.parts = append(row.parts, part{v.median, group})
					row.median += v.median
				}
			}
			if g.Case == name && len(row.parts) > 0 {
				row.low, row.high = row.median, row.median
				rows = append(rows, row)
			}
		}
		if len(rows) > 0 {
			p.panels = append(p.panels, barPanel(name, "CPU, µs a job", rows))
		}
	}
	return p
}

// crowd sets the waits of the other queues' jobs alone and beside a backlog one above
// the other.
func (s Set) crowd() picture {
	p := picture{Plot: Plot{"j", "j-latency", "(j) 49 queues' jobs beside one queue's backlog, commit to start"}, note: whiskers}
	var rows bars
	for _, q := range quantiles {
		for _, name := range s.cases("j") {
			v, ok := s.of("j", name, ours).measured(quantile(started, q.pick))
			n, named := trailing(name, waiting)
			if !ok || !named {
				continue
			}
			l := lookOf(ours)
			if n == 0 {
				l = l.paler()
			}
			rows = append(rows, bar{fmt.Sprintf("%s, %s waiting", q.name, whole(float64(n))), []part{{v.median, l}}, v})
		}
	}
	if len(rows) > 0 {
		p.panels = append(p.panels, barPanel("", "ms", rows))
	}
	return p
}

// lateness is how long after it was due a scheduled job started.
func (s Set) lateness() picture {
	p := picture{Plot: Plot{"k", "k-latency", "(k) A thousand scheduled jobs a second: due to start"}, note: whiskers}
	for _, g := range s.groups("k") {
		var rows bars
		for _, q := range quantiles {
			if v, ok := g.measured(quantile(punctual, q.pick)); ok {
				rows = append(rows, bar{q.name, []part{{v.median, lookOf(g.System)}}, v})
			}
		}
		if v, ok := g.measured(quantile(punctual, longest)); ok {
			rows = append(rows, bar{"max", []part{{v.median, lookOf(g.System)}}, v})
		}
		if len(rows) > 0 {
			p.panels = append(p.panels, barPanel(g.System, "ms", rows))
		}
	}
	return p
}

// scaling is one panel for all cases: they are what is compared.
func (s Set) scaling() picture {
	p := picture{Plot: Plot{"l", "l-rate", rateTitles["l"]}, note: whiskers}
	var rows bars
	for _, g := range s.groups("l") {
		if v, ok := g.measured(rate); ok {
			rows = append(rows, bar{crew(g.Case), []part{{v.median, lookOf(g.System)}}, v})
		}
	}
	if len(rows) > 0 {
		p.panels = append(p.panels, barPanel("", "jobs per second, to completed", rows))
	}
	return p
}

// crew reads "2-relays-1-workers" as "2 relays, 1 worker".
func crew(name string) string {
	var relays, workers int
	if n, _ := fmt.Sscanf(name, "%d-relays-%d-workers", &relays, &workers); n != 2 {
		return name
	}
	plural := func(n int, noun string) string {
		if n == 1 {
			return "1 " + noun
		}
		return fmt.Sprintf("%d %ss", n, noun)
	}
	return plural(relays, "relay") + ", " + plural(workers, "worker")
}
