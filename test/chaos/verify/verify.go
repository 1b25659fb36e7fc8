// Package verify judges a chaos run afterwards, from what was written down while it
// ran and from the final tables. It is pure, and shares no code with Rookery: it
// knows statuses as words and dispatch ids as numbers. What it checks:
//
//   - every committed job is in the table and has the status its producer wanted;
//   - what was rolled back, or never offered, is not there and has not run;
//   - a dispatch_id runs a job at most once, and ends at most once;
//   - what is recorded as completed or failed, a run of that very dispatch returned;
//   - what a client was told of its lease is what Postgres accepted of that dispatch;
//   - every further run of a job has a cause: the job asked for it by failing, or a
//     fault of the history hit the process that ran it before;
//   - failure_count is what the job asked for: a crash eats no retry;
//   - of what is pushed, only what its receiver said of this very attempt is recorded, and
//     no more deliveries are under way at once than the endpoint allows;
//   - the window is never exceeded, and at rest nothing is left anywhere.
package verify

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/penguinmails/rookery/test/chaos/history"
)

// Facts are all that is known of a run.
type Facts struct {
	Acts     []history.Act    `json:"-"`
	Jobs     []Job            `json:"jobs"`     // outbox.jobs at the end
	Changes  []Change         `json:"changes"`  // chaos.changes at the end
	Attempts []Attempt        `json:"attempts"` // outbox.attempts at the end
	Left     map[string]int64 `json:"left"`     // what must be 0 at rest
	Window   int64            `json:"window"`   // jobs that may wait in Redis, 500 for each relay included; 0: not checked
	Stalls   []Stall          `json:"stalls"`   // when the machine let everybody wait
	Allow    []history.Cause  `json:"allow"`    // causes that may explain a run, besides killed and frozen workers

	Endpoints map[string]Endpoint `json:"endpoints,omitempty"` // of queues that are pushed; nil: none is
}

// Job is a row of outbox.jobs.
type Job struct {
	ID       int64  `json:"id"`
	Key      string `json:"key"`
	Queue    string `json:"queue"`
	Status   string `json:"status"`
	Dispatch int64  `json:"dispatch"`
	Attempts int32  `json:"attempts"`
	Failures int16  `json:"failures"`
	Losses   int16  `json:"losses"`
	Priority int16  `json:"priority"`
	Error    string `json:"error,omitempty"`
}

// Change is one change of a job's row, noted by the database in the same transaction.
type Change struct {
	N           int64  `json:"n"`
	At          int64  `json:"at"` // microseconds since 1970, of Postgres' clock
	ID          int64  `json:"id"`
	Was         string `json:"was"`
	Becomes     string `json:"becomes"`
	WasDispatch int64  `json:"was_dispatch"`
	Dispatch    int64  `json:"dispatch"`
	Attempt     int32  `json:"attempt"`
	Failures    int16  `json:"failures"`
	Losses      int16  `json:"losses"`
}

// Attempt is a row of outbox.attempts.
type Attempt struct {
	ID      int64  `json:"id"`
	Attempt int32  `json:"attempt"`
	Outcome string `json:"outcome"`
}

// Stall is a time in which the machine ran nobody, in nanoseconds of the history's
// monotonic clock.
type Stall struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// Report is what was found.
type Report struct {
	Jobs       int            // committed
	Runs       int            // calls of handlers
	Lost       int            // committed, and not finished as they should be
	Phantom    int            // there, or run, though never committed
	Poisoned   int            // dead as poison pills after four kills under them, each the harness' own
	TailLost   int            // acknowledged by a Postgres that lost its newest commits
	Stale      int            // outcomes that came too late and were refused
	Duplicates map[string]int // further runs by cause; UnexplainedCause is a finding
	Recovery   Recovery
	Findings   []string
	Notes      []string // figures that only this fault has
}

// Add adds a finding.
func (r *Report) Add(format string, args ...any) {
	r.Findings = append(r.Findings, fmt.Sprintf(format, args...))
}

// Note adds a figure for the table.
func (r *Report) Note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// Load reads a run from the files that [Save] and the processes wrote.
func Load(historyFile, tablesFile string) (*Facts, error) {
	text, err := os.ReadFile(tablesFile)
	if err != nil {
		return nil, err
	}
	var f Facts
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, fmt.Errorf("read tables: %w", err)
	}
	f.Acts, err = history.Read(historyFile)
	return &f, err
}

// Save writes the tables to file; the history is a file already.
func (f *Facts) Save(file string) error {
	text, err := json.Marshal(f)
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o644)
}

// Check judges a run.
func Check(f *Facts) *Report {
	w := read(f)
	w.fates()
	if w.Poisoned > 0 {
		w.Note("%d jobs had their worker killed four times and are dead as poison pills, as promised", w.Poisoned)
	}
	w.runsOnce()
	w.outcomes()
	w.again()
	w.clients()
	if f.Endpoints != nil {
		w.attempts()
		w.limits()
	}
	w.samples()
	for _, what := range slices.Sorted(maps.Keys(f.Left)) {
		if n := f.Left[what]; n != 0 {
			w.Add("%d left in %s at rest", n, what)
		}
	}
	w.Recovery = recovery(w)
	return w.Report
}

// run is one call of a handler.
type run struct {
	history.Act        // Started
	push               // of a delivery
	end         int64  // Mono of Finished; 0: it never returned
	how         string // it returned this
}

// fate is what a producer knows of a job.
type fate struct {
	history.Act // the last of Offered, Committed, RolledBack, Unknown
	offered     history.Act
}

