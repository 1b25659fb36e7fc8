package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"

	"github.com/penguinmails/rookery/internal/minutes"
	"github.com/penguinmails/rookery/internal/tracing"
	"github.com/penguinmails/rookery/job"
)

// Options tunes a [Relay]. The zero value works.
type Options struct {
	ID             string        // unique among all processes; "" means host-pid-random
	Lease          time.Duration // what workers lease for; they and all relays must agree; 0 means job.Lease
	Registerer     prometheus.Registerer
	Logger         *slog.Logger
	TracerProvider trace.TracerProvider // who makes spans; nil: the process's (otel.SetTracerProvider)
	Failpoint      func(name string)    // called at the points that relayPoints in test/chaos lists; nil: nothing

	// How long jobs are kept once they are over; then they are deleted with their
	// history. Relays that differ delete by the shortest. Negative: for ever.
	Retention     time.Duration // of completed and cancelled jobs; 0 means job.Retention
	RetentionDead time.Duration // of dead ones; 0 means job.RetentionDead
	// RetentionOperations is how long operations are kept once they are over; 0 means
	// job.RetentionOperations. Negative: for ever.
	RetentionOperations time.Duration
}

// Relay is steps 2, 3 and 7. Make it with [New]; its methods are safe for
// concurrent use.
type Relay struct {
	store    Store
	redis    Redis
	source   Source
	o        Options
	log      *slog.Logger
	metrics  metrics
	troubles troubles

	mu     sync.Mutex
	queues map[string]*queue
	life   string        // of the Postgres that answered last
	heard  time.Time     // when it did
	steady time.Time     // since when it has been the same, and answering, its clock going steadily
	clock  time.Time     // its clock, in that answer
	offset time.Duration // of its clock against ours

	began   time.Time     // of Run
	look    look          // the dispatch loop's own
	poll    time.Duration // how often it looks although nothing woke it; 0 means safetyPoll. Tests wait for wakes alone
	nudge   chan struct{} // ends the dispatch loop's wait; one is as good as many
	walked  atomic.Int64
	inquest inquest      // the audit's own
	pruning pruning      // retention's own
	keeps   atomic.Int64 // the shortest retention that a queue has by its own word, ns; 0: none has
	minutes *minutes.Book
	tracing *tracing.Tracer
	sampled time.Time // the minute in which this relay last looked at the depths; its duty's own
	host    string
	pid     int
}

// New returns a relay that does nothing before Run. Many may run side by side, in
// one process or several.
func New(store Store, redis Redis, source Source, o Options) (*Relay, error) {
	if store == nil || redis == nil || source == nil {
		return nil, errors.New("relay: store, redis and source must not be nil")
	}
	if o.Lease == 0 {
		o.Lease = job.Lease
	}
	if o.Lease < time.Millisecond { // duties come round in parts of it
		return nil, fmt.Errorf("relay: lease is %s, must be at least 1ms", o.Lease)
	}
	if err := retentionOf(&o); err != nil {
		return nil, err
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	if o.ID == "" {
		o.ID = fmt.Sprintf("%s-%d-%x", host, os.Getpid(), job.NewDispatchID()&0xffffff)
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Failpoint == nil {
		o.Failpoint = func(string) {}
	}
	r := &Relay{store: store, redis: redis, source: source, o: o, log: o.Logger.With("relay_id", o.ID), queues: map[string]*queue{}, host: host, pid: os.Getpid(),
		nudge: make(chan struct{}, 1), minutes: minutes.New(), tracing: tracing.New(o.TracerProvider, tracerName), look: look{late: map[string]chan handed{}, full: map[string]bool{}}}
	if r.metrics, err = newMetrics(o.Registerer); err != nil {
		return nil, fmt.Errorf("relay: %w", err)
	}
	return r, nil
}

// ID returns the name under which the relay stands in the ledger and among the
// processes.
func (r *Relay) ID() string { return r.o.ID }

// Run works until ctx ends, and returns when all it started has ended. Postgres or
// Redis being away is no reason to return. What it had claimed and not pushed at
// the end is pushed by another relay, or by this one when it starts again.
func (r *Relay) Run(ctx context.Context) error {
	r.began = time.Now()
	r.log.InfoContext(ctx, "relay started", "lease", r.o.Lease.String())
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return r.source.Run(ctx) })
	g.Go(func() error { return r.dispatchLoop(ctx) })
	for _, duty := range []struct {
		name  string
		every time.Duration
		do    func(context.Context) error
	}{
		{"tend queues", time.Second, r.tend},
		{"recover", time.Second, r.recoverBatches},
		{"carry cancels", time.Second, r.carryCancels},
		{"take back held", time.Second, r.takeBackHeld},
		{"sweep", 2 * time.Second, r.sweep},
		{"beat", job.Beat, r.beat},
		{"walk", 10 * time.Second, r.walk},
		{"audit", r.auditEvery(), r.audit},
		{"forget batches", 30 * time.Second, r.forgetLeft},
		{"prune", pruneEvery, r.prune},
		{"keep figures", figuresEvery, r.keepFigures},
	} {
		g.Go(func() error { r.every(ctx, duty.name, duty.every, duty.do); return nil })
	}
	err := g.Wait()
	r.leave(context.WithoutCancel(ctx))
	r.log.InfoContext(ctx, "relay stopped")
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// leave records what was pushed, takes the relay off the list of the living, and writes
// down what it has counted. What it cannot say of jobs any more, another relay finds out.
func (r *Relay) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	err := errors.Join(r.record(ctx, time.Now().Add(recordAfter)), r.store.Retire(ctx, r.o.ID), r.minutes.Close(ctx, r.store))
	r.trouble(ctx, "leave", err)
}

// every does one duty again and again until ctx ends, at once for the first time.
// A duty that fails is tried again at its next turn.
func (r *Relay) every(ctx context.Context, name string, d time.Duration, do func(context.Context) error) {
	t := time.NewTicker(d)
	defer t.Stop()
	for {
		r.trouble(ctx, name, do(ctx))
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// troubles remembers which duties fail, so that a fault is one line in the log and
// its end another.
type troubles struct {
	mu  sync.Mutex
	now map[string]bool
}

// trouble notes how a duty's turn went: nil too, or its next fault would be no news.
func (r *Relay) trouble(ctx context.Context, name string, err error) {
	if ctx.Err() != nil {
		return
	}
	r.troubles.mu.Lock()
	defer r.troubles.mu.Unlock()
	if r.troubles.now == nil {
		r.troubles.now = map[string]bool{}
	}
	was := r.troubles.now[name]
	r.troubles.now[name] = err != nil
	switch {
	case err != nil && !was:
		r.log.WarnContext(ctx, "duty fails, trying again", "duty", name, "error", err)
	case err == nil && was:
		r.log.InfoContext(ctx, "duty works again", "duty", name)
	}
	if err != nil {
		r.metrics.failures.WithLabelValues(name).Inc()
	}
}
