package verify

import "github.com/penguinmails/rookery/test/chaos/history"

// clients compares what clients were told of their leases with what Postgres accepted:
// who was told that it counts was believed, by the dispatch it had; of one job one ack at
// most; and who was told that the lease is lost has changed nothing.
//
// A nack or release that is sent again, because its answer was lost, is refused though it
// had counted: only a refused ack says that nothing was changed. One whose attempt was
// moved to another dispatch while it ran is left out: a server that did not move it knows
// it no more.
func (w *work) clients() {
	won := map[int64]history.Act{} // by job
	for _, a := range w.f.Acts {
		switch a.Word { //nolint:exhaustive // the others are not what a client was told
		case history.Settled:
			if !w.ended(a.ID, a.Dispatch, a.How) {
				w.Add("client: %s was told that job %d is %s under dispatch %d by %s, and it is not", a.Proc, a.ID, a.How, a.Dispatch, a.Target)
			}
			if a.How != "completed" {
				continue
			}
			if first, twice := won[a.ID]; twice && first.Dispatch != a.Dispatch {
				w.Add("client: %s and %s both were told that job %d is completed, under dispatch %d and %d", first.Proc, a.Proc, a.ID, first.Dispatch, a.Dispatch)
			}
			won[a.ID] = a
		case history.Refused:
			if a.How == "ack" && w.last(a.ID, a.Dispatch) == a.Dispatch && w.ended(a.ID, a.Dispatch, "completed") {
				w.Add("client: %s was told by %s that its lease of job %d (dispatch %d) is lost, and its ack has counted", a.Proc, a.Target, a.ID, a.Dispatch)
			}
		}
	}
}

// ended reports whether an attempt's end, as Postgres accepted it, was this status.
func (w *work) ended(id, dispatch int64, status string) bool {
	end := w.last(id, dispatch)
	for _, c := range w.changes[id] {
		if c.WasDispatch == end && out(c.Was) && c.Becomes == status {
			return true
		}
	}
	return false
}
