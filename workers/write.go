package workers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/penguinmails/rookery/internal/tracing"
	"github.com/penguinmails/rookery/job"
)

// write is the one writer of outcomes. It ends when closing is closed and nothing
// is left to write, or with ctx.
func (w *Worker) write(ctx context.Context) {
	var b batch
	c := company{every: w.o.FlushEvery, full: w.held.full}
	again := retry{first: 10 * time.Millisecond, most: time.Second}
	for w.awaitOutcomes(ctx, &c) {
		b = w.held.take(b)
		c.left(len(b.attempts), time.Now())
		w.o.Failpoint(FailBeforeReconcile)
		if err := w.record(ctx, b); err != nil {
			if again.failures == 0 {
				w.log.Log(ctx, severity(err), "outcomes wait for postgres", keyCount, w.held.counts().outcomes, keyError, err)
			}
			pause(ctx, again.next())
			continue
		}
		again.reset()
	}
}

// awaitOutcomes waits for a full batch, or for the first outcome to have waited long
// enough; while a batch was written others have gathered, and may go at once.
func (w *Worker) awaitOutcomes(ctx context.Context, c *company) bool {
	closing, t := w.closing, time.NewTimer(time.Hour)
	defer t.Stop()
	for ctx.Err() == nil {
		n, waited := w.held.ripe()
		if n == 0 && closing == nil {
			return false
		}
		if n > 0 {
			d := c.patience(n, waited, time.Now())
			if d <= 0 || closing == nil {
				return true
			}
			t.Reset(d)
		}
		select {
		case <-w.held.due:
		case <-t.C:
		case <-closing:
			closing = nil
		case <-ctx.Done():
		}
	}
	return false
}

// record writes b and lets go of what Postgres has judged. When Postgres refuses a
// value in it, b is halved until the culprit stands alone; jobs that somebody else has
// locked are left for later. Any other error puts back what has no verdict, and is
// returned.
func (w *Worker) record(ctx context.Context, b batch) error {
	verdicts, err := w.reconcile(ctx, b)
	if err == nil {
		w.conclude(ctx, b, verdicts)
		return nil
	}
	var data *job.DataError
	var busy *job.BusyError
	switch {
	case errors.As(err, &busy):
		return w.recordFree(ctx, b, busy)
	case !errors.As(err, &data):
		w.held.putBack(b)
		return err
	case len(b.attempts) == 1:
		return w.convict(ctx, b, data)
	}
	first, second := b.halves()
	if err := w.record(ctx, first); err != nil {
		w.held.putBack(second)
		return err
	}
	return w.record(ctx, second)
}

// recordFree writes what of b nobody else has locked; the rest is put back, for a later
// batch. One row that somebody forgot to unlock costs the others of its batches a
// lock_timeout (1 s), and not their whole time.
func (w *Worker) recordFree(ctx context.Context, b batch, busy *job.BusyError) error {
	locked, free := b.divide(busy.IDs)
	w.log.WarnContext(ctx, "outcomes wait for jobs that somebody has locked", keyCount, len(locked.attempts), keyError, busy)
	defer w.held.putBack(locked)
	if len(free.attempts) == 0 {
		return busy
	}
	return w.record(ctx, free)
}

func (w *Worker) reconcile(ctx context.Context, b batch) ([]job.Verdict, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	start := time.Now()
	ctx, span := w.traceBatch(ctx, b)
	verdicts, err := w.store.Reconcile(ctx, w.o.ID, b.outcomes)
	tracing.End(span, err)
	if err != nil {
		w.metrics.errors.WithLabelValues("reconcile").Inc()
		return nil, err
	}
	w.postgresAnswered()
	w.metrics.reconcile.Observe(time.Since(start).Seconds())
	w.metrics.batch.Observe(float64(len(b.outcomes)))
	return verdicts, nil
}

// conclude takes the verdicts: what came back was accepted, what did not is over,
// and both are acked. A crash before the ack leaves leases of attempts that are
// over; the reaper changes no row for them and drops them.
func (w *Worker) conclude(ctx context.Context, b batch, verdicts []job.Verdict) {
	status := make(map[job.Ref]job.Status, len(verdicts))
	for _, v := range verdicts {
		status[v.Ref] = v.Status
	}
	w.held.conclude(b)
	w.o.Failpoint(FailBeforeAck)
	at, lag := time.Now(), time.Duration(-1)
	for i, a := range b.attempts {
		o := &b.outcomes[i]
		if o.Kind == job.Started {
			continue // only a hint: nothing follows from its refusal
		}
		now, accepted := status[o.Ref]
		result := resultOf(o, now)
		if !accepted {
			result = resultStale
			w.log.DebugContext(ctx, "outcome refused, the attempt is over", keyJob, o.Ref.ID, keyDispatch, o.Ref.DispatchID, keyOutcome, string(o.Kind))
		}
		if w.o.Judged != nil {
			w.o.Judged(&a.job, now)
		}
		lag = max(lag, w.count(a, o, result, at))
	}
	if lag >= 0 {
		w.metrics.lag.Observe(lag.Seconds())
	}
	w.acks.addAll(b)
}

// convict records an outcome that Postgres cannot store as a failed attempt with the
// SQLSTATE as its error; it has failed before, alone.
func (w *Worker) convict(ctx context.Context, b batch, data *job.DataError) error {
	a, o := b.attempts[0], &b.outcomes[0]
	if o.Kind == job.Started {
		w.log.WarnContext(ctx, "running mark refused by postgres", keyJob, o.Ref.ID, keyError, data)
		w.held.conclude(b)
		return nil
	}
	plain := batch{attempts: b.attempts, outcomes: []job.Outcome{{
		Ref: o.Ref, Kind: job.Failed, Ran: o.Ran, Delay: job.Backoff(a.failures()),
		Error: job.ErrorText(fmt.Sprintf("postgres refused the outcome %s: %s", o.Kind, data)),
	}}}
	verdicts, err := w.reconcile(ctx, plain)
	var again *job.DataError
	switch {
	case err == nil:
		w.log.WarnContext(ctx, "outcome refused by postgres, recorded as failed", keyJob, o.Ref.ID, keyOutcome, string(o.Kind), keyError, data)
		w.conclude(ctx, plain, verdicts)
	case errors.As(err, &again):
		// Its lease ends and a relay takes the job back.
		w.log.ErrorContext(ctx, "outcome refused by postgres twice, left to its lease", keyJob, o.Ref.ID, keyDispatch, o.Ref.DispatchID, keyError, again)
		a.route.series.results[resultUnwritable].Inc()
		if w.o.Judged != nil {
			w.o.Judged(&a.job, "")
		}
		w.held.conclude(b)
	default:
		w.held.putBack(b)
		return err
	}
	return nil
}

// severity of an error after which a batch is kept: what heals itself is a warning,
// anything else (a missing right, an old schema) needs a person.
func severity(err error) slog.Level {
	if errors.Is(err, job.ErrUnavailable) || errors.Is(err, job.ErrConflict) {
		return slog.LevelWarn
	}
	return slog.LevelError
}
