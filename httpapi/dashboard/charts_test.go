package dashboard

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/penguinmails/rookery/job"
)

// Every range asks for what Jobs.Stats allows, ends with a minute that all have written,
// and has its steps where the clock is full.
func TestChartRange_Points(t *testing.T) {
	t.Parallel()
	for _, c := range chartRanges {
		for _, now := range []time.Time{time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC), time.Date(2026, 11, 26, 12, 1, 10, 0, time.UTC), time.Date(2026, 11, 26, 23, 59, 59, 999, time.UTC)} {
			r := c.points(now)
			if err := r.Check(); err != nil {
				t.Errorf("%s: %v", c.Name, err)
			}
			if lag := now.Sub(r.To); lag < late || lag > late+time.Minute || r.From.Truncate(c.step) != r.From {
				t.Errorf("%s at %s reaches from %s to %s", c.Name, now, r.From, r.To)
			}
			if n := len(seriesOf(r, nil, nil).At); n > 100 || n < 55 {
				t.Errorf("%s at %s has %d points, want 55 to 100", c.Name, now, n)
			}
		}
	}
}

func TestSeriesOf_FillsGapsAndSums(t *testing.T) {
	t.Parallel()
	from := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	at := func(minutes int) time.Time { return from.Add(time.Duration(minutes) * time.Minute) }
	r := job.StatRange{From: from, To: at(12), Step: 5 * time.Minute}
	got := seriesOf(r, []job.StatPoint{
		{At: from, Completed: 50, Failed: 4, Dead: 3, Lost: 3, Wait: job.Times{Count: 1, P50: 0.5, P95: 2}},
		{At: at(10), Completed: 50}, // two of its five minutes are there
		{At: at(15), Completed: 50}, {At: at(-5), Completed: 50},
	}, []job.Depth{{At: from, QueueName: "a", Ready: 3, Out: 1}, {At: from, QueueName: "b", Ready: 4}, {At: at(10), QueueName: "a"}, {At: at(-5), Ready: 9}})
	half, two, seven, one, none := 0.5, 2.0, int64(7), int64(1), int64(0)
	want := series{
		At: []int64{from.Unix(), at(5).Unix(), at(10).Unix()}, Completed: []float64{10, 0, 25}, Failed: []float64{2, 0, 0},
		P50: []*float64{&half, nil, nil}, P95: []*float64{&two, nil, nil}, Ready: []*int64{&seven, nil, &none}, Out: []*int64{&one, nil, &none},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("seriesOf (-want +got):\n%s", diff)
	}
}

func TestChartedOf_BadInput(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{"range=1y": "is none of 1h", "range=" + strings.Repeat("x", 500): "is none of 1h", "queue=a/b": "queue: "} {
		q, _ := url.ParseQuery(query)
		if _, err := chartedOf(q, Visitor{}); err == nil || !strings.Contains(err.Error(), want) || len(err.Error()) > 200 {
			t.Errorf("chartedOf(%.40s) = %v, want %q", query, err, want)
		}
	}
	if c, err := chartedOf(url.Values{"range": {"7d"}, "queue": {"mail"}}, Visitor{}); err != nil || c.Queue != "mail" || c.Range.Name != "7d" {
		t.Errorf("chartedOf = %+v, %v", c, err)
	}
}

// What stands still is told from what is merely busy.
func TestAlerts_NameWhatIsWrong(t *testing.T) {
	t.Parallel()
	now := time.Now()
	old := now.Add(-time.Hour)
	relay, worker := job.ProcessState{ID: "r", Role: "relay"}, job.ProcessState{ID: "w", Role: "worker", Queues: []string{"mail"}, Slots: 1}
	queue := func(change func(*job.QueueStats)) []job.QueueStats {
		q := job.QueueStats{Queue: job.Queue{Name: "mail", WindowSize: 10}, Window: &job.Window{}}
		change(&q)
		return []job.QueueStats{q}
	}
	both := []job.ProcessState{relay, worker}
	for name, tt := range map[string]struct {
		g    glance
		want string // "": nothing
	}{
		"all well":           {glance{Queues: queue(func(q *job.QueueStats) { q.Ready = 5 }), Processes: both}, ""},
		"no relay":           {glance{Queues: queue(func(*job.QueueStats) {}), Processes: both[1:]}, "No relay"},
		"no redis":           {glance{Queues: queue(func(q *job.QueueStats) { q.Window = nil }), Processes: both}, "Redis does not answer"},
		"no worker":          {glance{Queues: queue(func(q *job.QueueStats) { q.Ready = 1 }), Processes: both[:1]}, "No live worker serves queue mail"},
		"no worker, no work": {glance{Queues: queue(func(*job.QueueStats) {}), Processes: both[:1]}, ""},
		"paused":             {glance{Queues: queue(func(q *job.QueueStats) { q.Paused, q.Ready = true, 1 }), Processes: both}, "is paused"},
		"relays stand still": {glance{Queues: queue(func(q *job.QueueStats) { q.Ready, q.OldestAt = 1, &old }), Processes: both}, "Relays hand out nothing of queue mail"},
		"window full":        {glance{Queues: queue(func(q *job.QueueStats) { q.Ready, q.OldestAt, q.Window.Waiting[1] = 1, &old, 9 }), Processes: both}, "The oldest due job of queue mail"},
	} {
		got := alertsOf(tt.g, linesOf(tt.g, now))
		if tt.want == "" && len(got) > 0 || tt.want != "" && (len(got) != 1 || !strings.HasPrefix(got[0].Text, tt.want) && !strings.Contains(got[0].Text, tt.want)) {
			t.Errorf("%s: alerts = %+v, want %q", name, got, tt.want)
		}
	}
}
