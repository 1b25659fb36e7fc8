package dashboard

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/penguinmails/rookery/job"
)

const (
	pulseKept  = time.Second     // how long a glance answers further questions
	trailSteps = 60              // samples of a sparkline
	trailPause = 5 * time.Second // between two samples, at least
)

// pulse is what most pages show, read at most once a second however many people
// look, and what it was over the last minutes in which anybody looked.
type pulse struct {
	house House

	mu      sync.Mutex
	last    glance
	err     error     // of the last look
	until   time.Time // by the monotonic clock
	trail   []sample
	version int64 // counts changes
}

// glance is the state of the house at one moment.
type glance struct {
	Queues    []job.QueueStats
	Processes []job.ProcessState
	Dead      int64
	Trail     []sample
	version   int64
}

// sample is what a sparkline keeps of a glance.
type sample struct {
	at                                  time.Time
	ready, scheduled, out, dead, leased int64
}

// look returns a glance that is at most a second old, or the error of one: whoever
// comes while Postgres is away does not ask it again at once. Others may wait for it,
// so it does not end with the context of the one who asked.
func (p *pulse) look(ctx context.Context) (glance, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Now().Before(p.until) {
		return p.last, p.err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
	defer cancel()
	g, err := p.read(ctx)
	if err == nil {
		p.noteLocked(&g)
		p.last = g
	}
	p.err, p.until = err, time.Now().Add(pulseKept)
	return p.last, err
}

// read asks for everything at once: each answer is another's wait for Postgres or Redis.
func (p *pulse) read(ctx context.Context) (g glance, err error) {
	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() (err error) {
		if g.Queues, err = p.house.Queues(ctx); err != nil {
			return fmt.Errorf("read queues: %w", err)
		}
		return nil
	})
	all.Go(func() (err error) {
		if g.Processes, err = p.house.Processes(ctx, ""); err != nil {
			return fmt.Errorf("read processes: %w", err)
		}
		return nil
	})
	all.Go(func() (err error) {
		if g.Dead, err = p.house.CountDead(ctx, nil); err != nil {
			return fmt.Errorf("count dead jobs: %w", err)
		}
		return nil
	})
	return g, all.Wait()
}

// noteLocked adds g to the trail and sees whether anything has changed.
func (p *pulse) noteLocked(g *glance) {
	s := sample{at: time.Now(), dead: g.Dead}
	for _, q := range g.Queues {
		s.ready, s.scheduled, s.out = s.ready+q.Ready, s.scheduled+q.Scheduled, s.out+q.Out
		if q.Window != nil {
			s.leased += q.Window.Leased
		}
	}
	if n := len(p.trail); n == 0 || s.at.Sub(p.trail[n-1].at) >= trailPause {
		// A new slice: pages that show the old one read on in it.
		p.trail = append(append([]sample{}, p.trail[max(0, n-trailSteps+1):]...), s)
	}
	if !g.like(p.last) {
		p.version++
	}
	g.Trail, g.version = p.trail, p.version
}

// figures are queues without the clocks that change by themselves.
func figures(queues []job.QueueStats) []job.QueueStats {
	out := make([]job.QueueStats, len(queues))
	for i, q := range queues {
		q.EpochAge = 0
		if q.Window != nil {
			w := *q.Window
			w.Now, w.OldestEnd = 0, 0
			q.Window = &w
		}
		out[i] = q
	}
	return out
}

// redisAway reports whether Redis did not answer.
func (g glance) redisAway() bool {
	for _, q := range g.Queues {
		if q.Window != nil {
			return false
		}
	}
	return len(g.Queues) > 0
}

// alive counts the processes of a role that were heard of within [job.Alive].
func (g glance) alive(role string) int {
	n := 0
	for _, p := range g.Processes {
		if p.Role == role && p.Alive() {
			n++
		}
	}
	return n
}

// serving returns the live workers of a queue, and whether that is known: which queues
// a worker serves stands in Redis alone.
func (g glance) serving(queue string) (workers, slots, busy int, known bool) {
	known = !g.redisAway()
	for _, p := range g.Processes {
		if p.Role != "worker" || !p.Alive() {
			continue
		}
		for _, name := range p.Queues {
			if name == queue {
				workers, slots, busy = workers+1, slots+p.Slots, busy+len(p.Running)
			}
		}
	}
	return workers, slots, busy, known
}

func (g glance) queue(name string) (job.QueueStats, bool) {
	for _, q := range g.Queues {
		if q.Name == name {
			return q, true
		}
	}
	return job.QueueStats{}, false
}

// forget has the next look read anew: somebody has changed something and wants to see it.
func (p *pulse) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.until = time.Time{}
}
