package relay_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/relay"
)

func TestFigures_AreWrittenWhenTheRelayStops(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	registry := prometheus.NewRegistry()
	_, stop := h.start(t, wiring{Options: relay.Options{Registerer: registry, Lease: quick}})
	h.insert(t, "mail", 3)
	h.await(t, 3, "all dispatched", dispatched)
	h.takeFor(t, "mail", 1, time.Millisecond) // and is never heard of again
	h.await(t, 1, "a lost attempt is handed out again", `SELECT count(*) FROM outbox.jobs WHERE lost_count = 1 AND status = 'dispatched'`)
	h.await(t, 0, "pushes recorded", unrecorded)
	if n, seconds := histogram(t, registry, "rookery_relay_due_seconds"); n != 4 || seconds < 0 {
		t.Errorf("due_seconds has seen %d jobs and %g s, want 4", n, seconds)
	}
	stop()
	if n := h.count(t, `SELECT sum(dispatched)::bigint FROM outbox.stats WHERE queue_name = 'mail'`); n != 4 {
		t.Errorf("dispatched = %d, want 4", n)
	}
	if n := h.count(t, `SELECT sum(lost)::bigint FROM outbox.stats WHERE queue_name = 'mail'`); n != 1 {
		t.Errorf("lost = %d, want 1", n)
	}
}

// histogram returns how many observations a histogram without children or with one
// has, and their sum.
func histogram(t *testing.T, registry *prometheus.Registry, name string) (n uint64, sum float64) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				n, sum = n+m.GetHistogram().GetSampleCount(), sum+m.GetHistogram().GetSampleSum()
			}
		}
	}
	return n, sum
}

// shown is what a gauge of the queue mail says; −1: nothing.
func shown(t *testing.T, registry *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && m.GetLabel()[0].GetValue() == "mail" {
				return m.GetGauge().GetValue()
			}
		}
	}
	return -1
}

// counting is a store that says what it is told to of the depths.
type counting struct {
	relay.Store
	depths  []job.Depth
	fails   error
	samples int
	rolled  int
	pruned  int
	keep    time.Duration // operations
}

func (c *counting) PruneOperations(_ context.Context, keep time.Duration) (int64, error) {
	c.keep = keep
	return 0, nil
}

func (c *counting) SampleDepths(context.Context) ([]job.Depth, bool, error) {
	c.samples++
	return c.depths, len(c.depths) > 0, c.fails
}

func (c *counting) RollUp(context.Context) error {
	c.rolled++
	return c.fails
}

func (c *counting) PruneStats(context.Context) error {
	c.pruned++
	return nil
}

func TestFigures_OnlyWhoCountedShowsTheDepths(t *testing.T) {
	t.Parallel()
	store, registry := &counting{}, prometheus.NewRegistry()
	r, err := relay.New(store, newFakeWindow(), deaf{}, relay.Options{Registerer: registry})
	if err != nil {
		t.Fatal(err)
	}
	sample := func(minute int) error { return r.Sample(t.Context(), time.Unix(int64(60*minute), 0)) }
	store.depths = []job.Depth{{QueueName: "mail", Ready: 7, Oldest: 3 * time.Second, Paused: true}}
	if err := errors.Join(sample(1), sample(1)); err != nil || store.samples != 1 || store.rolled != 1 || store.pruned != 1 || store.keep != job.RetentionOperations {
		t.Fatalf("two looks in one minute: %v, %d samples, %d times rolled up, %d prunes, want 1 of each", err, store.samples, store.rolled, store.pruned)
	}
	for name, want := range map[string]float64{"ready_jobs": 7, "oldest_seconds": 3, "paused": 1, "workers": 0, "seconds_of_work": 0} {
		if got := shown(t, registry, "rookery_queue_"+name); got != want {
			t.Errorf("%s = %g, want %g", name, got, want)
		}
	}
	store.depths = nil // another relay did it
	if err := sample(2); err != nil || store.rolled != 1 || store.pruned != 1 {
		t.Errorf("the minute of another relay: %v, %d times rolled up, %d prunes, want 1 of each", err, store.rolled, store.pruned)
	}
	if got := shown(t, registry, "rookery_queue_ready_jobs"); got != -1 {
		t.Errorf("another relay's queue is shown: ready = %g", got)
	}
	store.depths = []job.Depth{{QueueName: "mail", Ready: 1, Out: 3, Rate: job.Rate{Ended: 120, Span: time.Minute}}}
	if err := sample(3); err != nil {
		t.Fatal(err)
	}
	store.depths, store.fails = nil, job.ErrUnavailable
	if err := sample(4); !errors.Is(err, job.ErrUnavailable) {
		t.Errorf("with Postgres away = %v, want ErrUnavailable", err)
	}
	if got := shown(t, registry, "rookery_queue_ready_jobs"); got != -1 {
		t.Errorf("an old figure is shown while Postgres is away: ready = %g", got)
	}
	store.fails = nil
	if err := sample(4); err != nil || store.samples != 5 {
		t.Errorf("once it is back: %v, %d samples, want that it is tried again", err, store.samples)
	}
}
