package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// update writes the pages instead of comparing them: `make docs`.
var update = flag.Bool("update", false, "write docs/cli.md and docs/man")

const docs = "../../docs"

// The pages say what the program does: they are made of its commands.
func TestDocs_AreUpToDate(t *testing.T) {
	pages := map[string]string{"cli.md": manual(documented())}
	for _, c := range commands(documented()) {
		// No date: a page changes when a command does.
		var page bytes.Buffer
		if err := doc.GenMan(c, &doc.GenManHeader{Section: "1", Source: "Rookery", Manual: "Rookery", Date: &time.Time{}}, &page); err != nil {
			t.Fatal(err)
		}
		text := strings.Replace(page.String(), ` "Jan 0001" `, ` "" `, 1)
		pages[filepath.Join("man", strings.ReplaceAll(c.CommandPath(), " ", "-")+".1")] = text
	}
	there, err := filepath.Glob(filepath.Join(docs, "man", "*.1"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range there {
		if rel := filepath.Join("man", filepath.Base(path)); pages[rel] == "" {
			pages[rel] = "" // of a command that is no more
		}
	}
	for rel, want := range pages {
		path := filepath.Join(docs, rel)
		if *update {
			write(t, path, want)
			continue
		}
		got, err := os.ReadFile(path)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("%s is not what the program says, run make docs (-want +got):\n%s", path, diff)
		}
	}
}

// write writes a page, or removes one that must be empty.
func write(t *testing.T, path, text string) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil && text == "" {
		err = os.Remove(path)
	} else if err == nil {
		err = os.WriteFile(path, []byte(text), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// documented is the program with what cobra adds when it runs.
func documented() *cobra.Command {
	root := program()
	root.DisableAutoGenTag = true
	root.InitDefaultCompletionCmd()
	return root
}

// commands are root and all below it that are shown to people, each before its own.
func commands(root *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{root}
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() {
			all = append(all, commands(c)...)
		}
	}
	return all
}

// manual is docs/cli.md: a section for each command.
func manual(root *cobra.Command) string {
	var b strings.Builder
	b.WriteString(`# The command line

<!-- Made of the program by make docs; do not edit. -->

Every command takes ` + "`--help`, `--config FILE` and `--json`" + `. ` + "`rookery completion bash|zsh|fish|powershell`" + ` prints a
completion script: ` + "`source <(rookery completion bash)`" + `. The same as man pages: ` + "`docs/man`, `man -l docs/man/rookery.1`" + `.
Output is plain text without colours. [README.md](../README.md#configuration) has the variables.

| exit code | means |
|---|---|
| 0 | done |
| 1 | not done, or ` + "`doctor`" + ` found a problem |
| 2 | asked wrongly: the command, a flag, a value |
| 3 | there is no such job, queue, … |
| 4 | the job's status does not allow it |
| 5 | Postgres does not let this user in, or do this |
| 6 | Postgres does not answer |
`)
	for _, c := range commands(root) {
		fmt.Fprintf(&b, "\n## %s\n\n%s.\n", c.CommandPath(), strings.TrimSuffix(c.Short, "."))
		if c.Long != "" && c.Long != c.Short {
			long := strings.TrimSpace(strings.TrimPrefix(c.Long, c.Short+"."))
			if c.Parent() != nil && c.Parent().Name() == "completion" {
				long = "```text\n" + long + "\n```" // cobra's own, with lines of shell in it
			}
			fmt.Fprintf(&b, "\n%s\n", long)
		}
		if c.HasParent() && c.Runnable() && !c.HasSubCommands() || c.UseLine() != c.CommandPath()+" [flags]" {
			fmt.Fprintf(&b, "\n    %s\n", c.UseLine())
		}
		if c.Example != "" {
			fmt.Fprintf(&b, "\n```sh\n%s\n```\n", unindented(c.Example))
		}
		if flags := c.NonInheritedFlags(); flags.HasAvailableFlags() {
			fmt.Fprintf(&b, "\n```text\n%s```\n", flags.FlagUsages())
		}
		if c.HasAvailableSubCommands() {
			b.WriteString("\n")
			for _, sub := range c.Commands() {
				if sub.IsAvailableCommand() {
					anchor := strings.ReplaceAll(sub.CommandPath(), " ", "-")
					fmt.Fprintf(&b, "- [%s](#%s): %s\n", sub.CommandPath(), anchor, sub.Short)
				}
			}
		}
	}
	return b.String()
}

// unindented is an example without the two spaces that help wants.
func unindented(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimPrefix(lines[i], "  ")
	}
	return strings.Join(lines, "\n")
}
