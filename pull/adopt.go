package pull

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/workers"
)

// A client's next heartbeat may reach another server than the one that gave the lease:
// there is a load balancer between, or that server is gone. This one then becomes a
// holder of the attempt too:
//
//	Postgres says that it is under way ─▶ a worker of its queue adopts it ─▶ its lease in
//	Redis is renewed from here as well ─▶ a lease of its own, as long as the id says
//
// While both servers live both renew, each as long as the client is heard there. What the
// client says of the attempt it may say to either: the fence in Postgres takes it once,
// and the other's lease in Redis is found gone. With Redis away the attempt is held in
// Postgres by one of them, and only that one can extend it: a second holder whose lease is
// not fresh any more sends the client there.

// adoptTime is how long an adoption is tried: the worker of a queue that nobody has asked
// for here must first come to know its epoch.
const adoptTime = 2 * time.Second

// adoption is one that is under way.
type adoption struct {
	lease *lease
	begun chan struct{} // closed: its handler was called
	over  chan struct{} // closed: it has ended, well or not
}

// adopt has this server keep a lease alive that another gave, or that has ended here,
// for d from now; 0: as long as its id says. by is the client, if known. Errors: [job.ErrLeaseLost], the attempt is over;
// [job.ErrCancelled], it was called off; [job.ErrLeaseElsewhere]; those of [Hub.Lease];
// and [job.ErrUnavailable], it cannot be known or done now.
func (h *Hub) adopt(ctx context.Context, name job.LeaseName, d time.Duration, by string) (until time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, adoptTime)
	defer cancel()
	for {
		until, err = h.adoptOnce(ctx, name, d, by)
		if !errors.Is(err, job.ErrUnavailable) {
			break
		}
		select {
		case <-time.After(50 * time.Millisecond):
			continue
		case <-ctx.Done():
		}
		break
	}
	h.m.adopted.WithLabelValues(adoptedOf(err)).Inc()
	return until, err
}

func adoptedOf(err error) string {
	switch {
	case err == nil:
		return "adopted"
	case errors.Is(err, job.ErrLeaseLost), errors.Is(err, job.ErrCancelled):
		return "over"
	}
	return "failed"
}

func (h *Hub) adoptOnce(ctx context.Context, name job.LeaseName, d time.Duration, by string) (until time.Time, err error) {
	s, err := h.store.LeaseStanding(ctx, name.Ref)
	switch {
	case errors.Is(err, job.ErrNotFound): // deleted meanwhile
		return until, job.ErrLeaseLost
	case err != nil:
		return until, fmt.Errorf("adopt lease: %w", err)
	case s.Ours && s.Job.Status == job.Cancelled:
		return until, job.ErrCancelled
	case !s.Current():
		return until, job.ErrLeaseLost
	case s.Moved:
		return until, job.ErrLeaseElsewhere
	}
	a, mine, err := h.beginAdoption(name, d, by)
	switch {
	case err != nil:
		return until, err
	case a == nil: // it lives here meanwhile
		return h.extendHere(name, d)
	case !mine:
		select {
		case <-a.over:
			return until, fmt.Errorf("adopt lease: somebody else has: %w", job.ErrUnavailable) // asked again, it is here
		case <-ctx.Done():
			return until, fmt.Errorf("adopt lease: %w: %w", job.ErrUnavailable, ctx.Err())
		}
	}
	defer h.endAdoption(name.Ref, a)
	w, err := h.workerOf(ctx, a.lease.desk)
	if err != nil {
		return until, err
	}
	if err := w.Adopt(ctx, envelopeOf(s.Job)); err != nil {
		return until, err
	}
	<-a.begun // the worker calls the handler next
	h.mu.Lock()
	defer h.mu.Unlock()
	return a.lease.expires, nil
}

// beginAdoption notes that a lease is being adopted. mine: by the caller; else by somebody
// else, or with a nil adoption nobody, because it lives.
func (h *Hub) beginAdoption(name job.LeaseName, d time.Duration, by string) (a *adoption, mine bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if l := h.leases[name.Ref]; l != nil && l.end == "" {
		return nil, false, nil
	}
	if a := h.adopting[name.Ref]; a != nil {
		return a, false, nil
	}
	if h.live+len(h.adopting) >= h.o.Leases {
		return nil, false, job.ErrTooManyLeases
	}
	desk, err := h.deskLocked(name.QueueName)
	if err != nil {
		return nil, false, err
	}
	desk.asked = time.Now()
	l := newLease(desk, nil, name)
	l.adopted, l.extended, l.client = true, true, by
	if d > 0 {
		l.expires, l.span = time.Now().Add(d), max(l.span, d)
	}
	a = &adoption{lease: l, begun: make(chan struct{}), over: make(chan struct{})}
	h.adopting[name.Ref] = a
	return a, true, nil
}

func (h *Hub) endAdoption(ref job.Ref, a *adoption) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.adopting[ref] == a {
		delete(h.adopting, ref)
	}
	close(a.over)
}

// adopted returns the lease whose adoption has made j, or nil.
func (h *Hub) adopted(j *workers.Job) *lease {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.adopting[j.Ref()]
	if a == nil {
		return nil
	}
	delete(h.adopting, j.Ref())
	l := a.lease
	l.job = j
	h.holdLocked(l)
	close(a.begun)
	return l
}

// workerOf returns the worker of d, which may be yet to be run.
func (h *Hub) workerOf(ctx context.Context, d *desk) (*workers.Worker, error) {
	if err := h.awaitRun(ctx); err != nil {
		return nil, err
	}
	h.open(d)
	select {
	case <-d.hired:
		return d.worker, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("adopt lease: %w: %w", job.ErrUnavailable, ctx.Err())
	}
}

// envelopeOf is j's present attempt, as whoever took it had it, without the payload.
func envelopeOf(j job.Job) *job.Envelope {
	e := &job.Envelope{
		ID: j.ID, DispatchID: j.DispatchID, AttemptCount: j.AttemptCount, QueueName: j.QueueName, Kind: j.Kind, Priority: j.Priority,
		MaxAttempts: j.MaxAttempts, FailureCount: j.FailureCount, LostCount: j.LostCount, CreatedAt: j.CreatedAt, RunAt: j.RunAt,
	}
	if j.DispatchedAt != nil {
		e.DispatchedAt = *j.DispatchedAt
	}
	return e
}
