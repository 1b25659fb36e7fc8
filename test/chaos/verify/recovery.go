package verify

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/penguinmails/rookery/test/chaos/history"
)

// Recovery is how long it took, the slowest fault of the run. A fault counts from
// the moment a process was killed, froze or crashed, and, of links and servers, from
// the moment the fault was lifted (a loss of data is lifted at once).
type Recovery struct {
	// NewWork is how long it took until ten jobs that were committed after the fault,
	// and due, had begun.
	NewWork time.Duration
	// Back is the longest that a job waited which was not finished at that moment, or
	// was committed after it: from there, or from its commit, to the beginning of the
	// run that counted. Jobs that fail by themselves or are for later are left out:
	// their waiting is their own.
	Back time.Duration
}

// firstJobs is how many jobs NewWork waits for.
const firstJobs = 10

func recovery(w *work) Recovery {
	var best Recovery
	done := w.finishedAt()
	for _, o := range w.origins() {
		best.NewWork = max(best.NewWork, w.newWork(o))
		best.Back = max(best.Back, w.back(o, done))
	}
	return best
}

// origins are the moments recovery is counted from.
func (w *work) origins() []history.Act {
	var found []history.Act
	killed := map[[2]any]bool{}
	for _, a := range w.f.Acts {
		switch a.Word { //nolint:exhaustive // the others are no beginning of a recovery
		case history.Frozen:
			found = append(found, a)
		case history.Killed:
			killed[[2]any{a.Proc, a.PID}] = true
			found = append(found, a)
		case history.Ended:
			if !killed[[2]any{a.Proc, a.PID}] && !strings.HasPrefix(a.How, "exit status 0") {
				found = append(found, a)
			}
		case history.Lifted:
			found = append(found, a)
		}
	}
	return slices.DeleteFunc(found, func(a history.Act) bool { return a.Target == "producer" })
}

// finishedAt returns when each job's row became final for good, wall clock.
func (w *work) finishedAt() map[string]int64 {
	done := map[string]int64{}
	for key, row := range w.rows {
		for _, c := range w.changes[row.ID] {
			if final(c.Becomes) {
				done[key] = c.At
			}
		}
	}
	return done
}

func (w *work) newWork(o history.Act) time.Duration {
	from, _ := slices.BinarySearchFunc(w.f.Acts, o.Mono, func(a history.Act, mono int64) int { return cmp.Compare(a.Mono, mono) })
	n := 0
	for _, a := range w.f.Acts[from:] {
		f := w.fate[a.Key]
		if a.Word != history.Started || f == nil || f.Word != history.Committed || f.Mono < o.Mono || f.offered.Due > 0 || w.runs[a.Key][0].Mono != a.Mono {
			continue
		}
		if n++; n == firstJobs {
			return seconds(a.Mono - o.Mono)
		}
	}
	return 0
}

func (w *work) back(o history.Act, done map[string]int64) (slowest time.Duration) {
	for key, f := range w.fate {
		if f.Word != history.Committed || f.offered.Fails > 0 || f.offered.Due > 0 || len(w.runs[key]) == 0 {
			continue
		}
		if at, ok := done[key]; !ok || at <= o.Wall {
			continue
		}
		last := w.runs[key][len(w.runs[key])-1]
		slowest = max(slowest, seconds(last.Mono-max(o.Mono, f.Mono)))
	}
	return slowest
}
