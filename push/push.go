package push

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/workers"
)

const (
	lookEvery  = 2 * time.Second
	againAfter = 2 * time.Second  // a worker that could not be made, or that failed
	storeTime  = 10 * time.Second // the deadline of one call to Postgres
)

// Store is where endpoints are kept, and what became of attempts: Postgres.
type Store interface {
	// SignedEndpoints lists endpoints with the secrets that sign at this moment, the
	// disabled ones too.
	SignedEndpoints(ctx context.Context) ([]job.Endpoint, error)
	// DisableEndpoint stops deliveries to url and pauses the queue; false: somebody
	// else had, or the endpoint is another now.
	DisableEndpoint(ctx context.Context, queue, url, reason string) (bool, error)
	// SealKeys returns the keys that callbacks' tokens are made with.
	SealKeys(ctx context.Context) ([]job.SealKey, error)
	// OpenAttempts says what became of attempts whose receivers will call back, at most
	// job.MaxBatch.
	OpenAttempts(ctx context.Context, open []job.OpenAttempt) ([]job.OpenState, error)
}

// Runner is a worker that was made and not run yet.
type Runner interface {
	// Run takes and runs jobs until ctx ends, and returns when they have ended.
	Run(ctx context.Context) error
}

// NewWorker makes a worker that runs the jobs of one queue with h, at most slots at
// once, and without a timeout of its own: h has one.
type NewWorker func(queue string, slots int, h workers.Handler) (Runner, error)

// Options of a [Push]. The zero value works.
type Options struct {
	// CallbackURL is where receivers reach the API, without a path's end: those that
	// answer 202 with Rookery-Async call back there. "": they cannot. Plain http takes a
	// loopback address, or a client whose [Policy] allows it.
	CallbackURL string
	// Permits counts requests over all push workers; nil: each process has an endpoint's
	// limits for itself.
	Permits Permits
	// ID is this process among them; "" means one that is drawn.
	ID string

	Registerer prometheus.Registerer // nil: metrics are kept but not registered
	Logger     *slog.Logger          // nil: nothing is logged
	Failpoint  func(name string)     // called at [FailAfterAnswer]; nil: nothing
}

// FailAfterAnswer is the point of [Options].Failpoint at which crash tests end the process:
// a receiver has answered, and nobody else knows. A crash there lets it be asked again.
const FailAfterAnswer = "push.after_answer"

// Push delivers the jobs of every queue that has an endpoint.
type Push struct {
	store     Store
	client    *Client
	newWorker NewWorker
	metrics   *metrics
	calls     *calls
	permits   Permits
	id        string
	log       *slog.Logger
	failpoint func(name string)

	ran    atomic.Bool
	news   chan struct{} // an endpoint was disabled: look now
	blind  bool          // the last look failed
	lines  map[string]*line
	last   map[string]<-chan struct{} // closed when the last line of a queue has ended
	seen   map[string]bool            // queues with gauges
	ending sync.WaitGroup
}

// line is one queue's worker, from its start to its end.
type line struct {
	target *target
	slots  int
	stop   context.CancelFunc
	done   chan struct{}
}

// New returns a Push that is to be run. Several processes may run one each.
func New(store Store, client *Client, newWorker NewWorker, o Options) (*Push, error) {
	if store == nil || client == nil || newWorker == nil {
		return nil, errors.New("new push: store, client and newWorker are needed")
	}
	if err := client.policy.CheckCallbackURL(o.CallbackURL); err != nil {
		return nil, fmt.Errorf("new push: the callback URL %w", err)
	}
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, fmt.Errorf("new push: %w", err)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Push{
		store: store, client: client, newWorker: newWorker, metrics: m, log: o.Logger, failpoint: o.Failpoint, news: make(chan struct{}, 1),
		permits: o.Permits, id: cmp.Or(o.ID, rand.Text()), calls: newCalls(strings.TrimSuffix(o.CallbackURL, "/"), store, m, o.Logger),
		lines: map[string]*line{}, last: map[string]<-chan struct{}{},
	}, nil
}

// Run delivers until ctx ends, and then stops every worker as [workers.Worker.Run]
// does. Changed endpoints count within seconds. Postgres being away changes nothing: what
// was known of endpoints stands. Run may be called once.
func (p *Push) Run(ctx context.Context) error {
	if p.ran.Swap(true) {
		return errors.New("run push: it has been run before")
	}
	asking, stop := context.WithCancel(context.WithoutCancel(ctx)) // as long as attempts are open
	var asked sync.WaitGroup
	asked.Go(func() { p.calls.run(asking) })
	defer asked.Wait()
	defer stop()
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	for ctx.Err() == nil {
		p.look(ctx)
		select {
		case <-ctx.Done():
		case <-p.news:
		case <-t.C:
		}
	}
	for queue := range p.lines {
		p.end(queue)
	}
	p.ending.Wait()
	p.client.Close()
	return nil
}

