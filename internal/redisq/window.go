package redisq

import (
	"context"
	"errors"
	"fmt"

	"github.com/penguinmails/rookery/job"
	"github.com/redis/go-redis/v9"
)

// OpenEpoch begins an epoch of a queue in Redis: waiting copies, bell, batches and
// cancelled are thrown away, leases and lost are kept. It returns the epoch Redis
// holds afterwards. The epoch that this very Redis process holds already is opened
// by doing nothing; a higher one, or the same one of another process, is a
// [*job.StaleError] with that epoch, which is returned too. Epochs begin with 1.
func (c *Client) OpenEpoch(ctx context.Context, queue string, epoch int64, paused bool) (int64, error) {
	s := &c.scripts.open
	k, err := keysOf(queue)
	if err == nil && epoch < 1 {
		err = fmt.Errorf("epoch is %d, must be at least 1", epoch)
	}
	if err == nil {
		err = c.mayPush(ctx)
	}
	if err != nil {
		return 0, wrap(s, queue, err)
	}
	names := []string{k.meta(), k.high(), k.normal(), k.low(), k.bell(), k.batches(), k.cancelled()}
	_, err = c.run(ctx, s, names, []any{epoch, flag(paused)})
	var stale *job.StaleError
	switch {
	case errors.As(err, &stale):
		return stale.Epoch, wrap(s, queue, err)
	case err != nil:
		return 0, wrap(s, queue, err)
	}
	return epoch, nil
}

// Census copies what Redis must know of a queue (whether it is paused, and which
// batches it may forget) and returns its Window. Un-pausing rings the bell when
// jobs wait. Errors: a [*job.StaleError], [job.ErrBehind] (Redis has accepted fewer
// batches than q.KnownSeq: nothing was changed), [job.ErrUnavailable].
func (c *Client) Census(ctx context.Context, q job.Census) (job.Window, error) {
	s := &c.scripts.census
	k, err := keysOf(q.QueueName)
	if err == nil {
		err = c.mayPush(ctx)
	}
	if err != nil {
		return job.Window{}, wrap(s, q.QueueName, err)
	}
	args := make([]any, 0, 3+len(q.Forget))
	args = append(args, q.Epoch, q.KnownSeq, flag(q.Paused))
	for _, id := range q.Forget {
		args = append(args, id)
	}
	r, err := c.run(ctx, s, append(k.counted(), k.bell(), k.batches()), args)
	if err != nil {
		return job.Window{}, wrap(s, q.QueueName, err)
	}
	return windowOf(r), nil
}

// Depths returns the Window of each queue, whatever its epoch and its Redis
// process: it is for looking, not for deciding. A queue that was never opened has
// the zero Window, apart from Now. The error wraps [job.ErrUnavailable] when Redis
// does not answer.
func (c *Client) Depths(ctx context.Context, queues []string) (map[string]job.Window, error) {
	windows := make(map[string]job.Window, len(queues))
	if len(queues) == 0 {
		return windows, nil
	}
	s, asked := &c.scripts.depths, make([]*redis.Cmd, len(queues))
	pipe := c.rdb.Pipeline()
	names := make([][]string, len(queues))
	for i, queue := range queues {
		k, err := keysOf(queue)
		if err != nil {
			return nil, wrap(s, queue, err)
		}
		names[i] = k.counted()
		asked[i] = pipe.EvalSha(ctx, s.sha, names[i])
	}
	// The error of Exec is that of one of the commands, and each is looked at below.
	_, _ = pipe.Exec(ctx)
	for i, queue := range queues {
		values, err := asked[i].Slice()
		r := reply(values)
		if redis.HasErrorPrefix(err, "NOSCRIPT") {
			r, err = c.run(ctx, s, names[i], nil) // loads it on this node
		} else if err == nil {
			err = refusal(r)
		} else {
			err = translate(err)
		}
		if err != nil {
			return nil, wrap(s, queue, err)
		}
		windows[queue] = windowOf(r)
	}
	return windows, nil
}

// mayPush keeps a relay that cannot seal from claiming: without an open epoch and a
// depth it has no credit. A client that only looks is let through.
func (c *Client) mayPush(ctx context.Context) error {
	if c.seals.read == nil {
		return nil
	}
	_, err := c.seals.keys(ctx)
	return err
}

// counted are the keys lua/window.lua counts.
func (k keys) counted() []string {
	return []string{k.meta(), k.high(), k.normal(), k.low(), k.leases(), k.lost()}
}

func windowOf(r reply) job.Window {
	return job.Window{
		Epoch: r.number(1), Seq: r.number(2), Paused: r.text(3) == "1",
		Waiting: [3]int64{job.High: r.number(4), job.Normal: r.number(5), job.Low: r.number(6)},
		Leased:  r.number(7), Lost: r.number(8), OldestEnd: r.number(9), Now: r.number(10),
	}
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}
