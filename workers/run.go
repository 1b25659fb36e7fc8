package workers

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/penguinmails/rookery/internal/tracing"
)

// run runs one attempt, in a goroutine that runs nothing else meanwhile.
func (w *Worker) run(a *attempt) {
	defer w.handlers.Done()
	start := time.Now()
	a.route.series.delay.Observe(startDelay(a.job.RunAt, start))
	a.route.series.dispatch.Observe(startDelay(a.job.DispatchedAt, start))
	ctx, span := w.startSpan(&a.ctx, a)
	err := errGoexit // stays when the handler ends its goroutine
	defer func() {
		if v := recover(); v != nil {
			err = caught(v)
		}
		w.finish(ctx, a, err, time.Since(start))
		tracing.End(span, faultOf(err))
	}()
	w.o.Failpoint(FailInHandler)
	err = a.route.handler.Work(ctx, &a.job)
}

// finish judges a returned handler and gives back its slot. A crash between here
// and reconcile loses the outcome, and the job runs again.
func (w *Worker) finish(ctx context.Context, a *attempt, err error, ran time.Duration) {
	if err != nil && w.desert(ctx, a, err, ran) {
		a.cancel(nil)
		return
	}
	o := a.judge(err, ran)
	first := w.held.finish(a, &o)
	a.cancel(nil)
	a.route.series.run.Observe(ran.Seconds())
	if err != nil && panicked(err) {
		a.route.series.panics.Inc()
	}
	if !w.log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	switch {
	case !first:
		w.log.DebugContext(ctx, "handler returned after it was given up", keyJob, a.job.ID, keyDispatch, a.job.DispatchID)
	default:
		// Not what the handler said, which may repeat its payload: that is in outbox.attempts.
		w.log.DebugContext(ctx, "attempt ended", keyJob, a.job.ID, keyDispatch, a.job.DispatchID, keyOutcome, string(o.Kind))
	}
}

// end tells a's handler to stop, once; a later cause does not replace the first.
func (w *Worker) end(a *attempt, now time.Time, cause error) {
	w.held.mu.Lock()
	news := w.held.endLocked(a, now)
	w.held.mu.Unlock()
	if news {
		a.cancel(cause)
	}
}

func panicked(err error) bool {
	var p *panicError
	return errors.As(err, &p) || errors.Is(err, errGoexit)
}
