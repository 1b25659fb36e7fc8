package dashboard

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/penguinmails/rookery/job"
)

// chartRange is how far back charts reach, and what one point stands for.
type chartRange struct {
	Name   string // in addresses
	Title  string
	length time.Duration
	step   time.Duration
	kept   time.Duration // how long figures answer further questions
}

// chartRanges has the usual one first.
var chartRanges = []chartRange{
	{"1h", "hour", time.Hour, time.Minute, 10 * time.Second},
	{"6h", "6 hours", 6 * time.Hour, 5 * time.Minute, 30 * time.Second},
	{"24h", "24 hours", 24 * time.Hour, 15 * time.Minute, time.Minute},
	{"7d", "7 days", 7 * 24 * time.Hour, 2 * time.Hour, 5 * time.Minute},
}

// late is how long it takes at most until all processes have written a minute.
const late = 70 * time.Second

// series is what charts show, a column each, by point. It is what the script
// draws and what the table lists.
type series struct {
	At        []int64    `json:"at"`        // when a point begins, in seconds since 1970
	Completed []float64  `json:"completed"` // each minute
	Failed    []float64  `json:"failed"`    // each minute, dead ones too
	P50       []*float64 `json:"p50"`       // seconds from due to start; null: nothing started
	P95       []*float64 `json:"p95"`
	Ready     []*int64   `json:"ready"` // due, waiting in Postgres; null: no relay lived
	Out       []*int64   `json:"out"`   // with Redis and workers
}

// points is the range of charts that end now, by this process's clock: the newest
// minute is one that all have written, and steps begin where the clock is full.
func (c chartRange) points(now time.Time) job.StatRange {
	to := now.Add(-late).Truncate(time.Minute)
	return job.StatRange{From: to.Truncate(c.step).Add(c.step - c.length), To: to, Step: c.step}
}

// seriesOf puts what was done and what waited into columns without gaps.
func seriesOf(r job.StatRange, stats []job.StatPoint, depths []job.Depth) series {
	n := int((r.To.Sub(r.From) + r.Step - 1) / r.Step)
	f := series{
		At: make([]int64, n), Completed: make([]float64, n), Failed: make([]float64, n), P50: make([]*float64, n), P95: make([]*float64, n),
		Ready: make([]*int64, n), Out: make([]*int64, n),
	}
	for i := range n {
		f.At[i] = r.From.Add(time.Duration(i) * r.Step).Unix()
	}
	place := func(at time.Time) (int, bool) {
		i := int(at.Sub(r.From) / r.Step)
		return i, i >= 0 && i < n
	}
	for _, s := range stats {
		i, ok := place(s.At)
		if !ok {
			continue
		}
		// The last step has just begun: what was done in it is divided by what there is of it.
		minutes := min(r.Step, r.To.Sub(r.From.Add(time.Duration(i)*r.Step))).Minutes()
		f.Completed[i], f.Failed[i] = float64(s.Completed)/minutes, float64(s.Failed+s.Dead+s.Lost)/minutes
		if s.Wait.Count > 0 {
			f.P50[i], f.P95[i] = &s.Wait.P50, &s.Wait.P95
		}
	}
	for _, d := range depths {
		if i, ok := place(d.At); ok {
			f.Ready[i], f.Out[i] = plus(f.Ready[i], d.Ready), plus(f.Out[i], d.Out)
		}
	}
	return f
}

func plus(sum *int64, n int64) *int64 {
	if sum != nil {
		n += *sum
	}
	return &n
}

// charted is what the address of charts asks for.
type charted struct {
	Queue string // "": all
	Range chartRange
}

func chartedOf(q url.Values, v Visitor) (charted, error) {
	c := charted{q.Get("queue"), chartRanges[0]}
	if c.Queue != "" {
		if err := job.CheckQueueName(c.Queue); err != nil {
			return c, &pageError{http.StatusBadRequest, "queue: " + err.Error() + "."}
		}
	}
	if name := q.Get("range"); name != "" {
		i := slices.IndexFunc(chartRanges, func(r chartRange) bool { return r.Name == name })
		if i < 0 {
			return c, &pageError{http.StatusBadRequest, fmt.Sprintf("range: %q is none of 1h, 6h, 24h, 7d.", short(name))}
		}
		c.Range = chartRanges[i]
	}
	return v.charted(c)
}

