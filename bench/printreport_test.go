package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/penguinmails/rookery/bench/report"
	"github.com/penguinmails/rookery/bench/workloads"
)

func TestPrintReport_WritesTablesAndPlots(t *testing.T) {
	dir := t.TempDir()
	bench, docs := filepath.Join(dir, "bench"), filepath.Join(dir, "docs")
	if err := printReport([]string{"-dir", bench}); err == nil || !strings.Contains(err.Error(), "none in") {
		t.Errorf("report without results = %v, want an error that says so", err)
	}
	r := &report.Results{Workload: "b", Runs: []workloads.Run{{Workload: "b", Case: "together", System: "rookery", Jobs: 10, Seconds: 1, Rate: 10}}}
	if err := write(filepath.Join(bench, "results", "b.json"), r); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(docs, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(docs, "performance.md")
	const before, after = "# Performance\n\n<!-- bench:b -->\n", "<!-- /bench:b -->\n\nThe end.\n"
	if err := os.WriteFile(path, []byte(before+"old\n"+after), 0o644); err != nil {
		t.Fatal(err)
	}
	var last string
	for range 2 {
		if err := printReport([]string{"-dir", bench}); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		doc := string(data)
		if !strings.HasPrefix(doc, before) || !strings.HasSuffix(doc, after) || strings.Contains(doc, "old") || !strings.Contains(doc, "| together | rookery | 1 | 10 |") {
			t.Errorf("performance.md = %q, want a table between its markers, and the rest as it was", doc)
		}
		if last != "" && doc != last {
			t.Errorf("a second report = %q, want the same as the first, %q", doc, last)
		}
		last = doc
	}
	for _, name := range []string{"b-rate.png", "b-rate.svg"} {
		if _, err := os.Stat(filepath.Join(docs, report.PlotFolder, name)); err != nil {
			t.Errorf("no plot: %v", err)
		}
	}
}
