package workers

import (
	"os"
	"regexp"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

// The table in the comment of metrics and the registry say the same.
func TestMetrics_AreTheDocumentedOnes(t *testing.T) {
	source, err := os.ReadFile("metrics.go")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, m := range regexp.MustCompile(`(?m)^//\t([a-z_]+)`).FindAllStringSubmatch(string(source), -1) {
		documented = append(documented, "rookery_worker_"+m[1])
	}
	h := newHeld(1, 100, time.Second)
	m, err := newMetrics(nil, h, func() int { return 0 })
	if err != nil {
		t.Fatal(err)
	}
	var registered []string
	for _, c := range append(m.collectors(), gauges(h, func() int { return 0 })...) {
		described := make(chan *prometheus.Desc, 1) // one: each has one
		c.Describe(described)
		registered = append(registered, regexp.MustCompile(`fqName: "([a-z_]+)"`).FindStringSubmatch((<-described).String())[1])
	}
	slices.Sort(documented)
	slices.Sort(registered)
	if diff := cmp.Diff(documented, registered); diff != "" {
		t.Errorf("documented (-) and registered (+) differ:\n%s", diff)
	}
}

func TestMetrics_CountOutcomes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, registry := newMemory(), prometheus.NewRegistry()
		m.push("q", envelopes("k", 1, 3)...)
		m.push("q", envelopes("unknown "+time.Now().String(), 4, 2)...)
		r := start(t, m, ok, func(o *Options, _ *Registry) { o.Registerer = registry })
		r.sleep(time.Second)
		r.end()
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]float64{}
		for _, f := range families {
			for _, s := range f.GetMetric() {
				if f.GetName() != "rookery_worker_attempts_total" || s.GetCounter().GetValue() == 0 {
					continue
				}
				key := ""
				for _, l := range s.GetLabel() {
					key += l.GetValue() + " "
				}
				got[key] = s.GetCounter().GetValue()
			}
		}
		if diff := cmp.Diff(map[string]float64{"k completed q ": 3, " snoozed q ": 2}, got); diff != "" {
			t.Errorf("attempts_total (-want +got):\n%s", diff)
		}
	})
}
