package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
)

// screen is what a program has written to a terminal.
type screen struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.Write(p)
}

// last is the last whole drawing: what stands between two moves to the top.
func (s *screen) last() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	drawings := strings.Split(s.all.String(), "\x1b[H")
	if len(drawings) < 3 {
		return ""
	}
	return drawings[len(drawings)-2]
}

func (s *screen) until(t *testing.T, what string, seen func(last string) bool) {
	t.Helper()
	devtest.Until(t, patience, "the screen shows "+what, func() (bool, error) { return seen(s.last()), nil })
}

// fits reports whether a drawing keeps within a terminal.
func fits(drawing string, columns, lines int) bool {
	plain := strings.NewReplacer("\x1b[1m", "", "\x1b[0m", "", "\x1b[K", "", "\x1b[J", "").Replace(drawing)
	all := strings.Split(plain, "\r\n")
	for _, line := range all {
		if len([]rune(line)) > columns {
			return false
		}
	}
	return plain != "" && len(all) <= lines
}

func TestTop_InATerminal(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	w.relay()
	w.exec("INSERT INTO outbox.queues (name, paused) SELECT 'queue-' || n, false FROM generate_series(1, 40) AS n")
	w.insert(3, `{}`)
	cmd := exec.CommandContext(t.Context(), program("rookery"), "top", "--every", "500ms")
	cmd.Env = w.env("top")
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 80})
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	var s screen
	drained := make(chan struct{}) // when the last who could write has gone
	go func() {
		defer close(drained)
		_, _ = bufio.NewReader(tty).WriteTo(&s)
	}()
	s.until(t, "the queue without a worker in 80 x 24", func(last string) bool {
		return strings.Contains(last, queue+" has no worker, and 3 jobs are due") && strings.Contains(last, "relay") && strings.Contains(last, "more") && fits(last, 80, 24)
	})
	if err := pty.Setsize(tty, &pty.Winsize{Rows: 12, Cols: 40}); err != nil {
		t.Fatal(err)
	}
	s.until(t, "less in 40 x 12", func(last string) bool { return strings.Contains(last, "ALERTS") && fits(last, 40, 12) })
	w.exec("UPDATE outbox.queues SET paused = true WHERE name = $1", queue)
	s.until(t, "the pause", func(last string) bool { return strings.Contains(last, queue+" is paused") })
	if _, err := tty.WriteString("q"); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after q it ended with %v, want 0", err)
	}
	select { // what it wrote at its end is on its way
	case <-drained:
	case <-time.After(30 * time.Second):
		t.Fatal("the terminal does not end")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if got := s.all.String(); !strings.HasPrefix(got, "\x1b[?1049h") || !strings.HasSuffix(got, "\x1b[?1049l") {
		t.Errorf("it does not leave the terminal as it was: %q", got[max(0, len(got)-60):])
	}
}

func TestTop_WithoutATerminal(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	w.exec("INSERT INTO outbox.queues (name) VALUES ('bulk')")
	if got := w.mustCLI("top"); !strings.Contains(got, "no relay lives") || !strings.Contains(got, "bulk") || strings.Contains(got, "\x1b") {
		t.Errorf("top = %q, want one look as plain text", got)
	}
	var v struct {
		Queues []struct {
			Name    string
			Backlog *int64
		}
		Alerts []string
	}
	if err := json.Unmarshal([]byte(w.mustCLI("top", "-o", "json")), &v); err != nil || len(v.Queues) != 1 || v.Queues[0].Backlog == nil || len(v.Alerts) == 0 {
		t.Errorf("top -o json = %+v, %v", v, err)
	}
	if code, _, stderr := w.cli("top", "--every", "1ms"); code != 2 || !strings.Contains(stderr, "500ms to 1h") {
		t.Errorf("top --every 1ms = %d %s, want 2 and the limits", code, stderr)
	}
}

func TestWatch_ExitCodeTellsTheOutcome(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	jobs := w.insert(3, `{}`)
	wants := func(code int, want string, args ...string) {
		t.Helper()
		got, stdout, stderr := w.cli(append([]string{"jobs", "watch"}, args...)...)
		if got != code || !strings.Contains(stdout+stderr, want) {
			t.Errorf("jobs watch %v = %d %s%s, want %d and %q", args, got, stdout, stderr, code, want)
		}
	}
	good, bad, off := fmt.Sprint(jobs[0]), fmt.Sprint(jobs[1]), fmt.Sprint(jobs[2])
	wants(6, "not over after 1s", good, "--timeout", "1s")
	w.exec("DELETE FROM outbox.ready")
	w.exec("UPDATE outbox.jobs SET status = 'completed', finished_at = now() WHERE id = $1", jobs[0])
	w.exec("UPDATE outbox.jobs SET status = 'dead', finished_at = now(), last_error = 'no route' WHERE id = $1", jobs[1])
	w.exec("UPDATE outbox.jobs SET status = 'cancelled', finished_at = now() WHERE id = $1", jobs[2])
	wants(0, "completed", good)
	wants(1, "no route", good, bad, off)
	wants(4, "cancelled", good, off)
	wants(3, "no such job", "4711")
	wants(2, "usage", "--queue", "a", "1")
	wants(2, "usage")
	wants(3, "no queue is called nowhere", "--queue", "nowhere")
	w.committed = nil // none of them ran
}