// look brings the lines to what the endpoints are now.
func (p *Push) look(ctx context.Context) {
	asking, stop := context.WithTimeout(ctx, storeTime)
	defer stop()
	endpoints, err := p.store.SignedEndpoints(asking)
	if err != nil {
		if !p.blind && ctx.Err() == nil {
			p.log.WarnContext(ctx, "endpoints cannot be read", keyError, err)
		}
		p.blind = true
		return
	}
	p.blind = false
	wanted := map[string]bool{}
	for _, e := range endpoints {
		disabled := 0.0
		if e.DisabledAt != nil {
			disabled = 1
		} else {
			wanted[e.QueueName] = true
			p.follow(ctx, e)
		}
		p.metrics.disabled.WithLabelValues(e.QueueName).Set(disabled)
	}
	for queue := range p.lines {
		if !wanted[queue] {
			p.end(queue)
		}
	}
	p.tidy(endpoints)
}

// follow has the line of an endpoint do as it says. Another number of slots takes
// another worker, which begins when the requests under way have ended.
func (p *Push) follow(ctx context.Context, e job.Endpoint) {
	if l := p.lines[e.QueueName]; l == nil {
		t := &target{gate: newGate(e.MaxInFlight, e.RatePerSecond), client: p.client, metrics: p.metrics, calls: p.calls, disable: p.disable, failpoint: p.failpoint,
			permits: newPermits(p.permits, e.QueueName, p.id, p.log, func(of int) { p.metrics.processes.WithLabelValues(e.QueueName).Set(float64(of)) })}
		t.endpoint.Store(&e)
		p.begin(ctx, e, t)
		p.log.InfoContext(ctx, "endpoint is delivered to", keyQueue, e.QueueName, keySlots, e.MaxInFlight)
	} else {
		l.target.change(&e)
		if l.slots != e.MaxInFlight {
			l.stop()
			p.begin(ctx, e, l.target)
		}
	}
	p.metrics.limit.WithLabelValues(e.QueueName).Set(p.lines[e.QueueName].target.gate.present())
}

// begin starts a line, once the queue's last one has ended.
func (p *Push) begin(ctx context.Context, e job.Endpoint, t *target) {
	running, stop := context.WithCancel(ctx)
	l := &line{target: t, slots: e.MaxInFlight, stop: stop, done: make(chan struct{})}
	before := p.last[e.QueueName]
	p.lines[e.QueueName], p.last[e.QueueName] = l, l.done
	p.ending.Go(func() {
		defer close(l.done)
		if before != nil {
			<-before
		}
		attending, enough := context.WithCancel(context.WithoutCancel(running)) // while requests are under way
		var attended sync.WaitGroup
		attended.Go(func() { t.permits.attend(attending) })
		p.work(running, e.QueueName, l)
		enough()
		attended.Wait()
	})
}

// work runs a line's worker, and another one if that fails, until ctx ends.
func (p *Push) work(ctx context.Context, queue string, l *line) {
	for ctx.Err() == nil {
		w, err := p.newWorker(queue, l.slots, l.target)
		if err == nil {
			err = w.Run(ctx)
		}
		if err != nil {
			p.log.ErrorContext(ctx, "push worker failed", keyQueue, queue, keyError, err)
		}
		if ctx.Err() == nil {
			_ = await(ctx, nil, againAfter)
		}
	}
}

// end has a queue delivered to no more. What waits at the gate goes back at once.
func (p *Push) end(queue string) {
	l := p.lines[queue]
	l.stop()
	l.target.gate.close()
	p.metrics.limit.DeleteLabelValues(queue)
	delete(p.lines, queue)
}

// tidy forgets queues that have no endpoint any more.
func (p *Push) tidy(endpoints []job.Endpoint) {
	seen := map[string]bool{}
	for _, e := range endpoints {
		seen[e.QueueName] = true
	}
	for queue := range p.seen {
		if !seen[queue] {
			p.metrics.forget(queue)
		}
	}
	p.seen = seen
	for queue, done := range p.last {
		select {
		case <-done:
			delete(p.last, queue)
		default:
		}
	}
}

// disable stops deliveries to an endpoint that wants no more.
func (p *Push) disable(ctx context.Context, e *job.Endpoint, reason string) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), storeTime)
	defer stop()
	switch done, err := p.store.DisableEndpoint(ctx, e.QueueName, e.URL, reason); {
	case err != nil: // the next answer will say the same
		p.log.WarnContext(ctx, "endpoint not disabled", keyQueue, e.QueueName, keyError, err)
	case done:
		p.log.ErrorContext(ctx, "endpoint disabled, queue paused", keyQueue, e.QueueName)
	}
	select {
	case p.news <- struct{}{}:
	default:
	}
}

// The keys of log lines.
const (
	keyQueue = "queue_name"
	keySlots = "slots"
	keyCount = "count"
	keyError = "error"
)
