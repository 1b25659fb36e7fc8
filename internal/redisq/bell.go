package redisq

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// maxWait is the longest that Wait waits, and that one BLPOP blocks: a token that
// got lost, or a connection that died silently, costs no more.
const maxWait = time.Second

// Wait returns those of queues whose bell rang, or none after d, at most a second. It
// has taken a token off the bell of each, which nobody else will hear: the caller
// takes from them. With d 0 or less it looks and takes no token: it returns at once
// all whose bells have one, and beside an error those it knows of.
//
// It returns ctx's error within milliseconds of ctx's end, and redis.ErrClosed when
// the client is closed. An error that wraps [job.ErrUnavailable] comes at once, again
// and again: the caller pauses between calls.
func (c *Client) Wait(ctx context.Context, queues []string, d time.Duration) (rang []string, err error) {
	names := make([]string, len(queues))
	for i, queue := range queues {
		k, err := keysOf(queue)
		if err != nil {
			return nil, fmt.Errorf("wait for queue %s: %w", queue, err)
		}
		names[i] = k.bell()
	}
	if d <= 0 {
		rang, err = c.look(ctx, names)
	} else {
		rang, err = c.bells.wait(ctx, names, min(d, maxWait))
	}
	for i, bell := range rang {
		rang[i] = queues[slices.Index(names, bell)]
	}
	if err != nil {
		return rang, fmt.Errorf("wait for jobs: %w", translate(err))
	}
	return rang, nil
}

// bells shares blocked connections among Waits. go-redis cannot interrupt a blocked
// call, so each is made by a listener, a goroutine of its own that outlives the
// Wait by at most a second. A listener blocks on one bell in a cluster (two bells
// are two slots), and else on all bells of one Wait; it ends when nobody waits for
// it any more. A token that nobody waits for goes back to its bell.
type bells struct {
	rdb     redis.UniversalClient // its own connections: a blocked one must not starve the others
	cluster bool
	log     *slog.Logger
	closed  chan struct{} // closed by close
	running sync.WaitGroup

	mu        sync.Mutex
	listeners map[string]*listener // by the bells it blocks on
}

func newBells(rdb redis.UniversalClient, log *slog.Logger) *bells {
	b := &bells{log: log, closed: make(chan struct{}), listeners: map[string]*listener{}}
	b.rdb, b.cluster = blocking(rdb)
	return b
}

// blocking returns a second client for the server of rdb.
func blocking(rdb redis.UniversalClient) (second redis.UniversalClient, cluster bool) {
	// One connection for each worker of a process, and in a cluster for each queue: they
	// are made when they are needed. With fewer, workers would wait for one another.
	const readTimeout, mostConns = 3 * maxWait, 1000
	switch c := rdb.(type) {
	case *redis.Client:
		o := *c.Options()
		o.ReadTimeout, o.MinIdleConns, o.PoolSize = readTimeout, 0, max(o.PoolSize, mostConns)
		return redis.NewClient(&o), false
	case *redis.ClusterClient:
		o := *c.Options()
		o.ReadTimeout, o.MinIdleConns, o.PoolSize = readTimeout, 0, max(o.PoolSize, mostConns)
		return redis.NewClusterClient(&o), true
	}
	return rdb, true // unknown: one bell a call is right everywhere
}

// wait returns the bells of which it has taken a token, or an error.
func (b *bells) wait(ctx context.Context, names []string, d time.Duration) (rang []string, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	ch := make(chan rung, 1) // a listener never blocks on a Wait that has just ended
	if err := b.join(ctx, ch, names); err != nil {
		return nil, err
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	var first, last rung
	select {
	case first = <-ch:
	case <-timer.C:
	case <-ctx.Done():
		err = ctx.Err()
	case <-b.closed:
		err = redis.ErrClosed
	}
	b.leave(ch)
	select { // another listener may have been quicker than leave
	case last = <-ch:
	default:
	}
	for _, r := range []rung{first, last} {
		if r.bell != "" {
			rang = append(rang, r.bell)
		}
	}
	if err != nil {
		for _, bell := range rang {
			b.restore(ctx, bell)
		}
		return nil, err
	}
	if len(rang) == 0 {
		err = cmp.Or(first.err, last.err)
	}
	return rang, err
}

// join makes ch hear of every bell in names.
func (b *bells) join(ctx context.Context, ch chan rung, names []string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.isClosed() {
		return redis.ErrClosed
	}
	if !b.cluster && len(names) > 0 {
		b.joinLocked(ctx, ch, slices.Clone(names))
		return nil
	}
	for i := range names {
		b.joinLocked(ctx, ch, names[i:i+1:i+1])
	}
	return nil
}

func (b *bells) joinLocked(ctx context.Context, ch chan rung, names []string) {
	name := strings.Join(names, " ")
	l := b.listeners[name]
	if l == nil {
		l = &listener{name: name, bells: names}
		b.listeners[name] = l
		b.running.Add(1)
		go b.listen(context.WithoutCancel(ctx), l) // it may outlive this Wait and serve others
	}
	l.waiters = append(l.waiters, ch)
}

func (b *bells) leave(ch chan rung) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.listeners {
		l.waiters = slices.DeleteFunc(l.waiters, func(w chan rung) bool { return w == ch })
	}
}

func (b *bells) isClosed() bool {
	select {
	case <-b.closed:
		return true
	default:
		return false
	}
}

// close ends every wait and waits for every listener: closing the connections
// ends what is blocked on them.
func (b *bells) close() error {
	b.mu.Lock()
	if b.isClosed() {
		b.mu.Unlock()
		return nil
	}
	close(b.closed)
	b.mu.Unlock()
	err := b.rdb.Close()
	b.running.Wait()
	return err
}
