package report

import (
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// line is one line of a panel. Glyphs mark its points while there are few.
type line struct {
	look   look
	points plotter.XYs
}

const fewPoints = 15

// scales are the axes of lines.
type scales struct {
	x, y       string // with units
	logX, logY bool
	names      []string // of the points 0, 1, … of the x axis, in place of numbers
	low, high  float64  // that the y axis must hold; as the lines say when both are 0
}

// linePanel draws lines. A linear y axis begins at zero; of a logarithmic one, points
// that are not above zero are left out.
func linePanel(title string, height vg.Length, s scales, lines []line) (panel, error) {
	p := newPlot()
	p.X.Label.Text, p.Y.Label.Text = s.x, s.y
	p.X.Tick.Marker, p.Y.Tick.Marker = linearTicks{}, linearTicks{}
	p.Add(grid{vertical: len(s.names) == 0, horizontal: true})
	for _, l := range lines {
		var points plotter.XYs
		for _, xy := range l.points {
			if (!s.logX || xy.X > 0) && (!s.logY || xy.Y > 0) {
				points = append(points, xy)
			}
		}
		if len(points) == 0 {
			continue
		}
		drawn, dots, err := plotter.NewLinePoints(points)
		if err != nil {
			return panel{}, err
		}
		drawn.Color, drawn.Width, drawn.Dashes = l.look.color, vg.Points(1.8), l.look.dash
		dots.Color, dots.Radius, dots.Shape = l.look.color, vg.Points(3.2), l.look.glyph
		p.Add(drawn)
		if len(points) <= fewPoints && l.look.glyph != nil {
			p.Add(dots)
		}
	}
	if s.high > 0 {
		p.Y.Min, p.Y.Max = s.low, s.high
	}
	if s.logY {
		spanLog(&p.Y)
	} else {
		spanLinear(&p.Y)
	}
	switch {
	case len(s.names) > 0:
		p.X.Min, p.X.Max = -0.25, float64(len(s.names))-0.75
		var ticks plot.ConstantTicks
		for i, name := range s.names {
			ticks = append(ticks, plot.Tick{Value: float64(i), Label: name})
		}
		p.X.Tick.Marker = ticks
	case s.logX:
		spanLog(&p.X)
	default:
		spanLinear(&p.X)
	}
	return panel{title: title, plot: p, height: height}, nil
}

// spanLinear lets an axis begin at zero and end a little above its data.
func spanLinear(a *plot.Axis) {
	if a.Min > 0 {
		a.Min = 0
	}
	if a.Max <= 0 || math.IsInf(a.Max, 0) {
		a.Max = 1
	}
	a.Max *= 1.05
}

// spanLog makes an axis logarithmic, with room around its data.
func spanLog(a *plot.Axis) {
	if a.Max <= 0 || math.IsInf(a.Max, 0) { // no data
		a.Min, a.Max = 1, 10
	}
	a.Min, a.Max = a.Min/1.25, a.Max*1.25
	a.Scale, a.Tick.Marker = plot.LogScale{}, logTicks{}
}

// linearTicks are gonum's, written with thousands apart.
type linearTicks struct{}

// Ticks implements [plot.Ticker].
func (linearTicks) Ticks(low, high float64) []plot.Tick {
	ticks := plot.DefaultTicks{}.Ticks(low, high)
	for i, t := range ticks {
		if t.Label != "" {
			ticks[i].Label = tick(t.Value)
		}
	}
	return ticks
}

// logTicks are at 1, 2, … 9 of every decade. 1 is labelled, and 2 and 5 too while
// there are at most two decades.
type logTicks struct{}

// Ticks implements [plot.Ticker].
func (logTicks) Ticks(low, high float64) []plot.Tick {
	var ticks []plot.Tick
	short := math.Log10(high/low) <= 2.2
	for e := math.Floor(math.Log10(low)); e <= math.Ceil(math.Log10(high)); e++ {
		for digit := 1.0; digit <= 9; digit++ {
			t := plot.Tick{Value: digit * math.Pow(10, e)}
			if digit == 1 || short && (digit == 2 || digit == 5) {
				t.Label = tick(t.Value)
			}
			if t.Value >= low && t.Value <= high {
				ticks = append(ticks, t)
			}
		}
	}
	return ticks
}

// grid draws pale lines at the labelled ticks. It is a [plot.Plotter].
type grid struct{ vertical, horizontal bool }

// Plot implements [plot.Plotter].
func (g grid) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	if g.vertical {
		for _, t := range p.X.Tick.Marker.Ticks(p.X.Min, p.X.Max) {
			if at := x(t.Value); !t.IsMinor() && c.ContainsX(at) {
				c.StrokeLine2(rule, at, c.Min.Y, at, c.Max.Y)
			}
		}
	}
	if g.horizontal {
		for _, t := range p.Y.Tick.Marker.Ticks(p.Y.Min, p.Y.Max) {
			if at := y(t.Value); !t.IsMinor() && c.ContainsY(at) {
				c.StrokeLine2(rule, c.Min.X, at, c.Max.X, at)
			}
		}
	}
}
