package report

import (
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// A legend is a strip of samples and names from left to right, in as many rows as it
// takes. It has a place of its own outside of the axes: no data can lie under it.
const (
	sample     = vg.Length(20)
	legendGap  = vg.Length(14)
	legendSize = vg.Length(9)
)

// place is where a sample stands: from the left, and in which row from the top.
type place struct {
	x   vg.Length
	row int
}

func legendPlaces(entries []look, wide vg.Length) []place {
	var out []place
	at := place{}
	for _, e := range entries {
		need := sample + 5 + words(legendSize, false).Width(e.name)
		if at.x > 0 && at.x+need > wide {
			at = place{row: at.row + 1}
		}
		out = append(out, at)
		at.x += need + legendGap
	}
	return out
}

func legendHeight(entries []look, wide vg.Length) vg.Length {
	places := legendPlaces(entries, wide)
	if len(places) == 0 {
		return 0
	}
	return lineSkip*vg.Length(places[len(places)-1].row+1) + 4
}

// drawLegend draws the strip with its top at y. What has a glyph is a line, the rest
// are areas.
func drawLegend(c draw.Canvas, entries []look, y vg.Length) {
	style := middle(legendSize)
	for i, at := range legendPlaces(entries, c.Max.X-c.Min.X) {
		e := entries[i]
		left, mid := c.Min.X+at.x, y-lineSkip*vg.Length(at.row)-lineSkip/2
		if e.glyph == nil && e.dash == nil {
			c.FillPolygon(e.color, []vg.Point{{X: left + 6, Y: mid - 5}, {X: left + sample, Y: mid - 5}, {X: left + sample, Y: mid + 5}, {X: left + 6, Y: mid + 5}})
		} else {
			c.StrokeLine2(draw.LineStyle{Color: e.color, Width: vg.Points(1.8), Dashes: e.dash}, left, mid, left+sample, mid)
			if e.glyph != nil {
				c.DrawGlyph(draw.GlyphStyle{Color: e.color, Radius: vg.Points(3.2), Shape: e.glyph}, vg.Point{X: left + sample/2, Y: mid})
			}
		}
		c.FillText(style, vg.Point{X: left + sample + 5, Y: mid + lift}, e.name)
	}
}
