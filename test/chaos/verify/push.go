package verify

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/penguinmails/rookery/test/chaos/history"
)

// Endpoint is where the jobs of a queue are delivered to.
type Endpoint struct {
	Receiver string `json:"receiver"` // the process
	Link     string `json:"link"`     // what faults of the way there name
	InFlight int    `json:"in_flight"`
}

// push is what a run has more when it is a delivery: its Proc is the push worker that has
// sent it, which names itself by the address it has receivers call back at.
type push struct {
	receiver string
	async    bool
	answered history.Act // before its first byte left; zero: never
	until    int64       // Wall, when it is given up
	extended int64       // Wall, until when its receiver was told that it stays open; 0: was not
}

// life is one of a process.
type life struct {
	proc string
	pid  int
}

// delivered makes a run of a push worker's delivery.
func (w *work) delivered(r *run) {
	sender, ok := w.senders[r.Target]
	if !ok {
		return
	}
	r.receiver, r.until = r.Proc, r.Due
	r.Proc, r.PID = sender.proc, sender.pid
}

// inOrder puts the deliveries of each job in the order of their attempts: a receiver that
// stood still may read a request that was given up after the one that followed it.
func (w *work) inOrder() {
	for _, runs := range w.runs {
		slices.SortStableFunc(runs, func(a, b *run) int { return cmp.Compare(a.Attempt, b.Attempt) })
	}
}

func (r *run) answers(a history.Act) {
	r.answered, r.async = a, a.How == "202"
}

func (r *run) extends(a history.Act) {
	r.until, r.extended = a.Due, a.Due
}

// pushed judges what Postgres accepted of an attempt that was delivered: it is completed
// if its receiver has said so, of this very attempt; it has failed if its receiver said
// that, or if something kept the two apart; it is dead at once if its receiver said so.
func (w *work) pushed(key string, c Change) {
	r := w.deliveryOf(key, c)
	how := "it never came to its receiver"
	if r != nil {
		how = fmt.Sprintf("its receiver answered %q, and meant %q", r.answered.How, r.how)
	}
	said := func(words ...string) bool { return r != nil && slices.Contains(words, r.how) }
	switch outcome := w.tried[[2]int64{c.ID, int64(c.Attempt)}]; {
	case c.Becomes == "completed":
		if !said("ok", "late") {
			w.Phantom++
			w.Add("phantom: job %d is completed under dispatch %d, and %s", c.ID, c.WasDispatch, how)
		}
	case outcome == "discard":
		if !said("refused") {
			w.Add("push: job %d is dead under dispatch %d, and %s", c.ID, c.WasDispatch, how)
		}
	case outcome == "fail":
		if r != nil && r.extended > c.At && !said("failed") {
			w.Add("push: job %d has failed under dispatch %d, %d ms before the end of the time that its receiver was given", c.ID, c.WasDispatch, (r.extended-c.At)/1000)
		}
		if !said("failed", "late") && !w.apart(r, w.rows[key], c) {
			w.Add("push: job %d has failed under dispatch %d, nothing was in the way, and %s", c.ID, c.WasDispatch, how)
		}
	}
}

func (w *work) deliveryOf(key string, c Change) *run {
	for _, r := range w.runs[key] {
		if r.ID == c.ID && w.last(r.ID, r.Dispatch) == c.WasDispatch {
			return r
		}
	}
	return nil
}

// nearly is by how much a receiver must have been in time for its answer to be believed.
// Where the machine is busy, a second passes between two processes.
const nearly = int64(1_000_000)

// apart reports whether something kept an attempt's answer, or the attempt itself, from
// where it was to go, from its beginning (r is nil: from when it was handed out) to its
// end c.
func (w *work) apart(r *run, row *Job, c Change) bool {
	from := w.handedOut(c)
	if r != nil && r.Wall < c.At { // else it came when the attempt was over
		from = r.Wall
	}
	queue := ""
	if row != nil {
		queue = row.Queue
	}
	e := w.f.Endpoints[queue]
	// A connection that broke may be found out when it is used next.
	between := func(i interval) bool { return i.from <= c.At && i.to+nearly >= from }
	if slices.ContainsFunc(w.intervals, func(i interval) bool {
		return between(i) && (i.proc == e.Receiver || i.proc == e.Link || r != nil && i.proc == r.Proc && i.frozen)
	}) {
		return true
	}
	if r == nil || c.At < r.until {
		return false
	}
	if r.async { // its callback may have found no server, or none that reaches Postgres
		return slices.ContainsFunc(w.intervals, between) || w.stalledAt(from, c.At)
	}
	return r.answered.Wall == 0 || r.answered.Wall > r.until-nearly || w.stalledAt(from, c.At)
}

func (w *work) handedOut(c Change) int64 {
	for _, b := range w.changes[c.ID] {
		if b.Dispatch == c.WasDispatch && out(b.Becomes) {
			return b.At
		}
	}
	return 0
}

