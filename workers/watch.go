package workers

import (
	"context"
	"errors"
	"time"

	"github.com/penguinmails/rookery/job"
)

// watch looks at all that is held every 50 ms, which replaces four timers for each
// attempt. Its clock is monotonic and goes on while the process is stopped
// (SIGSTOP), so that a frozen worker learns at once how late it is.
func (w *Worker) watch(ctx context.Context) {
	t := time.NewTicker(watchEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			w.look(ctx, time.Now())
		}
	}
}

// sight is what one look found to do outside the mutex: contexts run other
// people's code when they end.
type sight struct {
	late, lost []*attempt // their handlers must be told
	lostCount  map[*queue]int
	leaked     []*attempt
}

func (w *Worker) look(ctx context.Context, now time.Time) {
	s := w.held.look(now)
	for _, a := range s.late {
		a.cancel(job.ErrTimeout)
	}
	for _, a := range s.lost {
		a.cancel(job.ErrLeaseLost)
	}
	for q, n := range s.lostCount {
		w.metrics.lost.WithLabelValues(q.name).Add(float64(n))
		w.log.WarnContext(ctx, "leases were not renewed in time; their attempts end", keyQueue, q.name, keyCount, n)
	}
	for _, a := range s.leaked {
		w.giveUp(ctx, a, now)
	}
	if len(s.leaked) > 0 {
		signal(w.held.freed) // one that ran alone lets others run now
	}
}

// look walks over all attempts once.
func (h *held) look(now time.Time) (s sight) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := len(h.attempts) - 1; i >= 0; i-- { // backwards: removal moves the last one here
		a := h.attempts[i]
		if a.state != taken && a.state != running {
			continue
		}
		if !a.lost && now.Sub(a.renewed) >= h.limit {
			h.loseLocked(a, now, &s)
		}
		if a.state == running {
			h.lookLocked(a, now, &s)
		}
	}
	return s
}

func (h *held) loseLocked(a *attempt, now time.Time, s *sight) {
	if s.lostCount == nil {
		s.lostCount = map[*queue]int{}
	}
	s.lostCount[a.queue]++
	if tell, _ := h.dropLocked(a, now); tell {
		s.lost = append(s.lost, a)
	}
}

// lookLocked treats one whose handler has not returned.
func (h *held) lookLocked(a *attempt, now time.Time, s *sight) {
	ran := now.Sub(a.began)
	if !a.marked && ran >= markAfter {
		a.marked = true
		h.putLocked(a, &job.Outcome{Ref: a.ref(), Kind: job.Started, Ran: ran})
	}
	if a.route.timeout > 0 && ran >= a.route.timeout && h.endLocked(a, now) {
		s.late = append(s.late, a)
	}
	if !a.ended.IsZero() && now.Sub(a.ended) >= leakAfter {
		h.leakLocked(a, s)
	}
}

// leakLocked gives up a handler: the slot stays its own until it returns, but the
// attempt is judged without it.
func (h *held) leakLocked(a *attempt, s *sight) {
	a.leaked = true
	h.leaked++
	if a.alone {
		h.alone = false
	}
	s.leaked = append(s.leaked, a)
	if a.lost {
		a.state = over // its job may run elsewhere; nothing is said of it
		h.removeLocked(a)
		return
	}
	a.state = finished
}

var errIgnored = errors.New("handler ignored the end of its context for " + leakAfter.String())

// giveUp records the attempt of a leaked handler: after a timeout it has failed.
func (w *Worker) giveUp(ctx context.Context, a *attempt, now time.Time) {
	w.log.ErrorContext(ctx, "handler ignores the end of its context; its slot is leaked",
		keyQueue, a.queue.name, keyKind, a.job.Kind, keyJob, a.job.ID, keyDispatch, a.ref().DispatchID)
	o := a.judge(errIgnored, now.Sub(a.began))
	w.held.mu.Lock()
	defer w.held.mu.Unlock()
	if a.state == finished {
		w.held.putLocked(a, &o)
	}
}
