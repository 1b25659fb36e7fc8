package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode"
)

// hostileNames end a string, a line, a key, a command in whatever they are pasted
// into. An argument of a program cannot hold a NUL.
var hostileNames = []string{
	"--help", "'; DROP TABLE outbox.jobs; --", `"; redis.call('FLUSHALL') --`, "q}:meta", "{q}:leases", "q\r\nFLUSHALL\r\n", "$1", "%s%n", "$(touch /tmp/rookery-owned)", "`id`",
	"<script>alert(1)</script>", "\x1b[2J\x1b]0;title\x07", "a\nlevel=ERROR msg=forged", "\u202egnp.exe", "q\u0085b",
}

// Names of every door's jobs: no queue, but as kind and header text like any other,
// that reaches its program as it was and is obeyed by nothing on the way.
func TestHostile_NamesOnTheWholeWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	w.relay("ROOKERY_LOG_LEVEL=debug")
	for _, name := range hostileNames[1:] { // the first is a name of a queue like any other
		code, stdout, stderr := w.cli("enqueue", "--queue="+name)
		if code != 2 || stdout != "" || !strings.HasPrefix(stderr, "rookery: queue_name ") || strings.Count(stderr, "\n") != 1 || hasControl(stderr) {
			t.Errorf("enqueue --queue %q = %d %q %q, want 2 and one line that names the field", name, code, stdout, stderr)
		}
	}
	if n := w.count(`SELECT count(*) FROM outbox.jobs`); n != 0 {
		t.Errorf("%d jobs were inserted by refused commands", n)
	}
	for _, name := range hostileNames {
		out := w.mustCLI("enqueue", "--queue=odd", "--kind="+name, "--headers="+fmt.Sprintf(`{"h": %q}`, strings.Map(printableOnly, name)), "--payload="+strconv.Quote(strings.Map(printableOnly, name)))
		if _, err := strconv.ParseInt(strings.TrimSpace(out), 10, 64); err != nil {
			t.Errorf("enqueue --kind %q printed %q", name, out)
		}
	}
	worker := w.rookery("worker --queue odd", "ROOKERY_LOG_LEVEL=debug")
	worker.kill() // it has no program
	w.start("worker --exec", append(w.env("worker"), "ROOKERY_LOG_LEVEL=debug"), program("rookery"), "worker", "--queue", "odd", "--exec", `printf '%s' "$ROOKERY_JOB_KIND" >&2; exit 65`)
	w.until(patience, "all to be discarded", `SELECT count(*) = $1 FROM outbox.jobs WHERE status = 'dead'`, len(hostileNames))
	for i, name := range hostileNames {
		if n := w.count(`SELECT count(*) FROM outbox.jobs WHERE kind = $1 AND last_error LIKE '%' || $2`, name, strings.TrimSpace(name)); n != 1 {
			t.Errorf("kind %d, %q, did not reach its program and come back as it was", i, name)
		}
	}
	for _, args := range [][]string{{"jobs", "list"}, {"jobs", "list", "--status", "dead"}, {"queues"}} {
		if out := w.mustCLI(args...); hasControl(out) {
			t.Errorf("rookery %v prints %q, which a terminal obeys", args, out)
		}
	}
	for _, p := range w.procs {
		if hasControl(p.err.String()) || regexp.MustCompile(`(?m)^level=ERROR msg=forged`).MatchString(p.err.String()) {
			t.Errorf("%s logs %q", p.name, p.err.String())
		}
	}
	if _, err := os.Stat("/tmp/rookery-owned"); err == nil {
		t.Error("a kind was run by a shell")
	}
	for _, args := range [][]string{
		{"enqueue", "--payload=" + strings.Repeat("[", 60_000) + strings.Repeat("]", 60_000)}, {"enqueue", "--payload=" + strings.Repeat("[", 100_000)},
		{"enqueue", `--payload="\u0000"`}, {"enqueue", `--payload="\ud800"`}, {"enqueue", "--payload=1e200000"}, {"enqueue", "--payload=\"\xff\""},
		{"enqueue", "--headers=[]"}, {"enqueue", "--priority=99999999999999999999"}, {"enqueue", "--run-at=9999-99-99T00:00:00Z"}, {"enqueue", "--max-attempts=-1"},
		{"jobs", "get", "0x10"}, {"jobs", "get", "99999999999999999999"}, {"jobs", "cancel", "1;2"}, {"queues", "window", "q", "--size", "9223372036854775808"},
		{"jobs", "list", "--status", "'; DROP"}, {"jobs", "list", "--limit", "1e9"},
	} {
		code, stdout, stderr := w.cli(args...)
		// A number that only Postgres finds too large is no fault of the command line.
		if code != 2 && (code != 1 || !strings.Contains(stderr, "payload")) || stdout != "" || strings.Count(stderr, "\n") != 1 || len(stderr) > 400 || hasControl(stderr) {
			t.Errorf("rookery %.60q = %d %q %.500q, want 2 and one short line", args, code, stdout, stderr)
		}
	}
	if n := w.count(`SELECT count(*) FROM outbox.jobs`); n != int64(len(hostileNames)) {
		t.Errorf("%d jobs, want %d", n, len(hostileNames))
	}
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' })
}

