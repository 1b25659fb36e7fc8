package pull

import (
	"context"
	"slices"
	"time"

	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/workers"
)

// desk hands out the jobs of one queue.
type desk struct {
	hub    *Hub
	queue  string
	demand *workers.Demand
	closed chan struct{} // closed: nobody has asked for a while
	hired  chan struct{} // closed: there is a worker
	worker *workers.Worker

	// Guarded by hub.mu.
	waiting []*waiter // who wants more, in the order in which they came
	leases  int
	asked   time.Time // when somebody last came or went
	opened  bool      // Run has it
}

// waiter is one request for jobs.
type waiter struct {
	client string
	max    int
	lease  time.Duration
	got    []*lease
	filled chan struct{} // something was handed over
}

// gather is how long a request waits for company of its first job: those of one take
// come within a millisecond.
const gather = 5 * time.Millisecond

// waitAtLeast is how long a request waits that does not want to: a take has to come back.
const waitAtLeast = 250 * time.Millisecond

// Work is the handler of the desk's worker: it hands j to whoever waits, and returns what
// became of it.
func (d *desk) Work(ctx context.Context, j *workers.Job) error {
	l := d.hub.adopted(j)
	if l == nil {
		l = d.hand(j)
	}
	if l == nil {
		d.demand.Add(1)
		return workers.ErrUnseen
	}
	return l.live(ctx)
}

// hand gives j to the first who wants a job; nil: nobody does. A job that may be a poison
// pill is all that its waiter gets.
func (d *desk) hand(j *workers.Job) *lease {
	h := d.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	i := slices.IndexFunc(d.waiting, func(w *waiter) bool { return !j.Alone || len(w.got) == 0 })
	if i < 0 {
		return nil
	}
	w := d.waiting[i]
	if j.Alone {
		d.demand.Add(1 - w.max)
		w.max = 1
	}
	l := newLease(d, j, job.LeaseName{QueueName: d.queue, Ref: j.Ref(), Length: w.lease})
	l.client = w.client
	w.got = append(w.got, l)
	h.holdLocked(l)
	if len(w.got) == w.max {
		d.waiting = slices.Delete(d.waiting, i, i+1)
	}
	w.poke()
	if h.live >= h.o.Leases {
		h.satisfyLocked()
	}
	return l
}

// holdLocked keeps a lease that begins.
func (h *Hub) holdLocked(l *lease) {
	h.leases[l.name.Ref] = l
	l.desk.leases++
	h.live++
	h.m.given.WithLabelValues(l.desk.queue).Inc()
}

// satisfyLocked has all who wait be content with what they have: the server may give no
// more. What is under way to them goes back.
func (h *Hub) satisfyLocked() {
	for _, d := range h.desks {
		for _, w := range d.waiting {
			d.demand.Add(len(w.got) - w.max)
			w.max = len(w.got)
			w.poke()
		}
		d.waiting = nil
	}
}

func (w *waiter) poke() {
	select {
	case w.filled <- struct{}{}:
	default:
	}
}

// enter has w wait.
func (d *desk) enterLocked(w *waiter) {
	d.waiting = append(d.waiting, w)
	d.asked = time.Now()
	d.hub.waiters++
	d.demand.Add(w.max)
}

// leave ends w's wait and returns what it got.
func (d *desk) leave(w *waiter) []*lease {
	h := d.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	h.waiters--
	d.asked = time.Now()
	if i := slices.Index(d.waiting, w); i >= 0 {
		d.waiting = slices.Delete(d.waiting, i, i+1)
		d.demand.Add(len(w.got) - w.max)
	}
	return w.got
}

// await returns when w has what it wants, or as much as there is, or for another reason
// has waited enough.
func (h *Hub) await(ctx context.Context, w *waiter, d time.Duration) {
	t := time.NewTimer(max(d, waitAtLeast))
	defer t.Stop()
	first := true
	for {
		select {
		case <-w.filled:
			if h.full(w) {
				return
			}
			if first {
				first = false
				t.Reset(gather)
			}
		case <-t.C:
			return
		case <-h.closing:
			return
		case <-ctx.Done():
			return
		}
	}
}

func (h *Hub) full(w *waiter) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(w.got) == w.max
}

// unsee gives back what no client has heard of.
func (h *Hub) unsee(leases []*lease) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range leases {
		l.endLocked(verbUnseen, workers.ErrUnseen)
	}
}

// leased is l as its client is to see it.
func (h *Hub) leased(l *lease, token string) job.LeasedJob {
	h.mu.Lock()
	defer h.mu.Unlock()
	j := l.job
	return job.LeasedJob{
		ID: j.ID, QueueName: l.desk.queue, Kind: j.Kind, Payload: j.Payload, Headers: j.Headers, Priority: j.Priority,
		AttemptCount: j.AttemptCount, FailureCount: j.FailureCount, MaxAttempts: j.MaxAttempts, Alone: j.Alone,
		RunAt: j.RunAt.UTC(), CreatedAt: j.CreatedAt.UTC(), LeaseID: l.name.ID(), LeaseToken: token, ExpiresAt: l.expires.UTC(),
	}
}