// fault is an interval of the history.
type fault struct {
	cause  history.Cause
	target string
	from   history.Act
	to     int64 // Mono; the end of the history when it was never lifted
	wall   int64 // of the end
}

// work is the run in the shapes that the checks need.
type work struct {
	*Report
	f       *Facts
	fate    map[string]*fate
	rows    map[string]*Job // by key
	runs    map[string][]*run
	keys    []string // of runs, sorted
	moved   map[[2]int64]int64
	changes map[int64][]Change
	tried   map[[2]int64]string // outbox.attempts: id and attempt_count to outcome
	faults  []fault
	end     int64 // Mono of the last act

	senders   map[string]life // of deliveries, by the address at which they are called back
	intervals []interval
}

func read(f *Facts) *work {
	w := &work{
		Report: &Report{Duplicates: map[string]int{}}, f: f,
		fate: map[string]*fate{}, rows: map[string]*Job{}, runs: map[string][]*run{},
		moved: map[[2]int64]int64{}, changes: map[int64][]Change{}, tried: map[[2]int64]string{}, senders: map[string]life{},
	}
	acts := slices.Clone(f.Acts)
	slices.SortStableFunc(acts, func(a, b history.Act) int { return cmp.Compare(a.Mono, b.Mono) })
	w.f.Acts = acts
	type call struct {
		id, dispatch int64
		proc         string
		pid          int
	}
	open, all := map[call]*run{}, map[call]*run{}
	for _, a := range acts {
		w.end = max(w.end, a.Mono)
		at := call{a.ID, a.Dispatch, a.Proc, a.PID}
		switch a.Word {
		case history.Offered:
			w.fate[a.Key] = &fate{Act: a, offered: a}
		case history.Committed, history.RolledBack, history.Unknown:
			if w.fate[a.Key] == nil {
				w.fate[a.Key] = &fate{offered: a}
			}
			w.fate[a.Key].Act = a
		case history.Started:
			r := &run{Act: a}
			open[at], all[at] = r, r
			w.delivered(r)
			w.runs[a.Key] = append(w.runs[a.Key], r)
			w.Runs++
		case history.Finished:
			if r := open[at]; r != nil {
				r.end, r.how = a.Mono, a.How
				delete(open, at)
			}
		case history.Answered:
			if r := all[at]; r != nil {
				r.answers(a)
			}
		case history.Extended:
			if r := all[at]; r != nil {
				r.extends(a)
			}
		case history.Refused:
			w.Stale++
		case history.Up:
			if a.How != "" {
				w.senders[a.How] = life{a.Proc, a.PID}
			}
		case history.Fault:
			w.faults = append(w.faults, fault{cause: a.Cause, target: a.Target, from: a})
		case history.Lifted:
			w.lift(a)
		case history.Settled, history.Killed, history.Frozen, history.Thawed, history.Stopping, history.Listens, history.Ended, history.Sample, history.Stopped:
		}
	}
	for i := range w.faults {
		if w.faults[i].to == 0 {
			w.faults[i].to, w.faults[i].wall = w.end, acts[len(acts)-1].Wall
		}
	}
	if f.Endpoints != nil {
		w.inOrder()
	}
	w.findIntervals()
	w.keys = slices.Sorted(maps.Keys(w.runs))
	w.tables()
	return w
}

// lift ends the newest open fault of the same cause and target.
func (w *work) lift(a history.Act) {
	for i := range slices.Backward(w.faults) {
		if f := &w.faults[i]; f.cause == a.Cause && f.target == a.Target && f.to == 0 {
			f.to, f.wall = a.Mono, a.Wall
			return
		}
	}
}

func (w *work) tables() {
	for i := range w.f.Jobs {
		j := &w.f.Jobs[i]
		if twin, ok := w.rows[j.Key]; ok {
			w.Phantom++
			w.Add("job %s is in the table twice: as %d and as %d", j.Key, twin.ID, j.ID)
		}
		w.rows[j.Key] = j
	}
	slices.SortFunc(w.f.Changes, func(a, b Change) int { return cmp.Compare(a.N, b.N) })
	for _, c := range w.f.Changes {
		w.changes[c.ID] = append(w.changes[c.ID], c)
		// A worker that loses Redis moves its attempts to a dispatch of its own: the same
		// attempt under another number.
		if out(c.Was) && out(c.Becomes) && c.WasDispatch != c.Dispatch {
			w.moved[[2]int64{c.ID, c.WasDispatch}] = c.Dispatch
		}
	}
	for _, a := range w.f.Attempts {
		w.tried[[2]int64{a.ID, a.Attempt32()}] = a.Outcome
	}
}

// Attempt32 returns the attempt_count as a number of any size.
func (a Attempt) Attempt32() int64 { return int64(a.Attempt) }

// out reports whether a job of this status is in somebody's hands.
func out(status string) bool { return status == "dispatched" || status == "running" }

func final(status string) bool {
	return status == "completed" || status == "dead" || status == "cancelled"
}

// last follows an attempt to the dispatch it had at its end.
func (w *work) last(id, dispatch int64) int64 {
	for range 100 {
		next, ok := w.moved[[2]int64{id, dispatch}]
		if !ok {
			break
		}
		dispatch = next
	}
	return dispatch
}

// within reports whether a commit at wall time was one that Postgres has lost since.
func (w *work) tail(a history.Act) bool {
	return slices.ContainsFunc(w.faults, func(f fault) bool {
		return f.cause == history.TailLost && a.Mono >= f.from.Mono && a.Mono <= f.to
	})
}

func seconds(ns int64) time.Duration { return time.Duration(ns).Round(time.Millisecond) }
