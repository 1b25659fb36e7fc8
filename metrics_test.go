package rookery_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/internal/devstack/devtest"
)

func TestMain(m *testing.M) { devtest.Main(m) }

// nameOf finds the metric's name in what prometheus.Desc says of itself: vectors
// without a child are not gathered, but described.
var nameOf = regexp.MustCompile(`fqName: "(rookery_[a-z_]+)"`)

func TestMetrics_AreThoseOfTheDocs(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	svc, err := rookery.Open(t.Context(), rookery.Config{DatabaseURL: devtest.Postgres(t), RedisURL: devtest.Redis(t), Registry: registry, Wake: rookery.WakeWAL})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = svc.Close() }()
	r, err := svc.Relay()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := svc.API(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if _, err := svc.ProgramWorker(rookery.Program{Queues: []string{"q"}}); err != nil {
		t.Fatal(err)
	}
	descs := make(chan *prometheus.Desc, 1000)
	registry.Describe(descs)
	close(descs)
	var have []string
	for d := range descs {
		if m := nameOf.FindStringSubmatch(d.String()); m != nil {
			have = append(have, m[1])
		}
	}
	text, err := os.ReadFile("docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(line, "| `rookery_"); ok {
			name, _, _ = strings.Cut(name, "`")
			want = append(want, "rookery_"+name)
		}
	}
	for _, name := range have {
		if !slices.Contains(want, name) {
			t.Errorf("%s is not in docs/metrics.md", name)
		}
	}
	for _, name := range want {
		if !slices.Contains(have, name) {
			t.Errorf("docs/metrics.md has %s, which nobody registers", name)
		}
	}
	if len(have) < 20 {
		t.Errorf("only %d metrics are registered: %v", len(have), have)
	}
}
