package workers

import (
	"crypto/rand"
	"encoding/binary"
	"sync/atomic"
)

// quiet is whether a worker takes no new jobs. Postgres has it, for people to see and to
// change; the worker reads it with its beat.
type quiet struct {
	on   atomic.Bool
	told atomic.Bool // by Quiet, and Postgres does not know of it yet
}

// newLife draws a number that no other process of this id has, and is not 0.
func newLife() int64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails: see crypto/rand
	return int64(binary.LittleEndian.Uint64(b[:])>>1) | 1
}

// Quiet has the worker take no new jobs; what it has it finishes, with leases and beats as
// ever, and then it idles until ctx ends. A process that is started in its place takes jobs: who
// is quiet is this one, and not its name. It is for a signal, before a deploy. Whoever
// undoes it does so as for a worker that was told over the API. It may be called at any
// time, by any goroutine.
func (w *Worker) Quiet() {
	w.quiet.told.Store(true)
	w.hush(true)
	signal(w.telling)
}

// hush takes no more jobs, or takes them again.
func (w *Worker) hush(on bool) {
	if w.quiet.on.Swap(on) == on {
		return
	}
	if on {
		w.log.Info("worker takes no new jobs", keyWorker, w.o.ID)
		return
	}
	w.log.Info("worker takes jobs again", keyWorker, w.o.ID)
	signal(w.held.freed) // fetch may be waiting for room
}

// obey does what Postgres answered to a beat; told is what that beat said of Quiet. What
// Quiet is told while a beat is under way its answer does not undo.
func (w *Worker) obey(told, quiet bool) {
	if told {
		w.quiet.told.Store(false)
	}
	if told || !w.quiet.told.Load() {
		w.hush(quiet)
	}
}
