package report

import (
	"image/color"
	"slices"

	xfont "golang.org/x/image/font"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// look is how a system, a group of processes, or a table is drawn, in every plot.
type look struct {
	name  string
	color color.Color
	glyph draw.GlyphDrawer
	dash  []vg.Length
}

// looks are the systems'. The colours are Paul Tol's scheme "muted", which people of
// every colour vision can tell apart (https://personal.sron.nl/~pault/); where systems
// are lines, their glyphs differ too.
var looks = []look{
	{name: "rookery", color: hex(0x332288), glyph: draw.CircleGlyph{}},
	{name: "rookery-sql", color: hex(0x88CCEE), glyph: draw.RingGlyph{}},
	{name: "river", color: hex(0x882255), glyph: draw.TriangleGlyph{}},
	{name: "river-bench", color: hex(0xCC6677), glyph: draw.PyramidGlyph{}},
	{name: "asynq", color: hex(0x44AA99), glyph: draw.SquareGlyph{}},
	{name: "bullmq", color: hex(0xDDCC77), glyph: draw.BoxGlyph{}},
	{name: "graphile-worker", color: hex(0x999933), glyph: draw.CrossGlyph{}},
	{name: "graphile-worker-bench", color: hex(0x117733), glyph: draw.CrossGlyph{}},
	{name: "pg-boss", color: hex(0xAA4499), glyph: draw.PlusGlyph{}},
	{name: "pg-boss-bench", color: hex(0xD9A3D0), glyph: draw.PlusGlyph{}},
	{name: "floor", color: hex(0x555555), glyph: draw.RingGlyph{}},
	{name: "plain", color: hex(0xBBBBBB), glyph: draw.RingGlyph{}},
}

// cpuGroups are the groups of processes in the order in which they are stacked. Their
// colours, Okabe and Ito's (https://jfly.uni-koeln.de/color/), are no system's.
var cpuGroups = []look{
	{name: "postgres", color: hex(0x0072B2)},
	{name: "redis", color: hex(0xD55E00)},
	{name: "relay", color: hex(0xF0E442)},
	{name: "producers", color: hex(0x999999)},
	{name: "workers", color: hex(0x009E73)},
}

// dashes tell a system's tables apart.
var dashes = map[string][]vg.Length{"ready": {6, 3}, "dispatches": {1.5, 2.5}}

// lookOf returns a system's look; an unknown one is grey.
func lookOf(system string) look {
	if i := slices.IndexFunc(looks, func(l look) bool { return l.name == system }); i >= 0 {
		return looks[i]
	}
	return look{name: system, color: hex(0x777777), glyph: draw.CrossGlyph{}}
}

// paler is the look of a system's other measurement beside its first.
func (l look) paler() look {
	r, g, b, _ := l.color.RGBA()
	mix := func(c uint32) uint8 { return uint8((c>>8 + 2*255) / 3) }
	l.color = color.NRGBA{R: mix(r), G: mix(g), B: mix(b), A: 255}
	return l
}

func hex(rgb uint32) color.Color {
	return color.NRGBA{R: uint8(rgb >> 16), G: uint8(rgb >> 8), B: uint8(rgb), A: 255}
}

var (
	ink  = hex(0x222222)
	rule = draw.LineStyle{Color: hex(0xDDDDDD), Width: vg.Points(0.6)}
)

// lift is by how much a text must be raised to stand in the middle: gonum counts the
// space below the line too.
const lift = vg.Length(1.3)

// middle is the style of a text that stands beside something, its lift not counted.
func middle(size vg.Length) text.Style {
	style := words(size, false)
	style.YAlign = draw.YCenter
	return style
}

// words is the style of a text of some size, aligned left and at its top.
func words(size vg.Length, heavy bool) text.Style {
	f := font.Font{Typeface: "Liberation", Variant: "Sans", Size: size}
	if heavy {
		f.Weight = xfont.WeightBold
	}
	return text.Style{Color: ink, Font: f, XAlign: draw.XLeft, YAlign: draw.YTop, Handler: plot.DefaultTextHandler}
}
