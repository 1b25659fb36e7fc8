package verify

import (
	"fmt"
	"slices"

	"github.com/penguinmails/rookery/test/chaos/history"
)

// The causes that need no note: what the stage did to the process that ran the job.
const (
	WorkerKilled     = "worker_killed"      // while the handler ran
	OutcomeLost      = "outcome_lost"       // the handler had returned, Postgres did not know yet
	WorkerFrozen     = "worker_frozen"      // for longer than a lease may take
	MachineStalled   = "machine_stalled"    // as if all were frozen: not the fault's doing, and shown
	GivenBack        = "given_back"         // by a worker that was told to stop
	UnexplainedCause = "unexplained"        // always a finding
	frozenLong       = int64(8_000_000_000) // a lease of 15 s, last renewed up to 5 s before, and a busy machine
)

// runsOnce looks for an attempt that ran twice: the fence holds, or it does not.
func (w *work) runsOnce() {
	for _, key := range w.keys {
		seen := map[[2]int64]*run{}
		for _, r := range w.runs[key] {
			at := [2]int64{r.ID, r.Dispatch}
			if first := seen[at]; first != nil {
				w.Add("fence: job %s (%d) ran twice under dispatch %d, in %s and in %s", key, r.ID, r.Dispatch, first.Proc, r.Proc)
			}
			seen[at] = r
		}
	}
}

// outcomes looks at what Postgres accepted: one end for each dispatch, and only what
// a run of it returned.
func (w *work) outcomes() {
	keys := map[int64]string{}
	for key, row := range w.rows {
		keys[row.ID] = key
	}
	for id, changes := range w.changes {
		ends := map[int64]int{}
		for _, c := range changes {
			if !out(c.Was) || out(c.Becomes) {
				continue
			}
			if ends[c.WasDispatch]++; ends[c.WasDispatch] == 2 {
				w.Add("fence: two outcomes of job %d were accepted under dispatch %d", id, c.WasDispatch)
			}
			if w.f.Endpoints != nil {
				w.pushed(keys[id], c)
				continue
			}
			if c.Becomes == "completed" && !w.returned(keys[id], c, "ok") {
				w.Add("fence: job %d is completed under dispatch %d, and no run of it returned well", id, c.WasDispatch)
			}
			if w.tried[[2]int64{id, int64(c.Attempt)}] == "fail" && !w.returned(keys[id], c, "failed") {
				w.Add("fence: job %d has failed under dispatch %d, and no run of it did", id, c.WasDispatch)
			}
		}
	}
}

// returned reports whether a run of the dispatch that c ended returned how.
func (w *work) returned(key string, c Change, how string) bool {
	return slices.ContainsFunc(w.runs[key], func(r *run) bool {
		return r.ID == c.ID && w.last(r.ID, r.Dispatch) == c.WasDispatch && r.how == how
	})
}

// again counts the runs that follow another of the same job, by cause.
func (w *work) again() {
	for _, key := range w.keys {
		runs := w.runs[key]
		for i, r := range runs[:len(runs)-1] {
			cause, asked := w.cause(r, runs[i+1])
			if asked {
				continue
			}
			w.Duplicates[cause]++
			if cause == UnexplainedCause {
				w.Add("duplicate: job %s (%d) ran again after attempt %d (dispatch %d, in %s, %s), which nothing explains",
					key, r.ID, r.Attempt, r.Dispatch, r.Proc, w.endOf(r))
			}
		}
	}
}

// endOf says how a run's dispatch ended, for people.
func (w *work) endOf(r *run) string {
	how := r.how
	if how == "" {
		how = "never returned"
	}
	for _, c := range w.changes[r.ID] {
		if c.WasDispatch == w.last(r.ID, r.Dispatch) && out(c.Was) && !out(c.Becomes) {
			return fmt.Sprintf("%s; became %s with lost_count %d, failure_count %d", how, c.Becomes, c.Losses, c.Failures)
		}
	}
	return how + "; its end is not in the database"
}

// cause says why next followed r. asked: the job asked for it by failing.
func (w *work) cause(r, next *run) (cause string, asked bool) {
	end := w.last(r.ID, r.Dispatch)
	for _, c := range w.changes[r.ID] {
		if c.WasDispatch == end && out(c.Was) && c.Becomes == "queued" && w.tried[[2]int64{r.ID, int64(c.Attempt)}] == "fail" && r.how == "failed" {
			return "", true
		}
	}
	switch {
	case w.f.Endpoints == nil:
	case w.askedToCome(r):
		return "", true
	case w.stopped(r, next):
		return GivenBack, false
	}
	if gone := w.goneAt(r.Proc, r.PID); gone > r.Mono && gone < next.Mono {
		switch r.how {
		case "ok", "failed":
			return OutcomeLost, false
		case "shutdown":
			return GivenBack, false
		}
		return WorkerKilled, false
	}
	if w.frozenFor(r.Proc, r.PID, r.Mono, next.Mono) >= frozenLong {
		return WorkerFrozen, false
	}
	for _, f := range w.faults {
		if slices.Contains(w.f.Allow, f.cause) && (f.target == "*" || f.target == r.Proc) && f.from.Mono < next.Mono && f.to > r.Mono {
			return string(f.cause), false
		}
	}
	if r.how == "shutdown" {
		return GivenBack, false
	}
	if w.stalledFor(r.Mono, next.Mono) >= frozenLong {
		return MachineStalled, false
	}
	return UnexplainedCause, false
}

// stalledFor returns for how long the machine ran nobody between two moments.
func (w *work) stalledFor(from, to int64) (total int64) {
	for _, s := range w.f.Stalls {
		total += max(0, min(s.To, to)-max(s.From, from))
	}
	return total
}

// goneAt returns when a life of a process ended, or was killed; 0 when it did not.
func (w *work) goneAt(proc string, pid int) int64 {
	for _, a := range w.f.Acts {
		if a.Proc == proc && a.PID == pid && (a.Word == history.Killed || a.Word == history.Ended) {
			return a.Mono
		}
	}
	return 0
}

// frozenFor returns for how long a process stood still between two moments, in all.
func (w *work) frozenFor(proc string, pid int, from, to int64) (total int64) {
	since := int64(0)
	for _, a := range w.f.Acts {
		if a.Proc != proc || a.PID != pid {
			continue
		}
		switch {
		case a.Word == history.Frozen:
			since = a.Mono
		case since > 0 && (a.Word == history.Thawed || a.Word == history.Killed || a.Word == history.Ended):
			total += max(0, min(a.Mono, to)-max(since, from))
			since = 0
		}
	}
	if since > 0 {
		total += max(0, to-max(since, from))
	}
	return total
}

// samples looks at what waited in Redis.
func (w *work) samples() {
	if w.f.Window == 0 {
		return
	}
	for _, a := range w.f.Acts {
		if a.Word == history.Sample && a.Depth > w.f.Window {
			w.Add("window: %d jobs of %s waited in Redis, at most %d may", a.Depth, a.Key, w.f.Window)
			return
		}
	}
}
