package workers

import (
	"context"
	"time"

	"github.com/penguinmails/rookery/internal/minutes"
	"github.com/penguinmails/rookery/job"
)

// figuresEvery is how often a worker looks whether a minute has ended.
const figuresEvery = 10 * time.Second

// Figures keeps what a worker did, by minute and queue, for charts.
type Figures interface {
	// PutStats writes the rows of one writer. The same row again replaces itself.
	PutStats(ctx context.Context, writer int64, rows []job.Stat) error
}

// count adds an attempt that Postgres has judged, at a moment, to the metrics and to
// the minute's figures. It returns how long its outcome had waited for that; −1: it was
// put back without being run.
func (w *Worker) count(a *attempt, o *job.Outcome, result int, at time.Time) (lag time.Duration) {
	a.route.series.results[result].Inc()
	lag = -1
	if !a.began.IsZero() {
		lag = max(at.Sub(a.began)-o.Ran, 0)
		if result == resultCompleted {
			a.route.series.complete.Observe(at.Sub(a.began).Seconds())
			a.route.series.total.Observe(startDelay(a.job.DueAt(), at))
		}
	}
	if w.minutes != nil && result != resultStale {
		w.minutes.Count(at, a.queue.name, func(s *job.Stat) { addTo(s, a, o, result) })
	}
	return lag
}

// addTo counts one attempt.
func addTo(s *job.Stat, a *attempt, o *job.Outcome, result int) {
	switch result {
	case resultCompleted:
		s.Completed++
	case resultFailed:
		s.Failed++
	case resultDead, resultDiscarded:
		s.Dead++
	case resultCancelled:
		s.Cancelled++
	case resultSnoozed:
		s.Snoozed++
	}
	if a.began.IsZero() {
		return
	}
	waited := max(a.began.Sub(a.job.DueAt()), 0) // two clocks: for people only
	s.Ran, s.Waited = s.Ran+o.Ran, s.Waited+waited
	s.RunTimes.Add(o.Ran)
	s.WaitTimes.Add(waited)
}

// keepFigures writes down the minutes that have ended.
func (w *Worker) keepFigures(ctx context.Context) {
	if w.minutes == nil {
		return
	}
	t := time.NewTicker(figuresEvery)
	defer t.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			err := w.putFigures(ctx, func(ctx context.Context) error { return w.minutes.Write(ctx, w.o.Figures, now) })
			if err != nil && !failing {
				w.log.WarnContext(ctx, "figures wait for postgres", keyError, err)
			}
			failing = err != nil
		}
	}
}

// leaveFigures writes down what was counted since. It is not worth waiting for long.
func (w *Worker) leaveFigures(ctx context.Context) {
	if w.minutes == nil {
		return
	}
	err := w.putFigures(ctx, func(ctx context.Context) error { return w.minutes.Close(ctx, w.o.Figures) })
	if err != nil {
		w.log.WarnContext(ctx, "figures of the last minute are lost", keyError, err)
	}
}

func (w *Worker) putFigures(ctx context.Context, put func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	err := put(ctx)
	if err != nil {
		w.metrics.errors.WithLabelValues("figures").Inc()
	}
	return err
}

// newBook returns where to count; nil: nobody wants to know.
func newBook(to Figures) *minutes.Book {
	if to == nil {
		return nil
	}
	return minutes.New()
}
