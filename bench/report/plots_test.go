package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/penguinmails/rookery/bench/workloads"
)

// drawn draws and returns every file by its name.
func drawn(t *testing.T, s Set) map[string][]byte {
	t.Helper()
	dir := t.TempDir()
	plots, err := Draw(dir, s)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, p := range plots {
		for _, kind := range []string{".png", ".svg"} {
			data, err := os.ReadFile(filepath.Join(dir, PlotFolder, p.Name+kind))
			if err != nil {
				t.Fatal(err)
			}
			files[p.Name+kind] = data
		}
	}
	there, err := os.ReadDir(filepath.Join(dir, PlotFolder))
	if err != nil || len(there) != len(files) {
		t.Fatalf("%d files are there (%v), want the %d of the plots", len(there), err, len(files))
	}
	return files
}

func TestDraw_EveryPlotOfEveryWorkload(t *testing.T) {
	t.Parallel()
	files := drawn(t, setOf(atTheLimits()...))
	want := map[string][]string{ // what each says, and whom it shows
		"a-rate":    {"floor", ours, rival, "jobs per second"},
		"b-rate":    {ours, rival, "asynq", "24,000"},
		"b-cpu":     {"CPU, µs a job", "postgres", "redis", "workers", "300"},
		"c-rate":    {ours, "rookery-sql"},
		"c-inserts": {"plain", "inserts per second"},
		"d-rate":    {"payload-120"},
		"e-latency": {"200 jobs/s", "p99.9", "ms", "asynq"},
		"f-rate":    {"handler-1ms"},
		"g-course":  {"minutes", "MB", ours + ": ready", rival + ": river_job"},
		"h-course":  {"minutes", "rows"},
		"i-backlog": {"10,000,000", "MB"},
		"j-latency": {"p99, 1,000,000 waiting", "p99, 0 waiting"},
		"k-latency": {"p99", "ms", "50.0"},
		"l-rate":    {"1 relay, 8 workers"},
		"m-rate":    {"failing"},
	}
	if len(files) != 2*len(want) {
		t.Errorf("%d files, want %d", len(files), 2*len(want))
	}
	for name, words := range want {
		text := strings.Join(svgText(t, name, files[name+".svg"]), "\n")
		for _, word := range words {
			if !strings.Contains(text, word) {
				t.Errorf("%s.svg does not say %q: %q", name, word, text)
			}
		}
		img := decoded(t, name, files[name+".png"])
		if got := img.Bounds().Dx(); got != int(width)*dpi/72 {
			t.Errorf("%s.png is %d wide, want %d", name, got, int(width)*dpi/72)
		}
		if n := len(colors(img)); n < 5 {
			t.Errorf("%s.png has %d colours, want ink, grid and more", name, n)
		}
	}
}

func TestDraw_SystemsHaveTheirColours(t *testing.T) {
	t.Parallel()
	files := drawn(t, setOf(atTheLimits()...))
	for name, systems := range map[string][]string{
		"a-rate": {"floor", ours, rival}, "b-rate": {ours, rival, "asynq"}, "e-latency": {ours, "asynq"},
		"g-course": {ours, rival}, "i-backlog": {ours}, "j-latency": {ours}, "c-inserts": {"plain", "rookery-sql"},
	} {
		seen := colors(decoded(t, name, files[name+".png"]))
		for _, l := range looks {
			n, want := seen[rgb(l.color)], slices.Contains(systems, l.name)
			if want && n < 40 {
				t.Errorf("%s.png has %d points in the colour of %s, want its bar or line", name, n, l.name)
			}
		}
		for _, l := range looks { // whoever has no runs is not drawn; greys come from smooth edges too
			grey := l.name == "floor" || l.name == "plain"
			if !slices.Contains(systems, l.name) && name == "i-backlog" && !grey && seen[rgb(l.color)] > 0 {
				t.Errorf("%s.png shows %s, which has no runs", name, l.name)
			}
		}
	}
}

func TestLooks_AreTheirOwn(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, l := range append(slices.Clone(looks), cpuGroups...) {
		if other, ok := seen[rgb(l.color)]; ok {
			t.Errorf("%s and %s have the same colour", l.name, other)
		}
		seen[rgb(l.color)] = l.name
	}
	for _, c := range workloads.Cases(&workloads.Bench{}) {
		for _, system := range c.Systems {
			if lookOf(system).color == lookOf("someone else").color {
				t.Errorf("%s has no colour of its own", system)
			}
		}
	}
}

