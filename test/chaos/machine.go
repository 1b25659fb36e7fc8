package main

import (
	"context"
	"os/exec"
	"sync"
	"time"

	"github.com/penguinmails/rookery/test/chaos/history"
	"github.com/penguinmails/rookery/test/chaos/stage"
	"github.com/penguinmails/rookery/test/chaos/verify"
)

// machine measures how much of the machine others take: how long a program that does
// nothing needs to start and end, twice a second. A limit of a recovery is a promise
// about Rookery, not about a machine on which a process waits seconds for its turn.
type machine struct {
	mu    sync.Mutex // guards waits
	waits []wait
}

// wait is by how much one start took longer than it should.
type wait struct {
	at     time.Time
	mono   int64 // the same moment, as histories have it
	excess time.Duration
}

// usual is what a start may take on a machine with some work to do.
const usual = 100 * time.Millisecond

// watch measures until ctx ends.
func (m *machine) watch(ctx context.Context) {
	for stage.Sleep(ctx, 500*time.Millisecond) == nil {
		start, mono := time.Now(), history.Monotonic()
		if exec.CommandContext(ctx, "true").Run() != nil {
			return // ctx has ended, or there is no such program: then every limit counts
		}
		m.mu.Lock()
		m.waits = append(m.waits, wait{start, mono, time.Since(start) - usual})
		m.mu.Unlock()
	}
}

// stood returns for how long, in all, the machine has let programs wait since a
// moment.
func (m *machine) stood(since time.Time) (total time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, w := range m.waits {
		if w.at.After(since) {
			total += max(0, w.excess)
		}
	}
	return total.Round(10 * time.Millisecond)
}

// stalls returns the waits since a moment as the verifier wants them.
func (m *machine) stalls(since time.Time) (list []verify.Stall) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, w := range m.waits {
		if w.at.After(since) && w.excess > 0 {
			list = append(list, verify.Stall{From: w.mono, To: w.mono + int64(w.excess)})
		}
	}
	return list
}
