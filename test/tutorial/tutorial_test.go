package tutorial

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/penguinmails/rookery/internal/devstack"
)

// step is a block of commands, and the output that the page shows after it.
type step struct {
	line     int // of the page
	commands string
	output   string
}

var block = regexp.MustCompile("(?ms)^```(sh|text)\n(.*?)^```$")

// steps reads the page: each ```sh block, with the ```text block that follows it.
func steps(page string) (all []step) {
	for _, at := range block.FindAllStringSubmatchIndex(page, -1) {
		kind, text := page[at[2]:at[3]], page[at[4]:at[5]]
		switch {
		case kind == "sh":
			all = append(all, step{line: 1 + strings.Count(page[:at[0]], "\n"), commands: text})
		case len(all) > 0:
			all[len(all)-1].output += text
		}
	}
	return all
}

// fits reports the first line of want that got does not have, in their order. In want
// … stands for anything, a line of its own for any lines.
func fits(want, got string) (missing string) {
	lines := strings.Split(got, "\n")
	for line := range strings.Lines(want) {
		line = strings.TrimSpace(line)
		pattern := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(line), "…", ".*") + "$")
		for line != "" && line != "…" {
			if len(lines) == 0 {
				return line
			}
			first := strings.TrimSpace(lines[0])
			lines = lines[1:]
			if pattern.MatchString(first) {
				break
			}
		}
	}
	return ""
}

func TestTutorial_CommandsDoWhatThePageSays(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long; run without -short")
	}
	if err := devstack.Install(t.Context(), os.Stderr); err != nil {
		t.Fatal(err)
	}
	if err := devstack.InstallPrograms(t.Context(), os.Stderr, "curl", "git", "tar"); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/tutorial.md")
	if err != nil {
		t.Fatal(err)
	}
	all := steps(string(page))
	if len(all) < 5 {
		t.Fatalf("docs/tutorial.md has %d blocks of commands", len(all))
	}
	clone := t.TempDir()
	if out, err := exec.Command("/bin/bash", "-o", "pipefail", "-c",
		`cd ../.. && { git ls-files -z --cached --others --exclude-standard --deduplicate 2>/dev/null ||
			find . -type f ! -path './bin/*' ! -path '*/node_modules/*' -print0; } | tar --null --ignore-failed-read -T - -c | tar -x -C "$1"`, "bash", clone).CombinedOutput(); err != nil {
		t.Fatalf("copy the repository: %v\n%s", err, out)
	}

	script := "set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\n"
	for i, s := range all {
		script += fmt.Sprintf("echo; echo '%s'\n%s", mark(i), s.commands)
	}
	script += "echo; echo '" + mark(len(all)) + "'\n"
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	shell := exec.CommandContext(ctx, "/bin/bash", "-c", script)
	shell.Dir = clone
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "ROOKERY_") && !strings.HasPrefix(v, "DATABASE_") && !strings.HasPrefix(v, "REDIS_") && !strings.HasPrefix(v, "PG") {
			shell.Env = append(shell.Env, v)
		}
	}
	var out bytes.Buffer
	shell.Stdout, shell.Stderr = &out, &out
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	shell.Cancel = func() error { return syscall.Kill(-shell.Process.Pid, syscall.SIGTERM) }
	shell.WaitDelay = 20 * time.Second
	if err := shell.Run(); err != nil {
		t.Fatalf("docs/tutorial.md: %v; it said:\n%s", err, out.String())
	}
	_, rest, _ := strings.Cut(out.String(), mark(0))
	for i, s := range all {
		var got string
		got, rest, _ = strings.Cut(rest, mark(i+1))
		if missing := fits(s.output, got); missing != "" {
			t.Errorf("docs/tutorial.md, line %d: the page shows %q, which did not come out of\n%s\nwhat came out:\n%s", s.line, missing, s.commands, got)
		}
	}
}

// mark stands between the outputs of the steps.
func mark(i int) string { return fmt.Sprintf("=== step %d of docs/tutorial.md ===", i) }

// The reader of the page itself: one that finds nothing wrong would pass everything.
func TestSteps_ReadAndCompare(t *testing.T) {
	t.Parallel()
	all := steps("# x\n```sh\necho 1\n```\nthen\n```text\n1\n```\n```sql\nno\n```\n```sh\necho 2\n```\n")
	if len(all) != 2 || all[0] != (step{2, "echo 1\n", "1\n"}) || all[1].output != "" {
		t.Errorf("steps = %+v", all)
	}
	for _, c := range []struct{ want, got, missing string }{
		{"a\nb\n", "x\na\ny\nb\n", ""},
		{"a\nb\n", "b\na\n", "b"},
		{"job …: done\n", "job 12: done", ""},
		{"job …: done\n", "job 12: dead", "job …: done"},
		{"…\nb\n", "a\nb", ""},
		{"a.c\n", "abc\n", "a.c"},
	} {
		if got := fits(c.want, c.got); got != c.missing {
			t.Errorf("fits(%q, %q) = %q, want %q", c.want, c.got, got, c.missing)
		}
	}
}
