package relay

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penguinmails/rookery/job"
)

// figuresEvery is how often a relay looks whether a minute has ended.
const figuresEvery = 10 * time.Second

// keepFigures writes down what this relay did in the minutes that have ended and, once
// a minute, what waits in the queues. One relay does the latter, and adds up what all
// have written; only that one shows it to Prometheus, until another has done it. That one
// also deletes old figures, events and operations.
func (r *Relay) keepFigures(ctx context.Context) error {
	now := time.Now()
	return errors.Join(r.sample(ctx, now.Truncate(time.Minute)), r.minutes.Write(ctx, r.store, now))
}

func (r *Relay) sample(ctx context.Context, minute time.Time) error {
	if minute.Equal(r.sampled) {
		return nil
	}
	depths, sampled, err := r.store.SampleDepths(ctx)
	r.metrics.depths.show(depths) // nothing, when Postgres is away: rather no figure than an old one
	if err != nil {
		return err
	}
	r.sampled = minute
	if !sampled {
		return nil
	}
	_, err = r.store.PruneOperations(ctx, r.o.RetentionOperations)
	return errors.Join(err, r.store.RollUp(ctx), r.store.PruneStats(ctx))
}

// countBatch counts a batch that Redis has accepted.
func (r *Relay) countBatch(batch job.Batch, now time.Time) {
	r.metrics.dispatched.WithLabelValues(batch.QueueName).Add(float64(len(batch.Jobs)))
	r.metrics.batches.Inc()
	due := r.metrics.due.WithLabelValues(batch.QueueName)
	for i := range batch.Jobs {
		e := &batch.Jobs[i]
		due.Observe(max(e.DispatchedAt.Sub(e.DueAt()).Seconds(), 0)) // both of Postgres' clock
	}
	r.minutes.Count(now, batch.QueueName, func(s *job.Stat) { s.Dispatched += int64(len(batch.Jobs)) })
}

// countLost counts an attempt whose lease had ended, in the figures of its queue.
func (r *Relay) countLost(queue string, is job.Status) {
	r.minutes.Count(time.Now(), queue, func(s *job.Stat) {
		s.Lost++
		if is == job.Dead {
			s.Dead++
		}
	})
}

// depthMetrics are what waits in the queues, for the relay that has counted it.
type depthMetrics struct {
	ready, scheduled, out, workers, oldest, paused, work *prometheus.GaugeVec
}

func newDepthMetrics() depthMetrics {
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "rookery_queue_" + name, Help: help}, []string{"queue"})
	}
	return depthMetrics{
		ready:     gauge("ready_jobs", "Due jobs that wait in Postgres, counted up to 100,000."),
		scheduled: gauge("scheduled_jobs", "Jobs that are not due yet, among the first 100,000 of all queues."),
		out:       gauge("out_jobs", "Jobs that are dispatched or running, as the ledger has it."),
		workers:   gauge("workers", "Worker processes that take from the queue."),
		oldest:    gauge("oldest_seconds", "For how long the oldest of the first hundred due jobs has been due; 0: none is."),
		paused:    gauge("paused", "1 while the queue is paused."),
		work:      gauge("seconds_of_work", "How long what is due lasts at the rate of the last minutes; 0 while the queue is paused."),
	}
}

func (m depthMetrics) all() []*prometheus.GaugeVec {
	return []*prometheus.GaugeVec{m.ready, m.scheduled, m.out, m.workers, m.oldest, m.paused, m.work}
}

// show replaces what was shown; with nothing it shows nothing.
func (m depthMetrics) show(depths []job.Depth) {
	for _, vec := range m.all() {
		vec.Reset()
	}
	for _, d := range depths {
		m.ready.WithLabelValues(d.QueueName).Set(float64(d.Ready))
		m.scheduled.WithLabelValues(d.QueueName).Set(float64(d.Scheduled))
		m.out.WithLabelValues(d.QueueName).Set(float64(d.Out))
		m.workers.WithLabelValues(d.QueueName).Set(float64(d.Workers))
		m.oldest.WithLabelValues(d.QueueName).Set(d.Oldest.Seconds())
		paused, work := 0.0, d.Rate.SecondsOfWork(d.Ready+d.Out)
		if d.Paused {
			paused, work = 1, 0
		}
		m.work.WithLabelValues(d.QueueName).Set(work)
		m.paused.WithLabelValues(d.QueueName).Set(paused)
	}
}
