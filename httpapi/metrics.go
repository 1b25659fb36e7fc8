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
	inserted *prometheus.CounterVec   // lane: express or ordinary
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
	}
	return m, errors.Join(r.Register(m.requests), r.Register(m.seconds), r.Register(m.inserted))
}

// methodLabel keeps invented methods out of the metrics.
func methodLabel(method string) string {
	switch method {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE":
		return method
	}
	return "other"
}
