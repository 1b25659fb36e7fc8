package main

import (
	"os"
	"path/filepath"
	"testing"
)

// A program that is missing is found when the worker starts, and not by every job.
func TestProgramOf_MissingProgram(t *testing.T) {
	dir := t.TempDir()
	there := filepath.Join(dir, "there")
	if err := os.WriteFile(there, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "text"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		command string
		fails   bool
	}{
		{there, false}, {there + " -v", false}, {" " + there, false},
		{dir + "/missing", true}, {dir + "/missing -v 2>&1", true}, {dir + "/text", true}, {"./missing", true},
		// What only a shell understands is left to it.
		{"cat >/dev/null", false}, {"$HOME/missing", false}, {"X=/missing env", false}, {"(/missing)", false}, {"/missing;true", false},
	} {
		argv, err := programOf(bareExec, []string{c.command}, -1)
		if (err != nil) != c.fails || err == nil && len(argv) != 3 {
			t.Errorf("programOf(%q) = %v, %v, want an error: %t", c.command, argv, err, c.fails)
		}
	}
}
