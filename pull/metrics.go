package pull

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// How leases end, beside the verbs ack, nack and release.
const (
	endExpired   = "expired"   // the client was silent
	endLost      = "lost"      // the server's own lease was
	endCancelled = "cancelled" // somebody called the job off
	endShutdown  = "shutdown"  // the server stopped
)

// metrics are what a [Hub] counts.
//
//	leases                               leases that clients have
//	waiters                              requests that wait for a job
//	queues                               queues whose jobs are handed out
//	leases_given_total{queue}            leases of clients that began, those that were adopted too
//	leases_ended_total{queue,outcome}    ack, nack, release: what the client said; expired, lost, cancelled, shutdown; unseen: it hung up
//	elsewhere_total{outcome}             acks, nacks and releases of leases that this server does not have: accepted, refused
//	callbacks_total{verb,outcome}        what receivers of push workers said later: accepted, refused
//	adoptions_total{outcome}             leases of others that were extended here: adopted, over, failed
type metrics struct {
	given     *prometheus.CounterVec
	ended     *prometheus.CounterVec
	elsewhere *prometheus.CounterVec
	callbacks *prometheus.CounterVec
	adopted   *prometheus.CounterVec
}

func newMetrics(to prometheus.Registerer, h *Hub) (*metrics, error) {
	m := &metrics{
		given:     counter("leases_given_total", "Leases of clients that began.", "queue"),
		ended:     counter("leases_ended_total", "Leases of clients that ended, by how.", "queue", "outcome"),
		elsewhere: counter("elsewhere_total", "Acks, nacks and releases of leases that this server does not have.", "outcome"),
		callbacks: counter("callbacks_total", "What receivers of push workers said after they had answered.", "verb", "outcome"),
		adopted:   counter("adoptions_total", "Leases of other servers that were extended here.", "outcome"),
	}
	if to == nil {
		return m, nil
	}
	return m, errors.Join(to.Register(m.given), to.Register(m.ended), to.Register(m.elsewhere), to.Register(m.callbacks), to.Register(m.adopted),
		to.Register(gauge("leases", "Leases that clients have.", h, func() int { return h.live })),
		to.Register(gauge("waiters", "Requests that wait for a job.", h, func() int { return h.waiters })),
		to.Register(gauge("queues", "Queues whose jobs are handed out to clients.", h, func() int { return len(h.desks) })))
}

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "rookery", Subsystem: "pull", Name: name, Help: help}, labels)
}

func gauge(name, help string, h *Hub, value func() int) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "rookery", Subsystem: "pull", Name: name, Help: help}, func() float64 {
		h.mu.Lock()
		defer h.mu.Unlock()
		return float64(value())
	})
}
