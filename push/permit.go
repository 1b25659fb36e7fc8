package push

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/penguinmails/rookery/job"
)

// Permits counts the requests of all push workers together: Redis.
type Permits interface {
	// Permit lets a request leave under an id, or says when the rate will; 0: as many as
	// may are under way.
	Permit(ctx context.Context, queue, id string, l job.PushLimits) (ok bool, wait time.Duration, err error)
	// GiveBack ends a permit.
	GiveBack(ctx context.Context, queue, id string) error
	// Attend renews what worker has, and says which of how many of the queue it is.
	Attend(ctx context.Context, queue, worker string, lease time.Duration, ids []string) (place, of int, err error)
}

const (
	permitLease = 15 * time.Second      // a worker that is killed keeps its permits for so long
	attendEvery = permitLease / 3       // two may fail
	permitTime  = time.Second           // for one call to Redis
	blindTime   = 2 * time.Second       // after one that failed
	permitEvery = 50 * time.Millisecond // to 150: who waits for other processes asks again
	mostWait    = time.Second           // until the endpoint is looked at again
)

// permits has the requests of one queue keep to the endpoint's limits over all push
// workers. The gate before it has this process's own: what the receiver said.
//
// While Redis is away nobody counts, and each process keeps to its share: the limits
// divided by the processes that there were. So the sum stands as long as none is added.
// One that never heard of others, because it began with Redis away, has all of it.
type permits struct {
	shared Permits // nil: each process has the limits for itself
	queue  string
	worker string // this process
	log    *slog.Logger
	tell   func(of int) // how many processes there are, each time that Redis has said it

	mu        sync.Mutex // guards what follows
	held      map[string]bool
	serial    int
	place, of int       // among the processes of the queue, as last heard
	blind     time.Time // until then Redis is not asked
	next      time.Time // when the next may leave, by the share of the rate
	news      chan struct{}
}

func newPermits(shared Permits, queue, worker string, log *slog.Logger, tell func(of int)) *permits {
	return &permits{shared: shared, queue: queue, worker: worker, log: log, tell: tell, held: map[string]bool{}, of: 1, news: make(chan struct{})}
}

// enter waits until a request may leave, and returns the permit, to be given back. limits
// is asked anew each time. The error is errClosed, or the cause of ctx's end.
func (p *permits) enter(ctx context.Context, limits func() (job.PushLimits, bool)) (id string, err error) {
	if p == nil || p.shared == nil {
		return "", nil
	}
	p.mu.Lock()
	p.serial++
	id = p.worker + "-" + strconv.Itoa(p.serial)
	p.mu.Unlock()
	for {
		l, open := limits()
		if !open {
			return "", errClosed
		}
		p.mu.Lock()
		news := p.news
		p.mu.Unlock()
		ok, wait := p.try(ctx, id, l)
		if ok {
			return id, nil
		}
		if wait <= 0 { // who of many asks first is left to chance
			wait = permitEvery + rand.N(2*permitEvery)
		}
		if err := await(ctx, news, min(wait, mostWait)); err != nil {
			return "", err
		}
	}
}

// try asks Redis or, while that is away, the process's own share.
func (p *permits) try(ctx context.Context, id string, l job.PushLimits) (ok bool, wait time.Duration) {
	p.mu.Lock()
	blind, back := time.Now().Before(p.blind), !p.blind.IsZero()
	p.mu.Unlock()
	if !blind && back { // what left meanwhile is not counted in Redis yet
		blind = !p.renew(ctx)
	}
	if !blind {
		asking, stop := context.WithTimeout(ctx, permitTime)
		ok, wait, err := p.shared.Permit(asking, p.queue, id, l)
		stop()
		if err == nil {
			p.mu.Lock()
			defer p.mu.Unlock()
			if ok {
				p.held[id] = true
			}
			return ok, wait
		}
		if ctx.Err() != nil { // Redis may have counted it all the same
			p.giveBack(ctx, id)
			return false, 0
		}
		p.blinded(ctx, err)
	}
	return p.share(id, l, time.Now())
}

// blinded has Redis not asked for a while.
func (p *permits) blinded(ctx context.Context, err error) {
	p.mu.Lock()
	first := p.blind.IsZero()
	p.blind = time.Now().Add(blindTime)
	p.mu.Unlock()
	if first {
		p.log.WarnContext(ctx, "requests are not counted over all push workers, each keeps to its share", keyQueue, p.queue, keyError, err)
	}
}

// share lets a request leave if fewer are under way than are this process's share.
func (p *permits) share(id string, l job.PushLimits, now time.Time) (ok bool, wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	mine := shareOf(l.MaxInFlight, p.place, p.of)
	switch {
	case len(p.held) >= mine:
		return false, 0
	case l.RatePerSecond > 0 && p.next.After(now):
		return false, p.next.Sub(now)
	}
	if l.RatePerSecond > 0 {
		rate := l.RatePerSecond * float64(mine) / float64(l.MaxInFlight)
		p.next = now.Add(time.Duration(float64(time.Second) / rate))
	}
	p.held[id] = true
	return true, 0
}

// shareOf divides n among so many; the first have what is left over, so that the shares
// add up to n, though some be 0.
func shareOf(n, place, of int) int {
	of = max(of, 1)
	mine := n / of
	if place < n%of {
		mine++
	}
	return mine
}

// leave gives a permit back. One that Redis does not hear of ends by itself.
func (p *permits) leave(ctx context.Context, id string) {
	if id == "" {
		return
	}
	p.mu.Lock()
	delete(p.held, id)
	blind := time.Now().Before(p.blind)
	p.mu.Unlock()
	if !blind {
		p.giveBack(ctx, id)
	}
	p.mu.Lock()
	close(p.news)
	p.news = make(chan struct{})
	p.mu.Unlock()
}

func (p *permits) giveBack(ctx context.Context, id string) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), permitTime)
	defer stop()
	if err := p.shared.GiveBack(ctx, p.queue, id); err != nil {
		p.blinded(ctx, err)
	}
}

// attend keeps the permits alive until ctx ends.
func (p *permits) attend(ctx context.Context) {
	if p == nil || p.shared == nil {
		return
	}
	for {
		p.renew(ctx)
		if await(ctx, nil, attendEvery) != nil {
			return
		}
	}
}

// renew tells Redis what this process has, and reports whether it was heard.
func (p *permits) renew(ctx context.Context) bool {
	p.mu.Lock()
	ids := make([]string, 0, len(p.held))
	for id := range p.held {
		ids = append(ids, id)
	}
	p.mu.Unlock()
	asking, stop := context.WithTimeout(ctx, permitTime)
	defer stop()
	place, of, err := p.shared.Attend(asking, p.queue, p.worker, permitLease, ids)
	if err != nil {
		if ctx.Err() == nil {
			p.blinded(ctx, err)
		}
		return false
	}
	p.mu.Lock()
	p.place, p.of, p.blind = place, of, time.Time{}
	p.tell(of)
	ids = slices.DeleteFunc(ids, func(id string) bool { return p.held[id] })
	p.mu.Unlock()
	for _, id := range ids { // it was given back meanwhile, and perhaps before this renewed it
		p.giveBack(ctx, id)
	}
	return true
}
