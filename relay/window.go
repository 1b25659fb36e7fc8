package relay

import "time"

// window is what a queue's Redis has said in the present epoch.
type window struct {
	open    bool      // this epoch has been seen open in it
	silent  bool      // no answer to the last call: tend alone asks again, and holds up nobody
	seq     int64     // highest number of accepted batches seen
	depth   int64     // undelivered jobs
	heard   time.Time // when that came; zero: never
	clock   int64     // its TIME in ms, in its last answer
	contact contact
}

// depthAge is how old a depth may be that gives credit.
const depthAge = time.Second

// forget leaves nothing that was known of the window, because another epoch has begun. A
// Redis that is silent stays so.
func (w *window) forget() { *w = window{silent: w.silent} }

// answered takes over an answer to a call that was sent at sent.
func (w *window) answered(sent, now time.Time, seq, depth, clock int64) {
	w.open, w.silent, w.clock = true, false, clock
	if seq >= w.seq || w.heard.IsZero() { // else its depth is older than what another call has brought
		w.seq, w.depth, w.heard = max(w.seq, seq), depth, now
	}
	w.contact.heard(sent, now, clock)
}

// fresh reports whether the depth gives credit.
func (w *window) fresh(now time.Time) bool { return !w.heard.IsZero() && now.Sub(w.heard) <= depthAge }

// reachable reports whether it is open, as far as we know, and has answered the last call.
func (w *window) reachable() bool { return w.open && !w.silent }
