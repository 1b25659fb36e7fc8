package push

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penguinmails/rookery/job"
)

// metrics are what a push process counts. Queues are those with endpoints, which are at
// most [job.MaxEndpoints].
type metrics struct {
	requests  *prometheus.CounterVec
	seconds   *prometheus.HistogramVec
	blocked   *prometheus.CounterVec
	disabled  *prometheus.GaugeVec
	limit     *prometheus.GaugeVec
	open      *prometheus.GaugeVec
	processes *prometheus.GaugeVec
}

func newMetrics(to prometheus.Registerer) (*metrics, error) {
	const namespace, subsystem = "rookery", "push"
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help}, labels)
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help}, []string{"queue"})
	}
	m := &metrics{
		requests:  counter("requests_total", "Requests to endpoints, by the class of the answer.", "queue", "code_class"),
		blocked:   counter("blocked_total", "Requests that were not let out.", "reason"),
		disabled:  gauge("disabled", "1 while an endpoint is disabled."),
		limit:     gauge("limit", "Requests that may be under way at once at present."),
		processes: gauge("processes", "Push processes that share the endpoint's limits, as this one last heard from Redis."),
		open:      gauge("open", "Attempts whose receiver has answered that it will call back."),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Subsystem: subsystem, Name: "seconds",
			Help: "Time of one request, from dial to answer.", Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}}, []string{"queue"}),
	}
	for _, reason := range []string{blockedScheme, blockedPort, blockedAddress} {
		m.blocked.WithLabelValues(reason)
	}
	if to == nil {
		return m, nil
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.requests, m.seconds, m.blocked, m.disabled, m.limit, m.open, m.processes} {
		errs = append(errs, to.Register(c))
	}
	return m, errors.Join(errs...)
}

// answered counts one request.
func (m *metrics) answered(queue string, a answer, err error, took time.Duration) {
	var blocked *blockedError
	class := "error"
	switch {
	case err == nil:
		class = a.class()
	case errors.As(err, &blocked):
		class = "blocked"
		m.blocked.WithLabelValues(blocked.reason).Inc()
	case errors.Is(err, errTimeout):
		class = "timeout"
	case errors.Is(err, job.ErrCancelled), errors.Is(err, job.ErrLeaseLost), errors.Is(err, job.ErrShutdown):
		class = "ended"
	}
	m.requests.WithLabelValues(queue, class).Inc()
	if class != "blocked" {
		m.seconds.WithLabelValues(queue).Observe(took.Seconds())
	}
}

// forget drops the gauges of a queue that has no endpoint any more.
func (m *metrics) forget(queue string) {
	m.disabled.DeleteLabelValues(queue)
	m.limit.DeleteLabelValues(queue)
	m.open.DeleteLabelValues(queue)
	m.processes.DeleteLabelValues(queue)
}
