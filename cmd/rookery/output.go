package main

import (
	"encoding/json"
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// The ways to print.
const (
	asTable = "table"
	asJSON  = "json"  // one value
	asLines = "jsonl" // one value a line
)

// outputFlags adds -o, and --json as its older name.
func outputFlags(c *cobra.Command, s *settings) {
	c.PersistentFlags().StringVarP(&s.output, "output", "o", asTable, "table, json, or jsonl: JSON, a line for each")
	c.PersistentFlags().BoolVar(&s.json, "json", false, "the same as -o json")
	c.PersistentPreRunE = func(*cobra.Command, []string) error {
		switch s.output {
		case asTable:
		case asJSON, asLines:
			s.json = true
		default:
			return &usageError{fmt.Errorf("--output is %q, must be table, json or jsonl", s.output)}
		}
		return nil
	}
}

// show prints a list as the user asked for it.
func show[T any](s *settings, list []T, header string, row func(T) []any) error {
	switch {
	case s.output == asLines:
		e := json.NewEncoder(os.Stdout)
		for _, v := range list {
			if err := e.Encode(v); err != nil {
				return err
			}
		}
		return nil
	case s.json:
		return printJSON(append([]T{}, list...)) // never null
	}
	return table(header, func(line func(...any)) {
		for _, v := range list {
			line(row(v)...)
		}
	})
}

func printJSON(v any) error {
	e := json.NewEncoder(os.Stdout)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// table prints rows under a header, with aligned columns.
func table(header string, rows func(line func(...any))) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, header)
	rows(func(cells ...any) {
		for i, c := range cells {
			if i > 0 {
				fmt.Fprint(w, "\t")
			}
			fmt.Fprint(w, c)
		}
		fmt.Fprintln(w)
	})
	return w.Flush()
}