// stalledAt reports whether the machine let programs wait for a while between two times of
// the wall clock.
func (w *work) stalledAt(from, to int64) bool {
	return w.stalledFor(w.mono(from), w.mono(to)) > nearly*1000/4
}

// mono is a wall clock's reading as the monotonic clock has it: both are of one machine, and
// the act before has both, should the wall clock have been set.
func (w *work) mono(wall int64) int64 {
	if len(w.f.Acts) == 0 {
		return 0
	}
	i, _ := slices.BinarySearchFunc(w.f.Acts, wall, func(a history.Act, at int64) int { return cmp.Compare(a.Wall, at) })
	near := w.f.Acts[max(0, i-1)]
	return near.Mono + (wall-near.Wall)*1000
}

// interval is a time, by the wall clock, in which something was not as it should be.
type interval struct {
	proc     string // a process that stood still or was gone, or the target of a fault
	from, to int64
	frozen   bool
}

// findIntervals lists the times in which a process that is not a producer was frozen or
// gone, or a fault lasted. A receiver is there once it listens.
func (w *work) findIntervals() {
	open := map[string]history.Act{}
	last := int64(0)
	for _, a := range w.f.Acts {
		last = max(last, a.Wall)
		switch a.Word { //nolint:exhaustive // the others begin and end nothing
		case history.Frozen, history.Killed, history.Ended, history.Stopping:
			if _, is := open[a.Proc]; !is && a.Target != "producer" {
				open[a.Proc] = a
			}
		case history.Up:
			if b, is := open[a.Proc]; is && a.Target != "receiver" {
				w.intervals = append(w.intervals, interval{a.Proc, b.Wall, a.Wall, false})
				delete(open, a.Proc)
			} else if !is && a.Target == "receiver" {
				open[a.Proc] = a
			}
		case history.Thawed, history.Listens:
			if b, is := open[a.Proc]; is {
				w.intervals = append(w.intervals, interval{a.Proc, b.Wall, a.Wall, b.Word == history.Frozen})
				delete(open, a.Proc)
			}
		}
	}
	for proc, b := range open {
		w.intervals = append(w.intervals, interval{proc, b.Wall, last, b.Word == history.Frozen})
	}
	for _, f := range w.faults {
		w.intervals = append(w.intervals, interval{f.target, f.from.Wall, f.wall, false})
	}
}

// askedToCome reports whether a delivery made its job come again: its receiver said that
// it has failed, or that it is busy, or Postgres believes so, which [work.pushed] judges.
func (w *work) askedToCome(r *run) bool {
	for _, c := range w.changes[r.ID] {
		if c.WasDispatch != w.last(r.ID, r.Dispatch) || !out(c.Was) || c.Becomes != "queued" {
			continue
		}
		outcome := w.tried[[2]int64{r.ID, int64(c.Attempt)}]
		return outcome == "fail" || outcome == "" && r.how == "busy"
	}
	return false
}

// stopped reports whether a run's process was told to stop before next, and Postgres has
// the job back from it at no cost.
func (w *work) stopped(r, next *run) bool {
	back := slices.ContainsFunc(w.changes[r.ID], func(c Change) bool {
		return c.WasDispatch == w.last(r.ID, r.Dispatch) && out(c.Was) && c.Becomes == "queued" && w.tried[[2]int64{r.ID, int64(c.Attempt)}] == ""
	})
	return back && slices.ContainsFunc(w.f.Acts, func(a history.Act) bool {
		return a.Word == history.Stopping && a.Proc == r.Proc && a.PID == r.PID && a.Mono < next.Mono
	})
}

// attempts looks at how often jobs have failed.
func (w *work) attempts() {
	for key, row := range w.rows {
		f := w.fate[key]
		if f == nil || f.offered.Most == 0 {
			continue
		}
		failed := 0
		for _, c := range w.changes[row.ID] {
			if out(c.Was) && !out(c.Becomes) && slices.Contains([]string{"fail", "discard"}, w.tried[[2]int64{c.ID, int64(c.Attempt)}]) {
				failed++
			}
		}
		if most := int(f.offered.Most); failed > most || int(row.Failures) > most {
			w.Add("retries: job %s (%d) has failed %d times, at most %d were allowed", key, row.ID, max(failed, int(row.Failures)), most)
		}
	}
}

// UnderWay counts the deliveries in a history that are not over, by the address at which
// their sender is called back: all, or those of the jobs that keys names.
func UnderWay(historyFile string, keys ...string) (map[string]int, error) {
	acts, err := history.Read(historyFile)
	under := map[string]int{}
	from := map[[2]int64]string{}
	for _, a := range acts {
		at := [2]int64{a.ID, a.Dispatch}
		switch a.Word { //nolint:exhaustive // the others are not about a delivery
		case history.Started:
			if len(keys) == 0 || slices.Contains(keys, a.Key) {
				from[at] = a.Target
				under[a.Target]++
			}
		case history.Answered, history.Finished:
			if sender, is := from[at]; is && a.How != "202" {
				under[sender]--
				delete(from, at)
			}
		}
	}
	return under, err
}