func printableOnly(r rune) rune {
	if unicode.IsControl(r) || r == '\u202e' {
		return -1
	}
	return r
}

// endless is a body of spaces that counts what was read of it.
type endless struct {
	left int64
	sent *atomic.Int64
}

func (e *endless) Read(p []byte) (int, error) {
	n := int(min(int64(len(p)), e.left))
	if n == 0 {
		return 0, io.EOF
	}
	for i := range p[:n] {
		p[i] = ' '
	}
	e.left -= int64(n)
	e.sent.Add(int64(n))
	return n, nil
}

// Bodies of 1 GiB, said and unsaid, twenty at once: refused after the limit, with
// hardly more memory than before, while others are served.
func TestHostile_GiantBodies(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	p, base := w.serve()
	w.post(base, job(`"payload": {}`))
	before := peak(t, p)
	var sent atomic.Int64
	var clients sync.WaitGroup
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	for i := range 20 {
		clients.Go(func() {
			req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, base+"/v1/jobs/batch", &endless{left: 1 << 30, sent: &sent})
			if err != nil {
				t.Error(err)
				return
			}
			req.Header.Set("Content-Type", "application/json")
			if i%2 == 0 {
				req.ContentLength = 1 << 30
			}
			res, err := client.Do(req)
			if err != nil {
				return // hung up on while it was still sending, as TCP has it
			}
			defer func() { _ = res.Body.Close() }()
			if text, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusRequestEntityTooLarge || !strings.Contains(string(text), "at most 4194304 bytes") {
				t.Errorf("1 GiB = %d %.200s, want 413 with the limit", res.StatusCode, text)
			}
		})
	}
	for range 20 {
		w.post(base, job(`"payload": {}`))
	}
	clients.Wait()
	w.post(base, job(`"payload": {}`))
	after := peak(t, p)
	t.Logf("20 bodies of 1 GiB: %d MiB were sent; peak memory %d MiB before, %d MiB after", sent.Load()>>20, before>>20, after>>20)
	if grown := after - before; grown > 256<<20 {
		t.Errorf("peak memory grew by %d MiB, want at most 256", grown>>20)
	}
	if sent.Load() > 1<<30 {
		t.Errorf("%d MiB were taken of 20 GiB, want a refusal soon after the limit", sent.Load()>>20)
	}
	if n := w.count(`SELECT count(*) FROM outbox.jobs`); n != 22 {
		t.Errorf("%d jobs, want the 22 that were small", n)
	}
}

// peak is the most memory that p has had resident, in bytes.
func peak(t *testing.T, p *process) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid()))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(text)
	if m == nil {
		t.Fatalf("no VmHWM in %s", text)
	}
	kb, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kb << 10
}
