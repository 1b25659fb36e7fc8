package httpapi

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

const (
	probeTimeout = 2 * time.Second
	probeKept    = time.Second // how long a result answers further questions
)

// health runs the checks. /readyz is open to everybody, so however often it is
// asked the checks run at most once a second, one run at a time.
type health struct {
	checks []Check
	log    *slog.Logger

	mu     sync.Mutex
	states []state   // one per check; empty before the first run
	until  time.Time // by the monotonic clock
}

type state struct {
	err  error
	took time.Duration
}

// look returns the states of the checks, at most a second old.
func (h *health) look(ctx context.Context) []state {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.states) == len(h.checks) && time.Now().Before(h.until) {
		return h.states
	}
	// Not the asker's context: others wait for this result too.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeTimeout)
	defer cancel()
	now := make([]state, len(h.checks))
	var wg sync.WaitGroup
	for i, c := range h.checks {
		wg.Go(func() {
			start := time.Now()
			err := c.probe(ctx)
			now[i] = state{err: err, took: time.Since(start)}
		})
	}
	wg.Wait()
	h.noteLocked(now)
	h.states, h.until = now, time.Now().Add(probeKept)
	return h.states
}

// probe runs a check; a panic in it is a failed check, since the goroutine it runs
// on has nobody else to recover it.
func (c Check) probe(ctx context.Context) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	return c.Probe(ctx)
}

// noteLocked logs what has changed; the reasons are not for everybody's eyes.
func (h *health) noteLocked(now []state) {
	for i, c := range h.checks {
		was := i < len(h.states) && h.states[i].err != nil
		switch {
		case now[i].err != nil && !was:
			h.log.Warn("readiness check fails", logCheck, c.Name, logError, now[i].err)
		case now[i].err == nil && was:
			h.log.Info("readiness check passes again", logCheck, c.Name)
		}
	}
}

// report writes the answer of /readyz: a line for each check, or with verbose =
// false only for those that fail, and the verdict.
func (h *health) report(ctx context.Context, verbose bool) (text string, ready bool) {
	var b strings.Builder
	ready = true
	for i, s := range h.look(ctx) {
		c := h.checks[i]
		switch {
		case s.err == nil:
			if verbose {
				fmt.Fprintf(&b, "[+]%s ok %.1fms\n", c.Name, float64(s.took)/float64(time.Millisecond))
			}
		case c.Needed:
			ready = false
			fmt.Fprintf(&b, "[-]%s failed\n", c.Name)
		default:
			fmt.Fprintf(&b, "[!]%s failed, not needed to be ready\n", c.Name)
		}
	}
	if ready {
		b.WriteString("ready\n")
	} else {
		b.WriteString("not ready\n")
	}
	return b.String(), ready
}
