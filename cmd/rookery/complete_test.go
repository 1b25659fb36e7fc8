package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// Flags that take one of a few words are completed, without a server.
func TestComplete_FlagValues(t *testing.T) {
	for line, want := range map[string]string{
		"jobs list --status ":    "dead",
		"jobs redrive --status ": "completed",
		"keys create --scope ":   "jobs:write",
		"doctor --for ":          "worker",
		"relay --wake ":          "wal",
		"jobs list -o ":          "jsonl",
		"queues --output ":       "json",
	} {
		var out bytes.Buffer
		root := program()
		root.SetOut(&out)
		root.SetErr(&bytes.Buffer{})
		root.SetArgs(append([]string{"__complete"}, strings.Split(line, " ")...))
		if err := root.Execute(); err != nil || !slices.Contains(strings.Split(out.String(), "\n"), want) {
			t.Errorf("rookery %s is completed by %q, %v, want %s among it", line, out.String(), err, want)
		}
	}
}

// A typing error is answered with what may have been meant.
func TestGroup_Suggests(t *testing.T) {
	for line, want := range map[string]string{
		"jobs lst":   `unknown command "lst" for "rookery jobs"; did you mean get or list? See rookery jobs --help`,
		"docter":     `unknown command "docter" for "rookery"; did you mean doctor? See rookery --help`,
		"jobs xyzzy": `unknown command "xyzzy" for "rookery jobs"; see rookery jobs --help`,
	} {
		root := program()
		root.SetArgs(strings.Split(line, " "))
		if err := root.Execute(); err == nil || err.Error() != want {
			t.Errorf("rookery %s = %v, want %s", line, err, want)
		}
	}
}
