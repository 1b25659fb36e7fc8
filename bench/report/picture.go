package report

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// picture is one file: a title, a legend under it, and panels one below the other, in
// one column or two.
type picture struct {
	Plot
	note    string // under the title: what bars and whiskers are
	legend  []look
	columns int // 0 is 1
	panels  []panel
}

// panel is one plot with axes of its own. Its title and legend stand above it, where
// they cover no data.
type panel struct {
	title  string
	plot   *plot.Plot
	legend []look
	height vg.Length
}

const (
	width    = vg.Length(620) // points
	margin   = vg.Length(12)
	lineSkip = vg.Length(15)
	dpi      = 144
)

// newPlot is an empty plot in the house's style.
func newPlot() *plot.Plot {
	p := plot.New()
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.Label.TextStyle.Font = words(vg.Points(9), false).Font
		a.Tick.Label.Font = words(vg.Points(8.5), false).Font
		a.LineStyle.Width, a.Tick.LineStyle.Width = vg.Points(0.6), vg.Points(0.6)
		a.Tick.Length = vg.Points(4)
		a.Padding = vg.Points(3)
		a.Label.Padding = vg.Points(3)
		for _, style := range []*draw.TextStyle{&a.Label.TextStyle, &a.Tick.Label} {
			style.Color = ink
		}
	}
	return p
}

// height is that of the whole picture.
func (p picture) height() vg.Length {
	sum := 2*margin + p.head()
	for _, row := range p.rows() {
		var most vg.Length
		for _, panel := range row {
			most = max(most, panel.height+panel.above(p.panelWidth()))
		}
		sum += most
	}
	return sum
}

// head is the height of title, note and legend.
func (p picture) head() vg.Length {
	sum := vg.Length(24)
	if p.note != "" {
		sum += lineSkip
	}
	return sum + legendHeight(p.legend, width-2*margin)
}

func (p picture) panelWidth() vg.Length {
	return (width - 2*margin) / vg.Length(max(p.columns, 1))
}

// above is the height of a panel's title and legend.
func (p panel) above(wide vg.Length) vg.Length {
	sum := legendHeight(p.legend, wide)
	if p.title != "" {
		sum += lineSkip + 4
	}
	return sum
}

// drawAbove draws title and legend on the upper edge of a canvas.
func (p panel) drawAbove(c draw.Canvas, y vg.Length) {
	if p.title != "" {
		c.FillText(words(vg.Points(10), true), vg.Point{X: c.Min.X, Y: y}, p.title)
		y -= lineSkip
	}
	drawLegend(c, p.legend, y)
}

// rows are the panels side by side.
func (p picture) rows() [][]panel {
	var out [][]panel
	n := max(p.columns, 1)
	for i := 0; i < len(p.panels); i += n {
		out = append(out, p.panels[i:min(i+n, len(p.panels))])
	}
	return out
}

// draw draws the picture on a canvas of its width and height.
func (p picture) draw(c draw.Canvas) {
	c.SetColor(hex(0xFFFFFF))
	c.Fill(c.Rectangle.Path())
	c = draw.Crop(c, margin, -margin, margin, -margin)
	y := c.Max.Y
	c.FillText(words(vg.Points(13), true), vg.Point{X: c.Min.X, Y: y}, p.Title)
	y -= 20
	if p.note != "" {
		c.FillText(words(vg.Points(9), false), vg.Point{X: c.Min.X, Y: y}, p.note)
		y -= lineSkip
	}
	drawLegend(c, p.legend, y)
	y = c.Max.Y - p.head()
	for _, row := range p.rows() {
		var most vg.Length
		canvases := make([]draw.Canvas, len(row))
		for i, panel := range row {
			at := c
			at.Min.X += p.panelWidth() * vg.Length(i)
			at.Max.X = at.Min.X + p.panelWidth()
			if i+1 < max(p.columns, 1) {
				at.Max.X -= margin
			}
			above := panel.above(p.panelWidth())
			panel.drawAbove(at, y)
			at.Max.Y = y - above
			at.Min.Y = at.Max.Y - panel.height + 8
			canvases[i] = at
			most = max(most, panel.height+above)
		}
		for i, panel := range row {
			panel.plot.Draw(p.align(panel, canvases[i]))
		}
		y -= most
	}
}

// align crops a panel's canvas so that the axes of all panels begin and end at the
// same distance from their canvases' edges, however long their labels are.
func (p picture) align(own panel, c draw.Canvas) draw.Canvas {
	edges := func(pl *plot.Plot) (left, right vg.Length) {
		d := pl.DataCanvas(c)
		return d.Min.X - c.Min.X, c.Max.X - d.Max.X
	}
	var left, right vg.Length
	for _, other := range p.panels {
		l, r := edges(other.plot)
		left, right = max(left, l), max(right, r)
	}
	l, r := edges(own.plot)
	return draw.Crop(c, left-l, r-right, 0, 0)
}

// write draws the picture twice, into dir/name.svg and dir/name.png.
func (p picture) write(dir string) error {
	high := p.height()
	svg := vgsvg.New(width, high)
	p.draw(draw.New(svg))
	png := vgimg.NewWith(vgimg.UseWH(width, high), vgimg.UseDPI(dpi))
	p.draw(draw.New(png))
	for path, canvas := range map[string]io.WriterTo{p.Name + ".svg": svg, p.Name + ".png": vgimg.PngCanvas{Canvas: png}} {
		if err := writeTo(filepath.Join(dir, path), canvas); err != nil {
			return fmt.Errorf("write plot %s: %w", path, err)
		}
	}
	return nil
}

// Who looks at an SVG may not have the font, but has one of the same measures.
var (
	fontHere      = []byte("font-family:Liberation Sans;")
	fontElsewhere = []byte("font-family:'Liberation Sans',Arial,Helvetica,sans-serif;")
)

func writeTo(path string, canvas io.WriterTo) error {
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		return err
	}
	data := b.Bytes()
	if filepath.Ext(path) == ".svg" {
		data = bytes.ReplaceAll(data, fontHere, fontElsewhere)
	}
	return os.WriteFile(path, data, 0o644)
}