func TestWatch_QueueUntilNothingIsDue(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	w.relay()
	w.worker(5)
	w.insert(20, `{}`)
	w.until(patience, "the queue", "SELECT EXISTS (SELECT FROM outbox.queues WHERE name = $1)", queue)
	if code, stdout, stderr := w.cli("jobs", "watch", "--queue", queue, "--timeout", "50s"); code != 0 || !strings.Contains(stdout, " 0 due") {
		t.Errorf("jobs watch --queue = %d %s%s, want 0 and nothing due", code, stdout, stderr)
	}
	if n := w.count("SELECT count(*) FROM outbox.jobs WHERE status <> 'completed'"); n != 0 {
		t.Errorf("%d jobs are not over when the watch is", n)
	}
	w.rest(30 * time.Second)
}

// An export that is killed at any line and begun again with its file misses none.
func TestExport_KilledAnywhereMissesNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	w.exec("UPDATE outbox.event_gate SET open_until = now() + interval '1 hour', opening = 1, opened_at = now() - interval '1 minute'")
	file := filepath.Join(t.TempDir(), "cursor")
	export := func(args ...string) []string {
		return append([]string{program("rookery"), "events", "export", "--cursor-file", file}, args...)
	}
	if code, stdout, stderr := run(t, w.env("export"), export()...); code != 0 || stdout != "" || !strings.Contains(stderr, "the export begins") {
		t.Fatalf("the first export = %d %q %s", code, stdout, stderr)
	}
	jobs := w.insert(300, `{"secret": "canary"}`)
	for _, id := range jobs {
		w.exec("SELECT outbox.cancel($1)", id)
	}
	seen := map[int64]bool{}
	read := func(line string) {
		var e struct {
			ID     int64 `json:"job_id"`
			Status string
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Status != "cancelled" || strings.Contains(line, "canary") {
			t.Errorf("line %q: %v", line, err)
		}
		seen[e.ID] = true
	}
	for _, kill := range []int{1, 37, 90} {
		argv := export("--follow")
		cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
		cmd.Env = w.env("export")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		in := bufio.NewScanner(out)
		for range kill {
			if !in.Scan() {
				t.Fatalf("it ended by itself: %v", in.Err())
			}
			read(in.Text())
		}
		_ = cmd.Process.Kill()
		// What was written before the kill has been received.
		for in.Scan() {
			read(in.Text())
		}
		_ = cmd.Wait()
	}
	code, stdout, stderr := run(t, w.env("export"), export()...)
	if code != 0 {
		t.Fatalf("the last export = %d %s", code, stderr)
	}
	for line := range strings.Lines(stdout) {
		read(line)
	}
	for _, id := range jobs {
		if !seen[id] {
			t.Errorf("job %d is missing", id)
		}
	}
	w.committed = nil // none of them ran

	file = filepath.Join(t.TempDir(), "of-what-is-kept")
	code, stdout, stderr = run(t, w.env("export"), export("--since", "1h")...)
	if code != 0 || !strings.Contains(stderr, "none is missing from ") || strings.Count(stdout, "\n") != len(jobs) {
		t.Errorf("export --since 1h = %d, %d lines, %s; want 0, %d lines and from when on none is missing", code, strings.Count(stdout, "\n"), stderr, len(jobs))
	}
	if code, stdout, _ = run(t, w.env("export"), export("--since", "1h")...); code != 0 || stdout != "" {
		t.Errorf("the same again = %d %q, want it to go on by its file", code, stdout)
	}
	if err := os.WriteFile(file, []byte("rubbish\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := run(t, w.env("export"), export()...); code != 2 || !strings.Contains(stderr, "no cursor") {
		t.Errorf("with rubbish in the file = %d %s, want 2", code, stderr)
	}
}

func TestExport_Jobs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	w.insert(450, `{"secret": "canary"}`)
	file := filepath.Join(t.TempDir(), "cursor")
	lines := func(args ...string) int {
		t.Helper()
		return strings.Count(w.mustCLI(append([]string{"jobs", "export"}, args...)...), "\n")
	}
	if got := lines("--cursor-file", file); got != 450 {
		t.Errorf("%d lines, want 450", got)
	}
	if got := lines("--cursor-file", file); got != 0 {
		t.Errorf("%d lines of an export that is done, want none", got)
	}
	if got := w.mustCLI("jobs", "export"); strings.Contains(got, "canary") {
		t.Error("payloads are printed without being asked for")
	}
	if got := w.mustCLI("jobs", "export", "--payloads"); strings.Count(got, "canary") != 450 {
		t.Error("payloads are missing")
	}
	w.committed = nil // none of them ran
}

func TestCompletion_KnowsTheQueues(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	w.exec("INSERT INTO outbox.queues (name) VALUES ('email:bulk')")
	for _, args := range [][]string{{"queues", "pause", ""}, {"jobs", "watch", "--queue", ""}, {"jobs", "list", "--queue", ""}, {"enqueue", "--queue", ""}} {
		if got := w.mustCLI(append([]string{"__complete"}, args...)...); !strings.Contains(got, "email:bulk\n") {
			t.Errorf("completion of %v = %q, want the queue", args, got)
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if got := w.mustCLI("completion", shell); !strings.Contains(got, "rookery") {
			t.Errorf("completion %s = %.60q", shell, got)
		}
	}
}
