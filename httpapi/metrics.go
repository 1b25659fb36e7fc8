package httpapi

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts what passes the edge. Every label is bounded: method is one of
// the standard nine or "other", route a pattern of ours or "none".
type metrics struct {
	requests *prometheus.CounterVec   // method, route, status
	seconds  *prometheus.HistogramVec // method, route
	inserted *prometheus.CounterVec   // lane: express, ordinary, keyed or clone

	spooled, drained, spoolSetAside       prometheus.Counter
	spoolRefused                          *prometheus.CounterVec // reason: full or redis
	spoolWaiting, spoolBytes, spoolOldest prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rookery_http_requests_total",
			Help: "Answered HTTP requests. Status 499: the client hung up first.",
		}, []string{"method", "route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "rookery_http_request_seconds",
			Help:    "Time from a request's headers to the end of its answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
		}, []string{"method", "route"}),
		inserted: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rookery_http_inserted_jobs_total",
			Help: "Jobs inserted over HTTP, by the lane they took.",
		}, []string{"lane"}),
		spooled:       counter("spooled_jobs_total", "Jobs kept in Redis because Postgres was away."),
		drained:       counter("drained_jobs_total", "Spooled jobs that Postgres has; those of a page drained twice count twice."),
		spoolSetAside: counter("set_aside_entries_total", "Spooled requests that can never be inserted."),
		spoolRefused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rookery_spool_refused_requests_total",
			Help: "Requests that could be neither inserted nor spooled.",
		}, []string{"reason"}),
		spoolWaiting: gauge("waiting_entries", "Requests in the spool."),
		spoolBytes:   gauge("bytes", "What the requests in the spool take."),
		spoolOldest:  gauge("oldest_seconds", "Age of the oldest request in the spool. Above a week it is not inserted by itself."),
	}
	return m, errors.Join(r.Register(m.requests), r.Register(m.seconds), r.Register(m.inserted),
		r.Register(m.spooled), r.Register(m.drained), r.Register(m.spoolSetAside), r.Register(m.spoolRefused),
		r.Register(m.spoolWaiting), r.Register(m.spoolBytes), r.Register(m.spoolOldest))
}

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: "rookery_spool_" + name, Help: help})
}

func gauge(name, help string) prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{Name: "rookery_spool_" + name, Help: help})
}

// methodLabel keeps invented methods out of the metrics.
func methodLabel(method string) string {
	switch method {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE":
		return method
	}
	return "other"
}
