package redisq

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/penguinmails/rookery/job"
	"github.com/redis/go-redis/v9"
)

// listener blocks on bells for those who wait for one of them.
type listener struct {
	name    string
	bells   []string
	waiters []chan rung
}

// rung is what a listener heard: a token of a bell, or an error.
type rung struct {
	bell string
	err  error
}

func (b *bells) listen(ctx context.Context, l *listener) {
	defer b.running.Done()
	for {
		r := b.pop(ctx, l.bells)
		heard, more := b.deliver(l, r)
		if r.bell != "" && !heard {
			b.giveBack(ctx, r.bell)
		}
		if !more {
			return
		}
	}
}

// pop blocks until a bell rings, for at most a second.
func (b *bells) pop(ctx context.Context, names []string) rung {
	words := []any{"blpop"}
	for _, name := range names {
		words = append(words, name)
	}
	cmd := redis.NewCmd(ctx, append(words, int(maxWait/time.Second))...)
	err := b.rdb.Process(ctx, once{cmd})
	if errors.Is(err, redis.Nil) {
		return rung{}
	}
	pair, _ := cmd.Slice()
	return rung{bell: reply(pair).text(0), err: err}
}

// deliver gives a token to one Wait and an error to all, and says whether anybody
// heard it, and whether the listener is to go on.
func (b *bells) deliver(l *listener, r rung) (heard, more bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(l.waiters) > 0 && (r.err != nil || r.bell != "" && !heard) {
		select {
		case l.waiters[0] <- r:
			heard = true
		default: // another bell has woken it already
		}
		l.waiters = l.waiters[1:]
	}
	if len(l.waiters) == 0 || b.isClosed() {
		delete(b.listeners, l.name)
		return heard, false
	}
	return heard, true
}

// restore gives a token back without keeping the caller waiting.
func (b *bells) restore(ctx context.Context, bell string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.isClosed() {
		return
	}
	b.running.Add(1)
	go func() {
		defer b.running.Done()
		b.giveBack(context.WithoutCancel(ctx), bell)
	}()
}

// giveBack lets another process hear of a token that nobody here waits for. A bell
// without jobs behind it does no harm: the next take removes it.
func (b *bells) giveBack(ctx context.Context, bell string) {
	ctx, cancel := context.WithTimeout(ctx, maxWait)
	defer cancel()
	err := b.rdb.RPush(ctx, bell, 1).Err()
	if err = translate(err); err != nil && !errors.Is(err, job.ErrUnavailable) && !errors.Is(err, redis.ErrClosed) {
		b.log.WarnContext(ctx, "token not given back to its bell", "error", err)
	}
}

// look returns the bells that have a token. Where one command may name several keys,
// one asks whether there is any: mostly there is none.
func (c *Client) look(ctx context.Context, names []string) (rang []string, err error) {
	if len(names) == 0 {
		return nil, nil
	}
	if !c.bells.cluster {
		n, err := c.rdb.Exists(ctx, names...).Result()
		if err != nil || n == 0 {
			return nil, err
		}
	}
	pipe := c.rdb.Pipeline()
	asked := make([]*redis.IntCmd, len(names))
	for i, name := range names {
		asked[i] = pipe.Exists(ctx, name)
	}
	// The error of Exec is that of one of the commands, and each is looked at below.
	_, _ = pipe.Exec(ctx)
	for i, cmd := range asked {
		n, failed := cmd.Result()
		if n > 0 {
			rang = append(rang, names[i])
		}
		err = cmp.Or(err, failed)
	}
	return rang, err
}
