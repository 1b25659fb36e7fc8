package rookery_test

import (
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/internal/devstack/devtest"
)

func TestMain(m *testing.M) { devtest.Main(m) }

// registered is everything that a process with an API, a relay and a worker registers.
func registered(t *testing.T) *prometheus.Registry {
	t.Helper()
	registry := prometheus.NewRegistry()
	svc, err := rookery.Open(t.Context(), rookery.Config{DatabaseURL: devtest.Postgres(t), RedisURL: devtest.Redis(t), Registry: registry, Wake: rookery.WakeWAL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = svc.Close() })
	r, err := svc.Relay()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := svc.API(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if _, err := svc.Push(); err != nil {
		t.Fatal(err)
	}
	if _, err := svc.ProgramWorker(rookery.Program{Queues: []string{"q"}}); err != nil {
		t.Fatal(err)
	}
	return registry
}

func TestMetrics_AreThoseOfTheDocs(t *testing.T) {
	t.Parallel()
	registry := registered(t)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	gathered := map[string]string{}
	for _, f := range families {
		gathered[f.GetName()] = strings.ToLower(f.GetType().String())
	}
	descs := make(chan *prometheus.Desc, 1000)
	registry.Describe(descs)
	close(descs)
	have := map[string]string{}
	for d := range descs {
		name, labels := read(d)
		if name == "" {
			continue
		}
		kind := gathered[name]
		if kind == "" {
			kind = kindOf(t, registry, d)
		}
		have[name] = kind + " of " + labels
	}
	if diff := cmp.Diff(documented(t), have); diff != "" {
		t.Errorf("docs/metrics.md (-) and what is registered (+) differ:\n%s", diff)
	}
	if len(have) < 60 {
		t.Errorf("only %d metrics are registered: %v", len(have), have)
	}
}

// documented reads docs/metrics.md: "type of label, label" by name.
func documented(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if !strings.HasPrefix(line, "| `rookery_") || len(cells) < 5 {
			continue
		}
		name := strings.Trim(cells[1], " `")
		if out[name] != "" {
			t.Errorf("docs/metrics.md has %s twice", name)
		}
		out[name] = strings.TrimSpace(cells[2]) + " of " + strings.TrimSpace(cells[3])
	}
	return out
}

// Vectors without a child are not gathered, but described; prometheus.Desc says what
// it is only as text.
var descText = regexp.MustCompile(`fqName: "(rookery_[a-z_]+)".*variableLabels: \{(.*)\}\}$`)

// read returns the name and the labels of one of ours; "": it is not.
func read(d *prometheus.Desc) (name, labels string) {
	m := descText.FindStringSubmatch(d.String())
	if m == nil {
		return "", ""
	}
	return m[1], strings.Join(strings.Split(m[2], ","), ", ")
}

// double describes what another collector does, so that the registry refuses it and
// names the other.
type double struct{ desc *prometheus.Desc }

func (d double) Describe(to chan<- *prometheus.Desc) { to <- d.desc }
func (d double) Collect(chan<- prometheus.Metric)    {}

// kindOf says what kind of metric desc is of: a vector without children yet.
func kindOf(t *testing.T, registry *prometheus.Registry, desc *prometheus.Desc) string {
	t.Helper()
	var already prometheus.AlreadyRegisteredError
	if err := registry.Register(double{desc}); !errors.As(err, &already) {
		t.Fatalf("register %s a second time: %v", desc, err)
	}
	switch c := already.ExistingCollector.(type) {
	case *prometheus.CounterVec:
		return "counter"
	case *prometheus.GaugeVec:
		return "gauge"
	case *prometheus.HistogramVec:
		return "histogram"
	default:
		t.Errorf("%s is a %T, which is neither gathered nor a vector", desc, c)
		return ""
	}
}

// A Redis that is away is said to be, and keeps no other figure from being read.
func TestMetrics_WithRedisAway(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	svc, err := rookery.Open(t.Context(), rookery.Config{DatabaseURL: devtest.Postgres(t), RedisURL: "redis://127.0.0.1:1", Registry: registry})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = svc.Close() })
	if _, err := svc.Jobs(t.Context()); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			key := f.GetName()
			for _, l := range m.GetLabel() {
				if l.GetName() == "pool" {
					key += " " + l.GetValue()
				}
			}
			got[key] = m.GetGauge().GetValue()
		}
	}
	up, said := got["rookery_redis_up"]
	if _, memory := got["rookery_redis_used_memory_bytes"]; !said || up != 0 || memory {
		t.Errorf("with Redis away up is %g and memory shown: %t, want 0 and not", up, memory)
	}
	if got["rookery_postgres_pool_max_connections jobs"] == 0 || got["rookery_postgres_pool_max_connections api"] == 0 || got["rookery_build_info"] != 1 {
		t.Errorf("pools and build are missing: %v", got)
	}
}
