package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/penguinmails/rookery/bench/report"
)

// printReport prints the tables of all results, draws the plots into the folder
// performance, and writes the tables into performance.md, between its markers.
func printReport(args []string) error {
	f := flag.NewFlagSet("report", flag.ContinueOnError)
	dir := f.String("dir", ".", "the folder of bench")
	from := f.String("results", "", "folder; results of the folder of bench when empty")
	out := f.String("out", "", "folder of performance.md; docs beside the folder of bench when empty")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *from == "" {
		*from = filepath.Join(*dir, "results")
	}
	if *out == "" {
		*out = filepath.Join(*dir, "..", "docs")
	}
	set, skipped, err := report.ReadAll(*from)
	if err != nil {
		return err
	}
	for _, path := range skipped {
		fmt.Printf("%s is of no workload: skipped\n", path)
	}
	for _, letter := range set.Letters() {
		report.Print(os.Stdout, set[letter])
	}
	report.PrintTargets(os.Stdout, set)
	plots, err := report.Draw(*out, set)
	if err != nil {
		return err
	}
	fmt.Printf("\n%d plots in %s\n", len(plots), filepath.Join(*out, report.PlotFolder))
	return updateDoc(filepath.Join(*out, "performance.md"), report.Sections(set, plots))
}

// updateDoc writes the file only when something in it changes.
func updateDoc(path string, sections map[string]string) error {
	doc, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the document: %w", err)
	}
	updated, notes := report.Update(string(doc), sections)
	for _, note := range notes {
		fmt.Printf("%s: %s\n", path, note)
	}
	if updated == string(doc) {
		return nil
	}
	if err := os.WriteFile(path, []byte(updated), 0o644); err != nil {
		return fmt.Errorf("write the document: %w", err)
	}
	return nil
}
