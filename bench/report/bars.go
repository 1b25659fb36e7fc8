package report

import (
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// bar is one row of a panel: a length, or several lengths end to end, a whisker from
// low to high, and the number beside it.
type bar struct {
	name  string
	parts []part
	spread
}

type part struct {
	length float64
	look   look
}

// bars draws horizontal bars, the first one on top. It is a [plot.Plotter].
type bars []bar

const (
	rowHeight = vg.Length(19)
	thickness = 0.68 // of a row
)

// barPanel is bars on an axis of their own that begins at zero.
func barPanel(title, unit string, rows bars) panel {
	p := newPlot()
	p.X.Label.Text = unit
	most := 0.0
	for _, r := range rows {
		most = max(most, r.high, r.median)
	}
	p.X.Min, p.X.Max = 0, max(most, 1e-9)*1.15 // the numbers beside the bars need room
	p.X.Tick.Marker = linearTicks{}
	p.Y.Min, p.Y.Max = -0.5, float64(len(rows))-0.5
	p.Y.Tick.LineStyle.Width = 0
	p.Y.Padding = 0
	p.X.Padding = 0
	var names plot.ConstantTicks
	for i, r := range rows {
		names = append(names, plot.Tick{Value: rows.at(i), Label: r.name})
	}
	p.Y.Tick.Marker = names
	p.Add(grid{vertical: true}, rows)
	return panel{title: title, plot: p, height: rowHeight*vg.Length(len(rows)) + 44}
}

// at is where on the axis the i-th bar is.
func (b bars) at(i int) float64 { return float64(len(b) - 1 - i) }

// Plot implements [plot.Plotter].
func (b bars) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	for i, r := range b {
		low, high := y(b.at(i)-thickness/2), y(b.at(i)+thickness/2)
		from := 0.0
		for _, part := range r.parts {
			to := from + part.length
			c.FillPolygon(part.look.color, []vg.Point{{X: x(from), Y: low}, {X: x(to), Y: low}, {X: x(to), Y: high}, {X: x(from), Y: high}})
			from = to
		}
		end := max(from, r.median)
		if r.high > r.low {
			b.whisker(c, x(r.low), x(r.high), y(b.at(i)))
			end = max(end, r.high)
		}
		beside(c, vg.Point{X: x(end) + 4, Y: y(b.at(i))}, number(r.median))
	}
}

// beside writes a number on white, so that no line of the grid runs through it.
func beside(c draw.Canvas, at vg.Point, text string) {
	style := middle(vg.Points(8.5))
	wide := style.Width(text)
	c.FillPolygon(hex(0xFFFFFF), []vg.Point{{X: at.X - 1, Y: at.Y - 5}, {X: at.X + wide + 1, Y: at.Y - 5}, {X: at.X + wide + 1, Y: at.Y + 5}, {X: at.X - 1, Y: at.Y + 5}})
	c.FillText(style, vg.Point{X: at.X, Y: at.Y + lift}, text)
}

// whisker is drawn dark on light, so that it is seen on a bar of any colour.
func (b bars) whisker(c draw.Canvas, from, to, y vg.Length) {
	const end = 3
	lines := [][]vg.Point{
		{{X: from, Y: y}, {X: to, Y: y}},
		{{X: from, Y: y - end}, {X: from, Y: y + end}},
		{{X: to, Y: y - end}, {X: to, Y: y + end}},
	}
	c.StrokeLines(draw.LineStyle{Color: hex(0xFFFFFF), Width: vg.Points(2.6)}, lines...)
	c.StrokeLines(draw.LineStyle{Color: hex(0x000000), Width: vg.Points(1)}, lines...)
}
