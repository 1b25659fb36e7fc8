package report

import (
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"github.com/penguinmails/rookery/bench/workloads"
)

// latencyByRate has a panel per rate, all on the same axis: quantiles to the right,
// how long it takes upwards.
func (s Set) latencyByRate() (picture, error) {
	p := picture{
		Plot: Plot{"e", "e-latency", "(e) How long a job waits, commit to start"}, columns: 2,
		note: "Jobs come one a transaction at random moments. Medians of all runs.",
	}
	axes := scales{x: "quantile", y: "ms", logY: true, low: math.Inf(1)}
	for _, q := range quantiles {
		axes.names = append(axes.names, q.name)
	}
	type rated struct {
		name  string
		lines []line
	}
	var all []rated
	for _, name := range s.cases("e") {
		r := rated{name: name}
		for _, g := range s.groups("e") {
			if g.Case != name {
				continue
			}
			l := line{look: lookOf(g.System)}
			for i, q := range quantiles {
				if v, ok := g.measured(quantile(started, q.pick)); ok && v.median > 0 {
					l.points = append(l.points, plotter.XY{X: float64(i), Y: v.median})
					axes.low, axes.high = min(axes.low, v.median), max(axes.high, v.median)
				}
			}
			if len(l.points) > 0 {
				r.lines = append(r.lines, l)
				p.legend = withLook(p.legend, l.look)
			}
		}
		if len(r.lines) > 0 {
			all = append(all, r)
		}
	}
	for _, r := range all {
		title := r.name
		if n, ok := trailing(r.name, "rate-"); ok {
			title = whole(float64(n)) + " jobs/s"
		}
		drawn, err := linePanel(title, 200, axes, r.lines)
		if err != nil {
			return picture{}, err
		}
		p.panels = append(p.panels, drawn)
	}
	return p, nil
}

// withLook adds a look to a legend that does not have it.
func withLook(legend []look, l look) []look {
	if slices.ContainsFunc(legend, func(o look) bool { return o.name == l.name }) {
		return legend
	}
	return append(legend, l)
}

// course is how the rate, the dead rows and the size of the tables go, over minutes.
// Of several runs the last is drawn: a median of courses is no course.
func (s Set) course(letter, title string) (picture, error) {
	p := picture{Plot: Plot{letter, letter + "-course", title}}
	var rates, dead, sizes []line
	for _, g := range s.groups(letter) {
		run := g.Runs[len(g.Runs)-1]
		l := lookOf(g.System)
		rates = append(rates, line{l, along(run, func(point map[string]float64) (float64, bool) {
			v, ok := point["rate"]
			return v, ok
		})})
		sizes = append(sizes, line{l, along(run, ending("_mb"))})
		for _, key := range keysOf(run, "_dead") {
			table := strings.TrimSuffix(key, "_dead")
			dead = append(dead, line{
				look{name: g.System + ": " + table, color: l.color, glyph: l.glyph, dash: dashes[table]},
				along(run, func(point map[string]float64) (float64, bool) { v, ok := point[key]; return v, ok }),
			})
		}
	}
	for _, part := range []struct {
		title, unit string
		lines       []line
	}{
		{"Rate", "jobs per second", rates},
		{"Dead rows", "rows", dead},
		{"Size of all tables, with their indexes", "MB", sizes},
	} {
		lines := slices.DeleteFunc(part.lines, func(l line) bool { return len(l.points) == 0 })
		if len(lines) == 0 {
			continue
		}
		drawn, err := linePanel(part.title, 165, scales{x: "minutes", y: part.unit}, lines)
		if err != nil {
			return picture{}, err
		}
		for _, l := range lines {
			// Glyphs mark points only while there are few, so the legend shows none
			// that the lines do not have.
			if len(l.points) > fewPoints {
				l.look.glyph = nil
				if l.look.dash == nil {
					l.look.dash = solid
				}
			}
			drawn.legend = append(drawn.legend, l.look)
		}
		p.panels = append(p.panels, drawn)
	}
	return p, nil
}

// solid is a dash without gaps.
var solid = []vg.Length{}

// along is a series over minutes.
func along(r workloads.Run, of func(map[string]float64) (float64, bool)) plotter.XYs {
	var out plotter.XYs
	for _, point := range r.Series {
		if v, ok := of(point); ok {
			out = append(out, plotter.XY{X: point["seconds"] / 60, Y: v})
		}
	}
	return out
}

// keysOf returns the keys of that ending of all points of a series.
func keysOf(r workloads.Run, suffix string) []string {
	all := map[string]float64{}
	for _, point := range r.Series {
		for key := range point {
			all[key] = 0
		}
	}
	return keysEnding(all, suffix)
}

// depth is the rate, and what Redis holds, over backlogs.
func (s Set) depth() (picture, error) {
	p := picture{Plot: Plot{"i", "i-backlog", "(i) Draining from backlogs of all sizes"}, columns: 2, note: "Medians of all runs."}
	var rates, memory []line
	for _, g := range s.groups("i") {
		n, ok := trailing(g.Case, backlog)
		if !ok {
			continue
		}
		rates = onLine(rates, g, float64(n), rate)
		memory = onLine(memory, g, float64(n), extra("redis_mb"))
	}
	for _, part := range []struct {
		title, unit string
		lines       []line
	}{{"Rate", "jobs per second", rates}, {"Most that Redis' memory grew by", "MB", memory}} {
		if len(part.lines) == 0 {
			continue
		}
		drawn, err := linePanel(part.title, 220, scales{x: "backlog, jobs", y: part.unit, logX: true}, part.lines)
		if err != nil {
			return picture{}, err
		}
		for _, l := range part.lines {
			p.legend = withLook(p.legend, l.look)
		}
		p.panels = append(p.panels, drawn)
	}
	return p, nil
}

// onLine adds a group's figure to its system's line.
func onLine(lines []line, g Group, x float64, f figure) []line {
	v, ok := g.measured(f)
	if !ok {
		return lines
	}
	i := slices.IndexFunc(lines, func(l line) bool { return l.look.name == g.System })
	if i < 0 {
		lines = append(lines, line{look: lookOf(g.System)})
		i = len(lines) - 1
	}
	lines[i].points = append(lines[i].points, plotter.XY{X: x, Y: v.median})
	return lines
}
