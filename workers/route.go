package workers

import (
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/penguinmails/rookery/internal/tracing"
	"github.com/penguinmails/rookery/job"
)

// route is how the jobs of one kind in one queue are run: the handler inside its
// middleware, its limits, its counters.
type route struct {
	handler Handler       // nil: nobody here knows the kind
	timeout time.Duration // 0: none
	backoff func(failures int) time.Duration
	series  *series
	span    string
	options []trace.SpanStartOption
}

type routeKey struct{ queue, kind string }

// routes finds routes; it belongs to the fetch loop.
type routes struct {
	registry *Registry // its handlers are inside their middleware
	timeout  time.Duration
	metrics  *metrics
	known    map[routeKey]*route
}

func newRoutes(r *Registry, o Options, m *metrics) (*routes, error) {
	if r == nil {
		return nil, errors.New("registry is nil")
	}
	if err := errors.Join(r.errs...); err != nil {
		return nil, fmt.Errorf("registry: %w", err)
	}
	if len(r.kinds)+len(r.queues) == 0 {
		return nil, errors.New("registry has no handler")
	}
	wrapped, err := r.wrapped(o.Middleware)
	if err != nil {
		return nil, err
	}
	return &routes{registry: wrapped, timeout: o.Timeout, metrics: m, known: map[routeKey]*route{}}, nil
}

// find returns the route of a job. Routes are kept for the kinds that are
// registered and, as one per queue, for all others: kinds come from outside, and
// neither memory nor metrics may grow with them.
func (r *routes) find(queue, kind string) *route {
	if known, ok := r.known[routeKey{queue, kind}]; ok {
		return known
	}
	e, byKind, ok := r.registry.find(queue, kind)
	if !byKind {
		kind = ""
	}
	key := routeKey{queue, kind}
	if known, have := r.known[key]; have {
		return known
	}
	made := &route{backoff: job.Backoff, series: r.metrics.series(queue, kind)}
	if ok {
		r.fill(made, e)
		made.span, made.options = tracing.Process(queue, kind)
	}
	r.known[key] = made
	return made
}

func (r *routes) fill(to *route, e entry) {
	to.handler, to.timeout = e.handler, e.options.Timeout
	setDefault(&to.timeout, r.timeout)
	to.timeout = max(to.timeout, 0) // negative means none
	if e.options.Backoff != nil {
		to.backoff = e.options.Backoff
	}
}
