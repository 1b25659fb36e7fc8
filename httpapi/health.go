package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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

	mu    sync.Mutex
	errs  []error   // one per check, nil when it passes; empty before the first run
	until time.Time // by the monotonic clock
}

// DegradedError is the answer of a probe whose subject is away while the process goes
// on without it: the process is ready.
type DegradedError struct {
	Detail string // how it goes on; /readyz shows it to everybody
	Err    error  // why, for the log
}

// Error returns the detail and the reason.
func (e *DegradedError) Error() string { return fmt.Sprintf("%s: %v", e.Detail, e.Err) }

// Unwrap returns e.Err.
func (e *DegradedError) Unwrap() error { return e.Err }

// The states of a check.
const (
	stateOK       = "ok"
	stateDegraded = "degraded" // the process does its work without
	stateDown     = "down"     // it cannot
)

// report is the answer of /readyz.
type report struct {
	Ready  bool        `json:"ready"` // no check is down
	Checks []checkLine `json:"checks"`
}

type checkLine struct {
	Name   string `json:"name"`
	State  string `json:"state"`
	Detail string `json:"detail,omitempty"` // ours: what a driver says is not for everybody's eyes
}

// look returns the errors of the checks, at most a second old.
func (h *health) look(ctx context.Context) []error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.errs) == len(h.checks) && time.Now().Before(h.until) {
		return h.errs
	}
	// Not the asker's context: others wait for this result too.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeTimeout)
	defer cancel()
	now := make([]error, len(h.checks))
	var wg sync.WaitGroup
	for i, c := range h.checks {
		wg.Go(func() { now[i] = c.probe(ctx) })
	}
	wg.Wait()
	h.noteLocked(now)
	h.errs, h.until = now, time.Now().Add(probeKept)
	return h.errs
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

// noteLocked logs what has changed.
func (h *health) noteLocked(now []error) {
	for i, c := range h.checks {
		was := i < len(h.errs) && h.errs[i] != nil
		switch {
		case now[i] != nil && !was:
			h.log.Warn("readiness check fails", logCheck, c.Name, logError, now[i])
		case now[i] == nil && was:
			h.log.Info("readiness check passes again", logCheck, c.Name)
		}
	}
}

// report says what the checks found.
func (h *health) report(ctx context.Context) report {
	r := report{Ready: true, Checks: []checkLine{}}
	for i, err := range h.look(ctx) {
		line := checkLine{Name: h.checks[i].Name, State: stateOK}
		var degraded *DegradedError
		switch {
		case err == nil:
		case errors.As(err, &degraded):
			line.State, line.Detail = stateDegraded, degraded.Detail
		case h.checks[i].Needed:
			r.Ready, line.State, line.Detail = false, stateDown, "does not answer"
		default:
			line.State, line.Detail = stateDegraded, "does not answer; not needed to be ready"
		}
		r.Checks = append(r.Checks, line)
	}
	return r
}
