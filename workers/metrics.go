package workers

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penguinmails/rookery/job"
)

// metrics are what a worker counts. All names begin with rookery_worker_; kind is
// "" unless a handler is registered for it, so no label grows with the input, and
// "other" beyond 200 kinds.
//
//	slots                                  attempts it runs at most at once
//	running_jobs                           handlers that have not returned, without the leaked
//	leaked_slots                           slots whose handler ignored its context's end for 30 s
//	held_jobs                              attempts whose lease it keeps alive
//	waiting_outcomes                       outcomes that Postgres does not have yet
//	taken_total{queue}                     attempts taken
//	attempts_total{queue,kind,outcome}     completed, failed, dead, snoozed, discarded, cancelled; stale: refused by the fence; unwritable
//	run_seconds{queue,kind}                how long handlers ran
//	delay_seconds{queue}                   from run_at to start, between Postgres' and this machine's clock: for people only
//	dispatch_seconds{queue}                from dispatch to start, between the same two clocks
//	complete_seconds{queue}                from start to the recorded completion
//	total_seconds{queue}                   from due to the recorded completion, between two clocks
//	panics_total{queue,kind}               handlers that panicked or ended their goroutine
//	unknown_kind_total{queue}              attempts put back because no handler knew the kind
//	lost_leases_total{queue}               attempts that ended because their lease had
//	joins_total{queue}                     epochs in which it announced and verified what it held
//	reconcile_seconds                      one batch to Postgres
//	reconcile_lag_seconds                  how long a batch's oldest outcome had waited when Postgres had it
//	reconcile_outcomes                     outcomes in one batch
//	errors_total{call}                     calls to Redis or Postgres that failed, STALE aside
//	acks_dropped_total                     acks given up, left to the lease
//	forged_total{queue}                    entries in Redis that no relay had signed, and that were not run
//	claimed_total{queue}                   attempts taken from Postgres, with Redis away
//	holding_jobs                           attempts held in Postgres, with Redis away
//	direct_queues                          queues whose jobs are taken from Postgres, with Redis away
type metrics struct {
	taken      *prometheus.CounterVec
	attempts   *prometheus.CounterVec
	run        *prometheus.HistogramVec
	delay      *prometheus.HistogramVec
	dispatch   *prometheus.HistogramVec
	complete   *prometheus.HistogramVec
	total      *prometheus.HistogramVec
	lag        prometheus.Histogram
	panics     *prometheus.CounterVec
	unknown    *prometheus.CounterVec
	lost       *prometheus.CounterVec
	joins      *prometheus.CounterVec
	reconcile  prometheus.Histogram
	batch      prometheus.Histogram
	errors     *prometheus.CounterVec
	ackDropped prometheus.Counter
	forged     *prometheus.CounterVec
	direct     *prometheus.CounterVec

	kinds map[string]bool // that have a label of their own
}

// mostKinds is how many kinds have a label of their own: each is a dozen series for
// each queue.
const mostKinds = 200

// label is what stands for kind in the metrics.
func (m *metrics) label(kind string) string {
	if !m.kinds[kind] && len(m.kinds) == mostKinds {
		return "other"
	}
	m.kinds[kind] = true
	return kind
}

// The values of the label outcome.
const (
	resultCompleted = iota
	resultFailed
	resultDead
	resultSnoozed
	resultDiscarded
	resultCancelled
	resultStale
	resultUnwritable
	results
)

var resultNames = [results]string{"completed", "failed", "dead", "snoozed", "discarded", "cancelled", "stale", "unwritable"}

// resultOf names what became of an attempt that Postgres accepted o of.
func resultOf(o *job.Outcome, now job.Status) int {
	switch o.Kind {
	case job.Failed:
		if now == job.Dead {
			return resultDead
		}
		return resultFailed
	case job.Snoozed:
		return resultSnoozed
	case job.Discarded:
		return resultDiscarded
	case job.CalledOff:
		return resultCancelled
	case job.Succeeded, job.Started:
	}
	return resultCompleted
}

// series are the counters of one route, looked up once.
type series struct {
	results [results]prometheus.Counter
	run     prometheus.Observer
	delay   prometheus.Observer
	panics  prometheus.Counter
	unknown prometheus.Counter

	dispatch, complete, total prometheus.Observer
}

func (m *metrics) series(queue, kind string) *series {
	kind = m.label(kind)
	s := &series{
		run:     m.run.WithLabelValues(queue, kind),
		delay:   m.delay.WithLabelValues(queue),
		panics:  m.panics.WithLabelValues(queue, kind),
		unknown: m.unknown.WithLabelValues(queue),

		dispatch: m.dispatch.WithLabelValues(queue),
		complete: m.complete.WithLabelValues(queue),
		total:    m.total.WithLabelValues(queue),
	}
	for i, name := range resultNames {
		s.results[i] = m.attempts.WithLabelValues(queue, kind, name)
	}
	return s
}

