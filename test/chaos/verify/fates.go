package verify

import (
	"maps"
	"slices"

	"github.com/penguinmails/rookery/test/chaos/history"
)

// fates compares what producers were told with what is in the table.
func (w *work) fates() {
	for _, key := range slices.Sorted(maps.Keys(w.fate)) {
		f, row := w.fate[key], w.rows[key]
		switch {
		case f.Word == history.Committed && row == nil && w.tail(f.Act):
			w.Jobs++
			w.TailLost++
		case f.Word == history.Committed && row == nil:
			w.Jobs++
			w.Lost++
			w.Add("lost: job %s (%d) was committed and is not in the table", key, f.ID)
		case f.Word == history.Committed:
			w.Jobs++
			w.finished(f, row)
		case f.Word == history.RolledBack && row != nil:
			w.Phantom++
			w.Add("phantom: job %s (%d) was rolled back and is in the table", key, row.ID)
		case row != nil: // its producer does not know; the table does
			w.finished(f, row)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(w.rows)) {
		if w.fate[key] == nil {
			w.Phantom++
			w.Add("phantom: job %q (%d) is in the table and was never offered", key, w.rows[key].ID)
		}
	}
	for _, key := range w.keys {
		r := w.runs[key][0]
		switch f := w.fate[key]; {
		case f == nil:
			w.Phantom++
			w.Add("phantom: job %q (%d) ran and was never offered", key, r.ID)
		case f.Word == history.RolledBack:
			w.Phantom++
			w.Add("phantom: job %s (%d) was rolled back and ran", key, r.ID)
		case w.rows[key] == nil && f.Word != history.Committed && !w.tail(f.offered):
			w.Phantom++
			w.Add("phantom: job %s (%d) ran, was never acknowledged, and is not in the table", key, r.ID)
		}
	}
}

// finished checks that a job has ended as its producer wanted, at no expense but its
// own failures.
func (w *work) finished(f *fate, row *Job) {
	want := f.offered.Want
	if want == "" {
		want = "completed"
	}
	switch {
	case !final(row.Status):
		w.Lost++
		w.Add("lost: job %s (%d) is %s at rest (attempt %d, lost %d)", row.Key, row.ID, row.Status, row.Attempts, row.Losses)
		return
	case want == "any":
		return
	case want == "completed" && w.poisoned(row):
		w.Poisoned++
		if w.f.Endpoints == nil && int(row.Failures) > f.offered.Fails {
			w.Add("retries: job %s (%d) has failure_count %d, it was to fail %d times at most", row.Key, row.ID, row.Failures, f.offered.Fails)
		}
		return // it died before it had failed as often as it was to
	case row.Status != want:
		w.Lost++
		w.Add("lost: job %s (%d) is %s (%s), want %s", row.Key, row.ID, row.Status, row.Error, want)
	}
	if w.f.Endpoints == nil && int(row.Failures) != f.offered.Fails { // else see attempts
		w.Add("retries: job %s (%d) has failure_count %d, it failed %d times by itself", row.Key, row.ID, row.Failures, f.offered.Fails)
	}
}

// lostMost is how many lost workers make a poison pill of a job.
const lostMost = 4

// poisoned reports whether a job that its producer wanted done died of kills alone:
// under four of its runs the harness had killed the worker, and Postgres counted
// those four, no more.
func (w *work) poisoned(row *Job) bool {
	if row.Status != "dead" || int(row.Losses) != lostMost {
		return false
	}
	killed := 0
	for _, r := range w.runs[row.Key] {
		if slices.ContainsFunc(w.f.Acts, func(a history.Act) bool {
			return a.Word == history.Killed && a.Proc == r.Proc && a.PID == r.PID && a.Mono > r.Mono
		}) {
			killed++
		}
	}
	return killed >= lostMost
}
