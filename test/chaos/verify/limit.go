package verify

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/penguinmails/rookery/test/chaos/history"
)

// What ADR 15 says is not exact about the limits over all push workers.
const (
	inexact     = int64(5 * time.Second)  // after Redis goes or comes, until all permits are renewed
	permitsLast = int64(10 * time.Second) // a permit's 15 s, last renewed up to 5 s before, of a worker that stands still
)

// limits looks at how many deliveries were under way at once, as their receivers saw it:
// whenever one comes, those that the endpoint allows, with it. What a push worker cannot
// know yet is not held against it: a delivery is over when its receiver begins to answer
// or calls back, when its deadline comes, its sender or its way is gone, or Postgres has
// its outcome.
func (w *work) limits() {
	for _, queue := range slices.Sorted(maps.Keys(w.f.Endpoints)) {
		e := w.f.Endpoints[queue]
		all := w.deliveriesOf(queue, e)
		most, broken := 0, false
		for i, d := range all {
			n := 1
			for _, other := range all[:i] {
				if other.to > d.from {
					n++
				}
			}
			if d.to <= d.from || w.uncounted(d.from) { // read by a receiver that stood still, long after it was given up
				continue
			}
			most = max(most, n)
			if may := e.InFlight + w.cutOff(d.from, e); n > may && !broken {
				broken = true
				w.Add("limit: %d deliveries of %s were under way at once when job %d came (mono %d), at most %d may be", n, queue, d.id, d.from, may)
			}
		}
		w.Note("%d of %d requests of %s at once", most, e.InFlight, queue)
	}
}

// underWay is a delivery's time, by the monotonic clock.
type underWay struct{ from, to, id int64 }

// deliveriesOf lists a queue's deliveries in the order in which they came.
func (w *work) deliveriesOf(queue string, e Endpoint) []underWay {
	var all []underWay
	for _, runs := range w.runs {
		for _, r := range runs {
			if r.Queue == queue {
				all = append(all, underWay{r.Mono, w.overAt(r, e), r.ID})
			}
		}
	}
	slices.SortFunc(all, func(a, b underWay) int { return cmp.Compare(a.from, b.from) })
	return all
}

// overAt returns when a delivery was over, or sooner.
func (w *work) overAt(r *run, e Endpoint) int64 {
	over := w.mono(r.until)
	if r.async {
		if r.end > 0 {
			over = min(over, r.end)
		}
	} else if r.answered.Mono > 0 {
		over = min(over, r.answered.Mono)
	}
	for _, c := range w.changes[r.ID] {
		if c.WasDispatch == w.last(r.ID, r.Dispatch) && out(c.Was) && !out(c.Becomes) {
			over = min(over, w.mono(c.At))
		}
	}
	for _, a := range w.f.Acts {
		if a.Mono < r.Mono {
			continue
		}
		sender := a.Proc == r.Proc && a.PID == r.PID
		switch a.Word { //nolint:exhaustive // the others end no delivery
		case history.Killed, history.Ended:
			if sender || a.Proc == e.Receiver && !r.async {
				over = min(over, a.Mono)
			}
		case history.Stopping:
			if sender {
				over = min(over, a.Mono)
			}
		case history.Frozen:
			if sender {
				over = min(over, a.Mono+permitsLast)
			}
		case history.Fault, history.Lifted: // both close connections
			if a.Target == e.Link && !r.async {
				over = min(over, a.Mono)
			}
		}
	}
	return over
}

// cutOff returns how many more may be under way at a moment, since one of two push workers
// does not reach Redis: its share, which the other may have too.
func (w *work) cutOff(mono int64, e Endpoint) int {
	for _, f := range w.faults {
		if f.cause == history.CutRedis && mono >= f.from.Mono && mono < f.to {
			return (e.InFlight + 1) / 2
		}
	}
	return 0
}

// uncounted reports whether limits may be inexact at a moment.
func (w *work) uncounted(mono int64) bool {
	for _, f := range w.faults {
		if f.cause != history.RedisLost && f.cause != history.RedisAway && f.cause != history.CutRedis {
			continue
		}
		if late := inexact + w.stalledFor(f.from.Mono, mono); mono >= f.from.Mono && mono < f.from.Mono+late || mono >= f.to && mono < f.to+late {
			return true
		}
	}
	for _, i := range w.intervals { // it goes on with permits that others may have since
		if to := w.mono(i.to); i.frozen && to-w.mono(i.from) >= permitsLast && mono >= to && mono < to+inexact {
			return true
		}
	}
	return w.stalledFor(mono-permitsLast, mono) >= permitsLast/2 // as if all had stood still
}
