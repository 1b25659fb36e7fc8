package workers

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/penguinmails/rookery/job"
)

// HandlerOptions says how the attempts of one handler are treated. The zero value
// takes everything from [Options] and [job.Backoff].
type HandlerOptions struct {
	// Timeout ends an attempt's ctx with job.ErrTimeout; 0 means Options.Timeout,
	// negative means never.
	Timeout time.Duration
	// Backoff returns how long to wait after the failures-th failure (1 is the
	// first); nil means job.Backoff. The result is clamped to 0 … 1 year.
	Backoff func(failures int) time.Duration
}

type entry struct {
	handler Handler
	options HandlerOptions
}

// Registry says which handler runs which jobs: that of the job's kind or else that
// of its queue. It is filled before [New], which copies it and reports what is wrong
// with it, and is not safe for concurrent use.
type Registry struct {
	kinds  map[string]entry
	queues map[string]entry
	errs   []error
}

// NewRegistry returns an empty registry.
func NewRegistry() *Registry {
	return &Registry{kinds: map[string]entry{}, queues: map[string]entry{}}
}

// Handle registers h for a kind, in whichever queue it comes. A bad or second
// registration is an error of [New].
func (r *Registry) Handle(kind string, h Handler, o HandlerOptions) {
	if kind == "" {
		r.errs = append(r.errs, errors.New("a handler has no kind; use HandleQueue for jobs without one"))
		return
	}
	if err := job.CheckKind(kind); err != nil {
		r.errs = append(r.errs, err)
		return
	}
	r.add(r.kinds, "kind", kind, entry{h, o})
}

// HandleQueue registers h for all jobs of a queue whose kind has no handler. A bad
// or second registration is an error of [New].
func (r *Registry) HandleQueue(queue string, h Handler, o HandlerOptions) {
	if err := job.CheckQueueName(queue); err != nil {
		r.errs = append(r.errs, err)
		return
	}
	r.add(r.queues, "queue", queue, entry{h, o})
}

func (r *Registry) add(to map[string]entry, what, name string, e entry) {
	if e.handler == nil {
		r.errs = append(r.errs, fmt.Errorf("the handler of %s %q is nil", what, name))
		return
	}
	if _, twice := to[name]; twice {
		r.errs = append(r.errs, fmt.Errorf("%s %q has two handlers", what, name))
		return
	}
	to[name] = e
}

// find returns the handler for a job, and whether it was found by kind.
func (r *Registry) find(queue, kind string) (e entry, byKind, ok bool) {
	if e, ok = r.kinds[kind]; ok {
		return e, true, true
	}
	e, ok = r.queues[queue]
	return e, false, ok
}

// wrapped returns a copy of r with every handler inside its middleware, the first
// of which is the outermost.
func (r *Registry) wrapped(middleware []Middleware) (*Registry, error) {
	c := NewRegistry()
	for from, to := range map[*map[string]entry]map[string]entry{&r.kinds: c.kinds, &r.queues: c.queues} {
		for name, e := range *from {
			for _, m := range slices.Backward(middleware) {
				if e.handler = m(e.handler); e.handler == nil {
					return nil, errors.New("a middleware returned no handler")
				}
			}
			to[name] = e
		}
	}
	return c, nil
}
