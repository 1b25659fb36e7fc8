package pull

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/workers"
)

// Store is Postgres, for what the workers do not do.
type Store interface {
	Attempts
	Callers
}

// Callers is the list of those who ask for jobs, for people.
type Callers interface {
	// BeatClients says who came to a server lately, and returns those that are to be quiet.
	BeatClients(ctx context.Context, server string, clients []job.Client) (quiet []string, err error)
	// ForgetClients forgets who was silent for an hour.
	ForgetClients(ctx context.Context) error
}

// Attempts is what became of those that are leased, and what proves a lease.
type Attempts interface {
	// Reconcile is as in [workers.Outcomes].
	Reconcile(ctx context.Context, workerID string, outcomes []job.Outcome) ([]job.Verdict, error)
	// LeaseStanding returns what became of an attempt, or [job.ErrNotFound].
	LeaseStanding(ctx context.Context, ref job.Ref) (job.LeaseStanding, error)
	// SealKeys returns the keys that tokens are made with.
	SealKeys(ctx context.Context) ([]job.SealKey, error)
}

// Hire makes the worker of a queue: h gets every job of it, without a timeout.
type Hire func(queue string, h workers.Handler, o workers.Options) (*workers.Worker, error)

// Options of a [Hub]. The zero value works.
type Options struct {
	ID           string        // begins the ids of the hub's workers; "" means pull-random
	Waiters      int           // requests that may wait; 0 means 1,000
	QueueWaiters int           // of those, for one queue; 0 means 250
	Leases       int           // that clients may have; 0 means 5,000
	Queues       int           // that may be asked for within a minute; 0 means 100
	DrainTime    time.Duration // for leases at shutdown; 0 means 10 s, negative none

	Registerer prometheus.Registerer // nil: metrics are kept but not registered
	Logger     *slog.Logger          // nil: nothing is logged
}

// idleTime is how long a queue's worker outlives the last client.
const idleTime = time.Minute

// runTime is how long a request waits for Run to begin.
const runTime = time.Second

// Hub hands jobs to clients. Its methods may be called at once from many goroutines.
type Hub struct {
	store   Store
	hire    Hire
	o       Options
	m       *metrics
	keys    *keyring
	opening chan *desk    // to Run
	running chan struct{} // closed when Run begins
	closing chan struct{} // closed when Run is told to end

	mu       sync.Mutex // guards what follows, and what says so of desks and leases
	desks    map[string]*desk
	leases   map[job.Ref]*lease // those that live, and those in ended
	adopting map[job.Ref]*adoption
	clients  map[string]*client // by worker_id
	ended    []*lease           // in order of their end
	live     int
	waiters  int
	serial   int
}

