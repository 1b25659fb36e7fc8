package workers

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penguinmails/rookery/internal/minutes"
	"github.com/penguinmails/rookery/internal/tracing"
)

// Worker runs jobs of some queues in one process. Several may live in one process
// when their metrics go to different Registerers.
type Worker struct {
	o       Options
	log     *slog.Logger
	store   Store
	redis   Queue
	leases  Leases
	queues  []*queue
	order   *order
	routes  *routes
	held    *held
	acks    *acks
	crew    *crew
	metrics *metrics
	unknown *unknown
	tracing *tracing.Tracer
	minutes *minutes.Book // nil: nobody wants to know
	tokens  tokens
	quiet   quiet
	started time.Time
	life    int64 // who is told to be quiet is this one, not the next with its id

	handlers sync.WaitGroup // handlers under way
	adopting sync.Mutex     // guards ending
	ending   bool           // nothing is adopted any more
	joining  chan struct{}  // join should look at the queues' epochs
	telling  chan struct{}  // follow should beat now: there is an epoch to report
	asking   chan struct{}  // follow should look how long it may wait
	closing  chan struct{}  // closed: no outcome comes any more but those waiting

	ran        atomic.Bool
	draining   atomic.Bool
	redisOK    atomic.Bool  // Redis has answered since the last beat in Postgres
	redisAt    atomic.Int64 // when Redis last answered, Unix ns
	postgresAt atomic.Int64 // when Postgres last took a beat or outcomes, Unix ns
}

// New returns a worker for the handlers of registry, which it copies. An error says
// what is wrong with registry or o, or which metric cannot be registered. Nothing
// is contacted before [Worker.Run].
func New(store Store, redis Queue, leases Leases, registry *Registry, o Options) (*Worker, error) {
	o, err := o.filled()
	if err != nil {
		return nil, fmt.Errorf("new worker: %w", err)
	}
	h := newHeld(o.Concurrency, o.Buffer, o.Lease*13/15)
	var queues []*queue
	for _, q := range o.Queues {
		queue := newQueue(q)
		queue.held = h
		queues = append(queues, queue)
	}
	m, err := newMetrics(o.Registerer, h, func() int { return direct(queues, o.Beat) })
	if err != nil {
		return nil, fmt.Errorf("new worker: %w", err)
	}
	routes, err := newRoutes(registry, o, m)
	if err != nil {
		return nil, fmt.Errorf("new worker: %w", err)
	}
	w := &Worker{
		o: o, log: o.Logger, store: store, redis: redis, leases: leases,
		routes: routes, held: h, acks: newAcks(), metrics: m, unknown: newUnknown(), tracing: tracing.New(o.TracerProvider, tracerName), minutes: newBook(o.Figures),
		tokens:  tokens{prefix: rand.Text()[:12]},
		joining: make(chan struct{}, 1), telling: make(chan struct{}, 1), asking: make(chan struct{}, 1),
		closing: make(chan struct{}), queues: queues, order: newOrder(queues),
	}
	w.crew, w.life = newCrew(w.run), newLife()
	return w, nil
}

// Run takes and runs jobs until ctx ends, then stops in order: it takes no more,
// gives back what has not begun, lets handlers finish for Options.DrainTime, ends
// the others with job.ErrShutdown, records every outcome, acks, and takes itself
// out of the list of the living. This takes at most DrainTime and about 5 s more.
//
// Every goroutine it started has ended when it returns, unless a handler ignores
// its ctx: it is not waited for, and the error says how many handlers and outcomes
// were left behind. Their leases end and their jobs run again. Run may be called
// once.
func (w *Worker) Run(ctx context.Context) error {
	if w.ran.Swap(true) {
		return errors.New("run worker: it has been run before")
	}
	// What goes on during the drain lives until stop; handlers outlive ctx too.
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	w.started = time.Now()
	w.log.InfoContext(ctx, "worker starts", keyWorker, w.o.ID, keySlots, w.o.Concurrency)

	w.tell(ctx) // the first epochs; if Postgres does not answer, follow asks again
	w.joinAll(life)
	var loops sync.WaitGroup
	loops.Go(func() { w.follow(life) })
	loops.Go(func() { w.join(life) })
	loops.Go(func() { w.beat(life) })
	loops.Go(func() { w.watch(life) })
	loops.Go(func() { w.hold(life) })
	loops.Go(func() { w.doubt(life) })
	loops.Go(func() { w.probe(life) })
	loops.Go(func() { w.keepFigures(life) })
	written := make(chan struct{})
	loops.Go(func() { w.write(life); close(written) })
	acked := make(chan struct{})
	loops.Go(func() { w.acknowledge(life, written); close(acked) })

	begun := w.fetch(ctx, life)
	w.adoptNoMore()
	w.release(life, begun)
	w.drain(life)
	w.crew.close()
	err := w.flush(life, acked)
	stop()
	loops.Wait()
	w.leaveFigures(context.WithoutCancel(ctx))
	w.retire(context.WithoutCancel(ctx))
	w.log.InfoContext(ctx, "worker has stopped", keyWorker, w.o.ID)
	return err
}

// redisAnswered notes that Redis said something, STALE included.
func (w *Worker) redisAnswered() {
	w.redisOK.Store(true)
	w.redisAt.Store(time.Now().UnixNano())
}

func (w *Worker) postgresAnswered() { w.postgresAt.Store(time.Now().UnixNano()) }

// The keys of log lines.
const (
	keyWorker   = "worker_id"
	keyQueue    = "queue_name"
	keyKind     = "kind"
	keyJob      = "job_id"
	keyDispatch = "dispatch_id"
	keyEpoch    = "epoch"
	keyCount    = "count"
	keySlots    = "slots"
	keyOutcome  = "outcome"
	keyCall     = "call"
	keyError    = "error"
)
