package gate

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/penguinmails/rookery/bench/lab"
)

// measured are counts that lie exactly on the ceilings.
func measured() []Count {
	var counts []Count
	for _, c := range Ceilings() {
		counts = append(counts, Count{Part: c.Part, What: c.What, PerJob: c.Most / float64(c.Per)})
	}
	return counts
}

func excesses(t *testing.T, counts []Count) []string {
	t.Helper()
	verdicts, err := Judge(counts, Ceilings())
	if err != nil {
		t.Fatalf("Judge: %v", err)
	}
	var out []string
	for _, v := range verdicts {
		if v.Excess() {
			out = append(out, v.Part+": "+v.What)
		}
	}
	return out
}

// least are the smallest counts that were seen (see ceilings.go), per job: one more
// than these must be seen too. What is not here stands at its ceiling.
var least = map[string]map[string]float64{
	"relay":  {"statements": 1.56 / batch, "commits": 2.3 / batch, "surveys": 0.2 / batch, "claims in vain": 0.1 / batch, "Redis commands": 9.7 / batch, "mallocs": 8.46, "updates not HOT": 0, "row versions": 1},
	"worker": {"statements": 1.06 / batch, "commits": 1.21 / batch, "Redis commands": 26.2 / batch, "mallocs": 13.27, "updates not HOT": 0},
	"copy":   {"commits": 1.05 / batch, "mallocs": 12.12},
	"insert": {"commits": 1, "mallocs": 39.05},

	"listened": {"statements": 1.06 / batch, "commits": 1.21 / batch, "row versions": 1, "bytes kept": 6.7, "WAL bytes": 200},
	"listener": {"statements": 0.1 / batch, "rows read": 4, "WAL bytes": 0, "row versions": 0},
}

func TestJudge_SeesOneMore(t *testing.T) {
	for _, more := range []struct {
		part, what string
		each       float64 // one more for so many jobs
	}{
		{"relay", "statements", batch},
		{"relay", "surveys", batch},
		{"relay", "claims in vain", batch},
		{"relay", "commits", batch},
		{"relay", "Redis commands", 1},
		{"relay", "mallocs", 1},
		{"relay", "updates not HOT", 20},
		{"relay", "row versions", 10},
		{"worker", "statements", batch},
		{"worker", "commits", batch},
		{"worker", "Redis commands", 1},
		{"worker", "mallocs", 1},
		{"worker", "updates not HOT", 20},
		{"copy", "statements", batch},
		{"copy", "commits", batch},
		{"copy", "mallocs", 1},
		{"copy", "statements in functions", batch},
		{"insert", "statements", 1},
		{"insert", "commits", 1},
		{"insert", "mallocs", 1},
		{"insert", "statements in functions", 1},
		{"insert", "row versions", 1},
		{"listened", "statements", batch},
		{"listened", "row versions", 10},
		{"listened", "bytes kept", 0.3},  // three more a job
		{"listened", "WAL bytes", 0.04},  // 25 more
		{"listener", "statements", 5000}, // three more a page
		{"listener", "rows read", 1},
		{"listener", "row versions", 1},
	} {
		counts := measured()
		for i := range counts {
			if c := &counts[i]; c.Part == more.part && c.What == more.what {
				if n, ok := least[c.Part][c.What]; ok {
					c.PerJob = n
				}
				if got := excesses(t, counts); len(got) > 0 {
					t.Fatalf("%s: %s = %v a job is already above its ceiling", c.Part, c.What, c.PerJob)
				}
				c.PerJob += 1 / more.each
			}
		}
		want := []string{more.part + ": " + more.what}
		if got := excesses(t, counts); !slices.Equal(got, want) {
			t.Errorf("one more for %v jobs: excesses = %q, want %q", more.each, got, want)
		}
	}
}

func TestJudge_GuardsAll(t *testing.T) {
	counts := measured()
	counts[0].What = "headaches"
	_, err := Judge(counts, Ceilings())
	for _, want := range []string{"no ceiling for headaches", "no " + Ceilings()[0].What} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Judge of a count without a ceiling = %v, want an error with %q", err, want)
		}
	}
}