func TestDraw_LeavesOutWhatIsMissing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		s    Set
		want []string
	}{
		"nothing":            {Set{}, nil},
		"one workload":       {setOf(one("m", "failing", ours, 10)), []string{"m-rate"}},
		"no CPU":             {setOf(one("b", together, ours, 10)), []string{"b-rate"}},
		"no latency":         {setOf(one("e", "rate-20", ours, 20)), nil},
		"latency of nothing": {setOf(one("e", "rate-20", ours, 20, withWait(started, 0, 0))), nil},
		"no series":          {setOf(one("g", steady, ours, 10)), nil},
		"one point":          {setOf(one("g", steady, ours, 10, withDead("jobs", 0))), []string{"g-course"}},
		"one backlog":        {setOf(one("i", backlog+"10000", ours, 10)), []string{"i-backlog"}},
		"an odd name":        {setOf(one("i", "deep", ours, 10), one("j", "crowd", ours, 1, withWait(started, 1, 2))), nil},
		"alone":              {setOf(one("j", waiting+"0", ours, 10, withWait(started, 1, 2))), []string{"j-latency"}},
		"counts":             {setOf(one("counts", together, ours, 10)), nil},
		"a rate of zero":     {setOf(one("a", "x", ours, 1, withRate(0))), nil},
		"an unknown system":  {setOf(one("a", "x", "newcomer", 1)), []string{"a-rate"}},
	} {
		files := drawn(t, c.s)
		if len(files) != 2*len(c.want) {
			t.Errorf("%s: %d files, want %d", name, len(files), 2*len(c.want))
		}
		for _, want := range c.want {
			if files[want+".png"] == nil || files[want+".svg"] == nil {
				t.Errorf("%s: %s is not drawn", name, want)
			}
		}
	}
}

func TestDraw_TwiceIsTheSame(t *testing.T) {
	t.Parallel()
	runs := slices.DeleteFunc(atTheLimits(), func(r workloads.Run) bool { return !strings.Contains("beg", r.Workload) })
	once, twice := drawn(t, setOf(runs...)), drawn(t, setOf(runs...))
	for name, data := range once {
		if !bytes.Equal(data, twice[name]) {
			t.Errorf("%s differs from itself", name)
		}
	}
}

func TestLegend_StaysInside(t *testing.T) {
	t.Parallel()
	const wide = 300
	places := legendPlaces(looks, wide)
	for i, at := range places {
		if end := at.x + sample + 5 + words(legendSize, false).Width(looks[i].name); end > wide {
			t.Errorf("%s ends at %.0f, want at most %d", looks[i].name, end, wide)
		}
	}
	if rows := places[len(places)-1].row + 1; rows < 2 || legendHeight(looks, wide) < lineSkip*2 {
		t.Errorf("%d rows and %.0f high, want several rows with room for them", rows, legendHeight(looks, wide))
	}
}

// svgText parses a file as XML and returns what its texts say.
func svgText(t *testing.T, name string, data []byte) []string {
	t.Helper()
	var out []string
	inside, shapes := false, 0
	for d := xml.NewDecoder(bytes.NewReader(data)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%s.svg: %v", name, err)
		}
		switch e := token.(type) {
		case xml.StartElement:
			inside = e.Name.Local == "text"
			if e.Name.Local == "path" {
				shapes++
			}
		case xml.CharData:
			if inside {
				out = append(out, string(e))
			}
		case xml.EndElement:
			inside = false
		}
	}
	if shapes < 5 {
		t.Errorf("%s.svg has %d shapes, want axes and data", name, shapes)
	}
	return out
}

func decoded(t *testing.T, name string, data []byte) image.Image {
	t.Helper()
	img, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatalf("%s.png: %v", name, err)
	}
	return img
}

// colors counts the points of every colour.
func colors(img image.Image) map[string]int {
	out := map[string]int{}
	for y := img.Bounds().Min.Y; y < img.Bounds().Max.Y; y++ {
		for x := img.Bounds().Min.X; x < img.Bounds().Max.X; x++ {
			out[rgb(img.At(x, y))]++
		}
	}
	return out
}

func rgb(c color.Color) string {
	r, g, b, _ := c.RGBA()
	return fmt.Sprintf("%02x%02x%02x", r>>8, g>>8, b>>8)
}
