package dashboard

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

const (
	streamPause = 2 * time.Second  // between two looks
	streamQuiet = 10 * time.Second // after which a page is kept fresh though no figure has changed: times pass
	streamLife  = 10 * time.Minute // then the browser comes again, and is asked anew who it is
	streamWrite = 5 * time.Second  // how long a browser may take for a line
)

// stream tells a page when to fetch itself anew. It carries no facts, so there is
// nothing in it that a role may not see.
func (d *Dashboard) stream(w http.ResponseWriter, r *http.Request) {
	v, err := d.visitor(r)
	if err != nil {
		w.WriteHeader(http.StatusNoContent) // the one status after which an EventSource does not come again
		return
	}
	if r.Method == http.MethodHead {
		return
	}
	if d.streams.Add(1) > int64(d.o.MaxStreams) || d.closing.Load() {
		d.streams.Add(-1)
		w.WriteHeader(http.StatusNoContent)
		return
	}
	defer d.streams.Add(-1)
	w.Header().Set("Content-Type", "text/event-stream")
	// The server's read timeout would end it: there is no more to be read.
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	w.Header().Set("X-Accel-Buffering", "no") // nginx passes it on at once
	out := http.NewResponseController(w)
	end := time.NewTimer(streamLife)
	defer end.Stop()
	tick := time.NewTicker(streamPause)
	defer tick.Stop()
	told, at := glance{version: -1}, time.Now()
	send := func(text string) bool {
		if out.SetWriteDeadline(time.Now().Add(streamWrite)) != nil {
			return false
		}
		if _, err := fmt.Fprint(w, text); err != nil {
			return false
		}
		return out.Flush() == nil
	}
	if !send("retry: 3000\n\n") {
		return
	}
	for {
		select {
		case <-r.Context().Done():
			return
		case <-d.closed:
			return
		case <-end.C:
			return
		case <-tick.C:
		}
		switch again, err := d.visitor(r); {
		case errors.Is(err, errStranger):
			return // the key has ended; the browser comes again and is told so
		case err == nil:
			v = again
		}
		g, err := d.look(r.Context(), v)
		switch {
		case err != nil:
			// The page, fetched anew, would say so; it is better left standing.
			if !send("event: away\ndata: 1\n\n") {
				return
			}
		case g.version != told.version || v.bound() && !g.like(told) || time.Since(at) > streamQuiet:
			if !send("event: tick\ndata: 1\n\n") {
				return
			}
			told, at = g, time.Now()
		}
	}
}