// TestCeilings_OnePerCount holds the table against what Measure counts.
func TestCeilings_OnePerCount(t *testing.T) {
	var counts []Count
	for _, part := range []string{"insert", "copy", "relay", "worker", "listened", "listener"} {
		counts = append(counts, reading{}.counts(part, 1)...)
	}
	if _, err := Judge(counts, Ceilings()); err != nil {
		t.Errorf("Judge of one of each count = %v, want none", err)
	}
	lines := map[int]bool{}
	for _, c := range Ceilings() {
		lines[c.line()] = true
		if row := fmt.Sprintf("{%q, %q, ", c.Part, c.What); strings.Count(source, row) != 1 {
			t.Errorf("%s has %q %d times, want once", File, row, strings.Count(source, row))
		}
	}
	if len(lines) != len(counts) || lines[0] {
		t.Errorf("lines of the ceilings are %v, want %d, none 0", slices.Sorted(maps.Keys(lines)), len(counts))
	}
}

func TestPrint_NamesTheLine(t *testing.T) {
	counts := measured()
	counts[1].PerJob *= 2
	verdicts, err := Judge(counts, Ceilings())
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	Print(&out, verdicts)
	c := Ceilings()[1]
	want := fmt.Sprintf("%s: %s are above their ceiling; if they must be, say why at %s:%d\n", c.Part, c.What, File, c.line())
	if text := out.String(); !strings.HasSuffix(text, want) || strings.Count(text, "TOO MUCH") != 1 {
		t.Errorf("Print =\n%s\nwant one TOO MUCH, and at the end %q", text, want)
	}
}

func TestReading_Add(t *testing.T) {
	r := reading{secondly: map[string]float64{}}
	for _, s := range []struct {
		query string
		top   bool
	}{
		{"-- name: ClaimReady :many\nWITH", true},
		{"begin", true},
		{"-- name: Survey :one\n\nWITH", true},
		{"-- name: ListQueues :many\n\nSELECT", true},
		{"-- name: RecordPushes :exec\n\nUPDATE", true},
		{"-- name: BeatProcess :many\nWITH", true},
		{"SELECT outbox.wake()", false},
		{ours + "SELECT EXISTS (SELECT FROM outbox.ready)", true},
		{"SELECT coalesce(sum(calls), $1)::float8 FROM pg_stat_statements", true},
		{"\n\t\tSELECT (SELECT sum(xact_commit) FROM pg_stat_database), 1", true},
	} {
		r.add(s.query, s.top, 1)
	}
	if r.statements != 2 || r.clock != 1 || r.inside != 1 || r.claims != 1 || r.surveys != 1 || r.secondly["ListQueues"] != 1 {
		t.Errorf("add counted %+v, want 2 statements and one of each else", r)
	}
}

func TestReading_Since(t *testing.T) {
	at := time.Unix(1000, 0)
	before := reading{
		Usage:      lab.Usage{Commits: 100, Mallocs: 7, MallocBytes: 70, Updated: 4, HOT: 3},
		statements: 1, looks: 2, readings: 1, at: at, surveys: 3, claims: 20, batches: 10, secondly: map[string]float64{"ListQueues": 7, "Ping": 1},
	}
	// Three claims, two of them in vain; six surveys and two at rest; in four seconds seven ListQueues, of
	// which the clock explains four, and two Pings, which it explains.
	now := reading{
		Usage:      lab.Usage{Commits: 134, Mallocs: 9, MallocBytes: 100, Updated: 14, HOT: 13, RedisCalls: 237, WALBytes: 9192, FullPages: 1},
		statements: 5, clock: 1, looks: 3, readings: 1, at: at.Add(4 * time.Second), surveys: 11, idle: 2, claims: 23, batches: 11, secondly: map[string]float64{"ListQueues": 14, "Ping": 3},
	}
	want := map[string]float64{
		"statements": 0.8, "statements in functions": 0, "commits": 1.6, "surveys": 0.6, "claims in vain": 0.2, "WAL bytes": 100, "row versions": 1, "mallocs": 0.2, "malloc bytes": 3,
		"rows deleted": 0, "updates not HOT": 0, "Redis commands": 2,
	}
	got := map[string]float64{}
	for _, c := range now.since(before).counts("relay", 10) {
		got[c.What] = c.PerJob
	}
	if !maps.Equal(got, want) {
		t.Errorf("counts per job = %v, want %v", got, want)
	}
}