// New returns a hub. Until [Hub.Run] is called nobody gets a job.
func New(store Store, hire Hire, o Options) (*Hub, error) {
	if o.ID == "" {
		o.ID = fmt.Sprintf("pull-%x", job.NewDispatchID())
	}
	for v, d := range map[*int]int{&o.Waiters: 1000, &o.QueueWaiters: 250, &o.Leases: 5000, &o.Queues: 100} {
		if *v == 0 {
			*v = d
		}
	}
	if o.DrainTime == 0 {
		o.DrainTime = 10 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	h := &Hub{
		store: store, hire: hire, o: o, keys: &keyring{read: store.SealKeys}, opening: make(chan *desk), running: make(chan struct{}), closing: make(chan struct{}),
		desks: map[string]*desk{}, leases: map[job.Ref]*lease{}, adopting: map[job.Ref]*adoption{}, clients: map[string]*client{},
	}
	var err error
	if h.m, err = newMetrics(o.Registerer, h); err != nil {
		return nil, fmt.Errorf("new hub: %w", err)
	}
	return h, nil
}

// Run hands out jobs until ctx ends. Then requests that wait are answered with nothing,
// and leases live on for Options.DrainTime; those that are left go back to their queues,
// and no failure is counted. It takes at most DrainTime and about 5 s more, and may be
// called once.
func (h *Hub) Run(ctx context.Context) error {
	close(h.running)
	var working sync.WaitGroup
	defer working.Wait()
	working.Go(func() { h.tellClients(ctx) })
	t := time.NewTicker(idleTime / 4)
	defer t.Stop()
	for {
		select {
		case d := <-h.opening:
			working.Go(func() { h.work(ctx, d) })
		case now := <-t.C:
			h.closeIdle(now)
		case <-ctx.Done():
			close(h.closing)
			return nil
		}
	}
}

// work runs the worker of d until nobody wants its jobs any more.
func (h *Hub) work(ctx context.Context, d *desk) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	h.mu.Lock()
	h.serial++
	id := fmt.Sprintf("%s-%d", h.o.ID, h.serial)
	h.mu.Unlock()
	w, err := h.hire(d.queue, workers.HandlerFunc(d.Work), workers.Options{
		ID: id, Queues: []workers.QueueWeight{{Name: d.queue}}, Concurrency: h.o.Leases, DrainTime: h.o.DrainTime, Demand: d.demand,
		Judged:     func(j *workers.Job, now job.Status) { h.judge(j, now) },
		Registerer: prometheus.NewRegistry(), // its figures are those of one queue: the hub has its own
	})
	if err == nil {
		d.worker = w
		close(d.hired)
		go func() { // ends with ctx, and so before work does
			select {
			case <-d.closed:
				stop()
			case <-ctx.Done():
			}
		}()
		err = w.Run(ctx)
	}
	if err != nil {
		h.o.Logger.ErrorContext(ctx, "worker of clients has ended", keyQueue, d.queue, keyError, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.desks[d.queue] == d {
		delete(h.desks, d.queue)
	}
}

// The keys of log lines.
const (
	keyQueue = "queue_name"
	keyError = "error"
)

// closeIdle ends the workers of queues that nobody has asked for in a while.
func (h *Hub) closeIdle(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, d := range h.desks {
		if len(d.waiting) == 0 && d.leases == 0 && now.Sub(d.asked) >= idleTime {
			delete(h.desks, name)
			close(d.closed)
		}
	}
	h.forgetLocked(now)
}

// Lease waits for jobs and returns them with their leases; none when there were none in
// time, or the server is stopping. Errors are [job.ErrTooManyWaiters],
// [job.ErrTooManyLeases], [job.ErrTooManyQueues], [job.ErrNotRun], those of Postgres, and that of ctx:
// then nothing was leased.
func (h *Hub) Lease(ctx context.Context, r job.LeaseRequest) ([]job.LeasedJob, error) {
	keys, err := h.keys.get(ctx)
	if err != nil {
		return nil, fmt.Errorf("lease: %w", err)
	}
	if err := h.awaitRun(ctx); err != nil {
		return nil, err
	}
	if h.hear(r.Caller, r.QueueName, true) { // it is to lease no more
		return nil, h.idle(ctx, r.Wait)
	}
	w := &waiter{client: r.WorkerID, max: r.Max, lease: r.Lease, filled: make(chan struct{}, 1)}
	d, err := h.enter(r.QueueName, w)
	if err != nil {
		return nil, err
	}
	h.open(d)
	h.await(ctx, w, r.Wait)
	got := d.leave(w)
	if err := ctx.Err(); err != nil {
		h.unsee(got)
		return nil, err
	}
	// In order of urgency, as they were taken.
	slices.SortStableFunc(got, func(a, b *lease) int { return int(a.job.Priority) - int(b.job.Priority) })
	jobs := make([]job.LeasedJob, 0, len(got))
	for _, l := range got {
		t, err := h.keys.sign(keys, l.name.ID())
		if err != nil {
			h.unsee(got)
			return nil, fmt.Errorf("lease: %w", err)
		}
		jobs = append(jobs, h.leased(l, t))
	}
	return jobs, nil
}

// idle has a quiet client wait for nothing, as one of those that may wait.
func (h *Hub) idle(ctx context.Context, d time.Duration) error {
	h.mu.Lock()
	full := h.waiters >= h.o.Waiters
	if !full {
		h.waiters++
	}
	h.mu.Unlock()
	if full {
		return job.ErrTooManyWaiters
	}
	h.await(ctx, &waiter{}, d)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.waiters--
	return ctx.Err()
}

// awaitRun returns when Run hands out jobs, which it is given a moment to begin with.
// [job.ErrNotRun]: nobody calls it, as of a handler that somebody else serves.
func (h *Hub) awaitRun(ctx context.Context) error {
	t := time.NewTimer(runTime)
	defer t.Stop()
	select {
	case <-h.running:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return job.ErrNotRun
	}
}

// open has Run put a worker to d, unless it has.
func (h *Hub) open(d *desk) {
	h.mu.Lock()
	opened := d.opened
	d.opened = true
	h.mu.Unlock()
	if opened {
		return
	}
	select {
	case h.opening <- d:
	case <-h.closing:
	}
}

// enter has w wait for jobs of a queue.
func (h *Hub) enter(queue string, w *waiter) (*desk, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	d := h.desks[queue]
	w.max = min(w.max, h.o.Leases-h.live)
	switch {
	case h.waiters >= h.o.Waiters, d != nil && len(d.waiting) >= h.o.QueueWaiters:
		return nil, job.ErrTooManyWaiters
	case w.max <= 0:
		return nil, job.ErrTooManyLeases
	}
	d, err := h.deskLocked(queue)
	if err == nil {
		d.enterLocked(w)
	}
	return d, err
}

// deskLocked returns the desk of a queue.
func (h *Hub) deskLocked(queue string) (*desk, error) {
	if d := h.desks[queue]; d != nil {
		return d, nil
	}
	if len(h.desks) >= h.o.Queues {
		return nil, job.ErrTooManyQueues
	}
	d := &desk{hub: h, queue: queue, demand: workers.NewDemand(), closed: make(chan struct{}), hired: make(chan struct{})}
	h.desks[queue] = d
	return d, nil
}
