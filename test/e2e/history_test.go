package e2e

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// attemptRun is one call of a handler, as the history file has it.
type attemptRun struct {
	id, attempt, dispatch int64
	pid                   int
	start, end            int64  // microseconds since 1970; end is 0 when it never ended
	how                   string // "" when it never ended
}

// ref names the attempt.
type ref struct{ id, dispatch int64 }

// readHistory returns the runs in the order in which they began. A file that is not
// there yet has none.
func readHistory(path string) ([]attemptRun, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parseHistory(string(text))
}

// parseHistory pairs each end with the last start of the same attempt in the same
// process. A second start of an attempt is a run of its own.
func parseHistory(text string) ([]attemptRun, error) {
	var runs []attemptRun
	open := map[string]int{}
	lines := strings.SplitAfter(text, "\n")
	for i, line := range lines {
		switch {
		case !strings.HasSuffix(line, "\n"):
			return runs, nil // being written
		case line == "\n", lines[i+1] != "\n" && lines[i+1] != "" && len(strings.Fields(line)) < 7:
			continue // nothing, or half a line of a process that was killed
		}
		var word, how string
		var r attemptRun
		var at int64
		if _, err := fmt.Sscan(line, &word, &r.id, &r.attempt, &r.dispatch, &r.pid, &at, &how); err != nil {
			return nil, fmt.Errorf("history line %q: %w", line, err)
		}
		key := fmt.Sprint(r.id, r.dispatch, r.pid)
		switch word {
		case "start":
			r.start = at
			open[key] = len(runs)
			runs = append(runs, r)
		case "end":
			i, ok := open[key]
			if !ok {
				return nil, fmt.Errorf("history line %q: it never began", line)
			}
			delete(open, key)
			runs[i].end, runs[i].how = at, how
		default:
			return nil, fmt.Errorf("history line %q: unknown word", line)
		}
	}
	return runs, nil
}

func TestParseHistory_SkipsHalfALine(t *testing.T) {
	runs, err := parseHistory("\nstart 1 1 77 5 100 -\n\nstart 2 1 77 5 10\nstart 3 1 77 6 101 -\n\nend 3 1 77 6 102 ok\n")
	if err != nil || len(runs) != 2 || runs[1].id != 3 || runs[1].how != "ok" {
		t.Errorf("parseHistory = %+v, %v, want runs of 1 and 3", runs, err)
	}
}

func TestParseHistory_PairsStartsAndEnds(t *testing.T) {
	runs, err := parseHistory("start 1 1 77 5 100 -\nstart 2 1 77 5 101 -\nend 1 1 77 5 102 ok\nstart 1 1 77 6 103 -\nend 2 1")
	if err != nil || len(runs) != 3 || runs[0].how != "ok" || runs[0].end != 102 || runs[1].end != 0 || runs[2].pid != 6 {
		t.Errorf("parseHistory = %+v, %v", runs, err)
	}
	for _, bad := range []string{"end 1 1 77 5 100 ok\n", "begin 1 1 77 5 100 -\n", "start x\n"} {
		if _, err := parseHistory(bad); err == nil {
			t.Errorf("parseHistory(%q) has no error", bad)
		}
	}
}

// facts reads history and tables.
func (w *world) facts() facts {
	w.t.Helper()
	f := facts{jobs: map[int64]jobRow{}, explained: map[[2]int64]string{}, committed: w.committed, rolledBack: w.rolledBack}
	var err error
	if f.runs, err = readHistory(w.history); err != nil {
		w.t.Fatal(err)
	}
	if f.left, err = w.counts(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	rows, err := w.pool.Query(w.t.Context(), `SELECT id, status, coalesce(dispatch_id, 0), attempt_count, failure_count, lost_count, coalesce(worker_id, ''), coalesce(last_error, '') FROM outbox.jobs`)
	if err != nil {
		w.t.Fatal(err)
	}
	jobs, err := pgx.CollectRows(rows, pgx.RowToStructByPos[jobRow])
	if err != nil {
		w.t.Fatal(err)
	}
	for _, j := range jobs {
		f.jobs[j.ID] = j
	}
	rows, err = w.pool.Query(w.t.Context(), `SELECT job_id, attempt_count, outcome FROM outbox.attempts`)
	if err != nil {
		w.t.Fatal(err)
	}
	var id, attempt int64
	var outcome string
	if _, err := pgx.ForEachRow(rows, []any{&id, &attempt, &outcome}, func() error {
		f.explained[[2]int64{id, attempt}] = outcome
		return nil
	}); err != nil {
		w.t.Fatal(err)
	}
	return f
}

func queryIDs(ctx context.Context, pool *pgxpool.Pool, sql string, args ...any) ([]int64, error) {
	rows, err := pool.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int64])
}