func newMetrics(to prometheus.Registerer, h *held, direct func() int) (*metrics, error) {
	run := []float64{.001, .005, .025, .1, .25, 1, 5, 30, 120, 600, 1800}
	delay := []float64{.001, .0025, .005, .01, .025, .05, .1, .5, 1, 10, 60, 600}
	whole := []float64{.0025, .005, .01, .025, .05, .1, .25, .5, 1, 5, 30, 120, 600, 3600}
	m := &metrics{
		taken:      counter("taken_total", "Attempts taken.", "queue"),
		attempts:   counter("attempts_total", "Attempts that ended, by what Postgres made of them.", "queue", "kind", "outcome"),
		run:        histogram("run_seconds", "How long handlers ran.", run, "queue", "kind"),
		delay:      histogram("delay_seconds", "From run_at to start, between two machines' clocks.", delay, "queue"),
		dispatch:   histogram("dispatch_seconds", "From dispatch to start, between two machines' clocks.", delay, "queue"),
		complete:   histogram("complete_seconds", "From start to the recorded completion.", whole, "queue"),
		total:      histogram("total_seconds", "From due to the recorded completion, between two machines' clocks.", whole, "queue"),
		lag:        prometheus.NewHistogram(histogramOpts("reconcile_lag_seconds", "How long the oldest outcome of a batch had waited when Postgres had it.", delay)),
		kinds:      map[string]bool{},
		panics:     counter("panics_total", "Handlers that panicked or ended their goroutine.", "queue", "kind"),
		unknown:    counter("unknown_kind_total", "Attempts put back because no handler knew the kind.", "queue"),
		lost:       counter("lost_leases_total", "Attempts that ended because their lease had.", "queue"),
		joins:      counter("joins_total", "Epochs in which what was held was announced and verified.", "queue"),
		reconcile:  prometheus.NewHistogram(histogramOpts("reconcile_seconds", "One batch of outcomes to Postgres.", prometheus.ExponentialBuckets(.0005, 2.5, 11))),
		batch:      prometheus.NewHistogram(histogramOpts("reconcile_outcomes", "Outcomes in one batch.", []float64{1, 2, 5, 10, 25, 50, 100, 250, 499, 500})),
		errors:     counter("errors_total", "Calls to Redis or Postgres that failed, STALE aside.", "call"),
		ackDropped: counter("acks_dropped_total", "Acks given up and left to the lease.").WithLabelValues(),
		forged:     counter("forged_total", "Entries in Redis that no relay had signed, and that were not run.", "queue"),
		direct:     counter("claimed_total", "Attempts taken from Postgres, with Redis away.", "queue"),
	}
	if to == nil {
		return m, nil
	}
	var errs []error
	for _, c := range append(m.collectors(), gauges(h, direct)...) {
		errs = append(errs, to.Register(c))
	}
	return m, errors.Join(errs...)
}

func (m *metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.taken, m.attempts, m.run, m.delay, m.dispatch, m.complete, m.total, m.lag, m.panics, m.unknown, m.lost, m.joins, m.reconcile, m.batch, m.errors, m.ackDropped, m.forged, m.direct}
}

func gauges(h *held, direct func() int) []prometheus.Collector {
	return []prometheus.Collector{
		gauge("slots", "Attempts the worker runs at most at once.", func() int { return h.slots }),
		gauge("running_jobs", "Handlers that have not returned, without the leaked ones.", func() int { c := h.counts(); return c.running - c.leaked }),
		gauge("leaked_slots", "Slots whose handler ignored its context's end.", func() int { return h.counts().leaked }),
		gauge("held_jobs", "Attempts whose lease the worker keeps alive.", func() int { return h.counts().attempts }),
		gauge("holding_jobs", "Attempts held in Postgres, with Redis away.", func() int { return h.counts().holding }),
		gauge("direct_queues", "Queues whose jobs are taken from Postgres, with Redis away.", direct),
		gauge("waiting_outcomes", "Outcomes that Postgres does not have yet.", func() int { return h.counts().outcomes }),
	}
}

func gauge(name, help string, value func() int) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "rookery", Subsystem: "worker", Name: name, Help: help},
		func() float64 { return float64(value()) })
}

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "rookery", Subsystem: "worker", Name: name, Help: help}, labels)
}

func histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(histogramOpts(name, help, buckets), labels)
}

func histogramOpts(name, help string, buckets []float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{Namespace: "rookery", Subsystem: "worker", Name: name, Help: help, Buckets: buckets}
}

// startDelay is how long a job waited past its run_at; never negative, because
// the two clocks may disagree.
func startDelay(runAt, now time.Time) float64 { return max(now.Sub(runAt).Seconds(), 0) }
