package report

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/penguinmails/rookery/bench/lab"
)

func TestSections_OnlyOfWhatWasMeasured(t *testing.T) {
	t.Parallel()
	s := setOf(one("b", together, ours, 1000))
	got := Sections(s, []Plot{{"b", "b-rate", "Title"}, {"a", "a-rate", "Other"}})
	for _, name := range Markers {
		_, has := got[name]
		if want := name == "b" || name == "targets" || name == "machine"; has != want {
			t.Errorf("section %s is there: %v, want %v", name, has, want)
		}
	}
	if !strings.Contains(got["b"], "\n![Title](performance/b-rate.png)") || strings.Contains(got["b"], "a-rate") {
		t.Errorf("section b = %q, want its own plot below its table", got["b"])
	}
}

func TestSections_Tables(t *testing.T) {
	t.Parallel()
	runs := atTheLimits()
	for _, rate := range []float64{5000, 7000} {
		runs = append(runs, one("b", together, rival, rate, withCPU(300)))
	}
	got := Sections(setOf(runs...), nil)
	for name, rows := range map[string][]string{
		"b": {
			"| together | rookery | 1 | 24,000 | 1.00 | 100 | 0.010 | 620 | 4.00 | 50 % | 0.05 |",
			"| together | river-bench | 3 | 6,000 (5,000 to 7,000) | 0.25 | 300 | – | – | – | – | – |",
			"| together | asynq | 1 | 4,000 | 0.17 | – | – | – | – | – | – |",
		},
		"c": {
			"| single | plain | 1 | – | – | – | – | – | – | – | – |", // nobody works it, so it has no rate
			"| single | plain | 1 | 8,000 | 1.60 |",
		},
		"e":       {"| rate-200 | asynq | commit to start | 1 | 500 | 1,000 | 900 | 1,800 | 2,700 |"},
		"g":       {"| steady | rookery | 10,000 | 9,500 | 0.95 | 23 | 200 |", "| steady | river-bench | – | – | – | 4 | 100 |"},
		"i":       {"| 10,000 | 1 | 10,000 | 1.00 | – | 5.00 |", "| 10,000,000 | 1 | 8,500 | 0.85 | 9,999,000 | 49.9 |"},
		"k":       {"| scheduled | rookery | due to start | 1 | 5.00 | 10.0 | 50.0 | 100 | 150 |", "| scheduled | rookery | insert ratio of due now | 0.90 |"},
		"counts":  {"| together | rookery | 1 | 0.04 | 0.010 | 0.00 | 600 | 4.00 | 50 % | 0.05 | 0.00 | – |"},
		"targets": {"| (b) | together: CPU a job, of river-bench's | ≤ 0.333 × | 0.33 × | 100 against 300 µs | met |"},
		"machine": {"| cores | 2 |", "| (b) | 2026-08-02 03:04 UTC | abc | – | `go run . run` |"},
	} {
		for _, row := range rows {
			if !strings.Contains(got[name], row+"\n") {
				t.Errorf("section %s has no row\n%s\nit is\n%s", name, row, got[name])
			}
		}
	}
}

func TestMachine_SaysWhoseFactsDiffer(t *testing.T) {
	t.Parallel()
	s := setOf(one("a", "x", ours, 1), one("b", "x", ours, 1), one("counts", "x", ours, 1))
	s["b"].Machine = lab.Facts{CPU: "two", Cores: 2}
	got := machineSection(s)
	for _, want := range []string{"| CPU | one ((a) counts); two ((b)) |", "| cores | 2 |", "| (b) | 2026-08-02 03:04 UTC | – |"} {
		if !strings.Contains(got, want) {
			t.Errorf("machine has not %q:\n%s", want, got)
		}
	}
}

func TestNumber_HasAboutThreeDigits(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]string{
		0: "0.00", 0.004: "0.004", 0.01: "0.01", 9.994: "9.99", 9.996: "10.0", 99.94: "99.9", 99.96: "100",
		999: "999", 1000: "1,000", 30_800: "30,800", 1_234_567: "1,234,567", -1500: "-1,500",
	} {
		if got := number(v); got != want {
			t.Errorf("number(%v) = %s, want %s", v, got, want)
		}
	}
}

func TestReadAll(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, _, err := ReadAll(dir); err == nil {
		t.Error("ReadAll of an empty folder = nil, want an error")
	}
	write := func(name string, v any) {
		t.Helper()
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	all := setOf(atTheLimits()...)
	write("counts.json", all["counts"])
	write("b.json", all["b"])
	write("ceilings.json", map[string]int{"n": 1})
	s, skipped, err := ReadAll(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Letters(); !slices.Equal(got, []string{"b", "counts"}) {
		t.Errorf("Letters = %v, want b and counts", got)
	}
	if len(skipped) != 1 || filepath.Base(skipped[0]) != "ceilings.json" {
		t.Errorf("skipped %v, want ceilings.json", skipped)
	}
	if got, want := len(s["b"].Runs), len(all["b"].Runs); got != want {
		t.Errorf("%d runs of b, want %d", got, want)
	}
	write("b-again.json", all["b"])
	if _, _, err := ReadAll(dir); err == nil || !strings.Contains(err.Error(), "both of workload b") {
		t.Errorf("ReadAll of two files of b = %v, want an error that names them", err)
	}
	write("b-again.json", "no results")
	if _, _, err := ReadAll(dir); err == nil || !strings.Contains(err.Error(), "b-again.json") {
		t.Errorf("ReadAll of a broken file = %v, want an error that names it", err)
	}
}