// charts reads figures, each at most once in a while.
type charts struct{ byRange map[string]*kept[series] }

func newCharts(p Charts) charts {
	c := charts{map[string]*kept[series]{}}
	for _, r := range chartRanges {
		c.byRange[r.Name] = &kept[series]{length: r.kept, read: func(ctx context.Context, queue string) (series, error) {
			return readSeries(ctx, p, queue, r.points(time.Now()))
		}}
	}
	return c
}

func (c charts) look(ctx context.Context, what charted) (series, error) {
	return c.byRange[what.Range.Name].look(ctx, what.Queue)
}

func readSeries(ctx context.Context, p Charts, queue string, r job.StatRange) (series, error) {
	r.QueueName = queue
	var stats []job.StatPoint
	var depths []job.Depth
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() (err error) {
		stats, err = p.Stats(ctx, r)
		return err
	})
	both.Go(func() (err error) {
		depths, err = p.Depths(ctx, r)
		return err
	})
	if err := both.Wait(); err != nil {
		return series{}, fmt.Errorf("read figures: %w", err)
	}
	return seriesOf(r, stats, depths), nil
}

// chartData answers the script that draws.
func (d *Dashboard) chartData(w http.ResponseWriter, r *http.Request) {
	v, err := d.visitor(r)
	if err != nil {
		http.Error(w, "log in first", http.StatusUnauthorized)
		return
	}
	what, err := chartedOf(r.URL.Query(), v)
	var f series
	if err == nil {
		f, err = d.charts.look(r.Context(), what)
	}
	if err != nil {
		d.fail(w, r, Visitor{}, err)
		return
	}
	text, _ := json.Marshal(f) // numbers: cannot fail
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(text) // a client that is gone is no fault of ours
}

type figuresBody struct {
	charted
	Ranges []chartLink
	Rows   []figureRow // the newest first
}

type chartLink struct {
	Name, To string
	Here     bool
}

type figureRow struct {
	At                time.Time
	Completed, Failed string
	P50, P95          string
	Ready, Out        string
}

// figuresPage lists what the charts draw.
func (d *Dashboard) figuresPage(ctx context.Context, r *http.Request, v Visitor) (content, error) {
	what, err := chartedOf(r.URL.Query(), v)
	if err != nil {
		return content{}, err
	}
	f, err := d.charts.look(ctx, what)
	if err != nil {
		return content{}, err
	}
	body := figuresBody{charted: what, Ranges: rangesOf(what)}
	for i, at := range f.At {
		body.Rows = append(body.Rows, figureRow{
			At: time.Unix(at, 0), Completed: rate(f.Completed[i]), Failed: rate(f.Failed[i]), P50: secondsText(f.P50[i]), P95: secondsText(f.P95[i]),
			Ready: countText(f.Ready[i]), Out: countText(f.Out[i]),
		})
	}
	slices.Reverse(body.Rows)
	return content{template: "figures", title: "Figures", nav: "overview", body: body}, nil
}

// rangesOf are the addresses of the figures of each range.
func rangesOf(what charted) []chartLink {
	var links []chartLink
	for _, r := range chartRanges {
		v := url.Values{"range": {r.Name}}
		if what.Queue != "" {
			v.Set("queue", what.Queue)
		}
		links = append(links, chartLink{r.Name, "/ui/figures?" + v.Encode(), r.Name == what.Range.Name})
	}
	return links
}

func rate(n float64) string {
	if n == 0 || n >= 10 {
		return number(int64(n + 0.5))
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", n), ".0")
}

func secondsText(s *float64) string {
	if s == nil {
		return "–"
	}
	return span(time.Duration(*s * float64(time.Second)))
}

func countText(n *int64) string {
	if n == nil {
		return "–"
	}
	return number(*n)
}
