package relay

import "github.com/prometheus/client_golang/prometheus"

// metrics are a relay's own. Labels are bounded: queues are named by operators.
type metrics struct {
	dispatched   *prometheus.CounterVec
	batches      prometheus.Counter
	claim        prometheus.Histogram
	push         prometheus.Histogram
	express      prometheus.Histogram
	pushRefused  *prometheus.CounterVec
	promoted     prometheus.Counter
	recovered    prometheus.Counter
	returned     *prometheus.CounterVec
	refused      prometheus.Counter
	swept        prometheus.Counter
	deleted      prometheus.Counter
	strays       prometheus.Counter
	audited      prometheus.Counter
	auditMissing prometheus.Counter
	epochs       prometheus.Counter
	wakes        prometheus.Counter
	gate         prometheus.Gauge
	away         prometheus.Gauge
	failures     *prometheus.CounterVec
	due          *prometheus.HistogramVec
	depths       depthMetrics
}

func newMetrics(reg prometheus.Registerer) (metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	vec := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
	}
	seconds := func(name, help string) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(0.00025, 2, 16)})
	}
	m := metrics{
		dispatched:   vec("rookery_relay_dispatched_jobs_total", "Jobs handed to Redis.", "queue"),
		batches:      counter("rookery_relay_batches_total", "Batches handed to Redis."),
		claim:        seconds("rookery_relay_claim_seconds", "Time of one claim in Postgres."),
		push:         seconds("rookery_relay_push_seconds", "Time of one push to Redis."),
		express:      seconds("rookery_relay_express_push_seconds", "Time of one push in the express lane."),
		pushRefused:  vec("rookery_relay_pushes_refused_total", "Pushes that Redis did not accept.", "reason"),
		promoted:     counter("rookery_relay_promoted_jobs_total", "Scheduled jobs that fell due."),
		recovered:    counter("rookery_relay_recovered_batches_total", "Batches pushed that another relay had left."),
		returned:     vec("rookery_relay_returned_jobs_total", "Attempts taken back without an outcome.", "cause"),
		refused:      counter("rookery_relay_refused_jobs_total", "Jobs that could not be claimed or encoded."),
		swept:        counter("rookery_relay_swept_dispatches_total", "Finished ledger rows deleted."),
		deleted:      counter("rookery_relay_deleted_jobs_total", "Finished jobs deleted, having been kept for long enough."),
		strays:       counter("rookery_relay_stray_jobs_total", "Jobs the slow walk had to file again. Must stay 0."),
		audited:      counter("rookery_relay_audited_jobs_total", "Attempts the audit has looked for in Redis."),
		auditMissing: counter("rookery_relay_audit_missing_total", "Attempts the audit found nowhere in Redis and handed out again. Must stay 0."),
		epochs:       counter("rookery_relay_epochs_total", "Epochs begun."),
		wakes:        counter("rookery_relay_wakes_total", "Wakes by the source."),
		gate:         prometheus.NewGauge(prometheus.GaugeOpts{Name: "rookery_relay_gate_closed", Help: "1 while this relay keeps producers from notifying."}),
		away:         prometheus.NewGauge(prometheus.GaugeOpts{Name: "rookery_relay_redis_away", Help: "1 while no process reaches Redis, and its windows are given up."}),
		failures:     vec("rookery_relay_failures_total", "Turns of a duty that failed.", "duty"),
		due: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "rookery_relay_due_seconds", Help: "From due to the claim, by Postgres' clock.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .5, 1, 10, 60, 600}}, []string{"queue"}),
		depths: newDepthMetrics(),
	}
	if reg == nil {
		return m, nil
	}
	for _, vec := range m.depths.all() {
		if err := reg.Register(vec); err != nil {
			return m, err
		}
	}
	for _, c := range []prometheus.Collector{
		m.dispatched, m.batches, m.claim, m.push, m.express, m.pushRefused, m.promoted, m.recovered, m.returned,
		m.refused, m.swept, m.deleted, m.strays, m.audited, m.auditMissing, m.epochs, m.wakes, m.gate, m.away, m.failures, m.due,
	} {
		if err := reg.Register(c); err != nil {
			return m, err
		}
	}
	return m, nil
}
