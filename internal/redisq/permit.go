package redisq

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/penguinmails/rookery/job"
)

// rateMemory is how long the last request of a queue is remembered: longer than the
// slowest rate, one in 100 s.
const rateMemory = 2 * time.Minute

// Permit lets one request to a queue's endpoint leave, under an id of its own, if the
// limits of all push workers together allow it. Else wait says when the rate will; 0:
// as many as may are under way. A permit that is not renewed ends after lease, on Redis'
// clock. The error wraps [job.ErrUnavailable]: the permit may have been given, and may
// be asked for again.
func (c *Client) Permit(ctx context.Context, queue, id string, l job.PushLimits) (ok bool, wait time.Duration, err error) {
	s := &c.scripts.permit
	k, err := keysOf(queue)
	if err != nil {
		return false, 0, wrap(s, queue, err)
	}
	gap := int64(0)
	if l.RatePerSecond > 0 {
		gap = int64(float64(time.Second/time.Microsecond) / l.RatePerSecond)
	}
	r, err := c.run(ctx, s, []string{k.pushing(), k.permits()}, []any{id, l.MaxInFlight, gap, l.Lease.Milliseconds(), rateMemory.Milliseconds()})
	if err != nil {
		return false, 0, wrap(s, queue, err)
	}
	return r.number(1) == 1, time.Duration(r.number(2)) * time.Millisecond, nil
}

// GiveBack ends a permit.
func (c *Client) GiveBack(ctx context.Context, queue, id string) error {
	k, err := keysOf(queue)
	if err == nil {
		err = translate(c.rdb.ZRem(ctx, k.permits(), id).Err())
	}
	if err != nil {
		return fmt.Errorf("give back permit: %w", err)
	}
	return nil
}

// Attend renews the permits that a push worker has, and says which of how many such
// workers of the queue it is. What Redis has lost of the permits is there again.
func (c *Client) Attend(ctx context.Context, queue, worker string, lease time.Duration, ids []string) (place, of int, err error) {
	s := &c.scripts.attend
	k, err := keysOf(queue)
	if err != nil {
		return 0, 0, wrap(s, queue, err)
	}
	args := []any{worker, lease.Milliseconds()}
	for _, id := range ids {
		args = append(args, id)
	}
	r, err := c.run(ctx, s, []string{k.pushing(), k.permits(), k.pushers()}, args)
	if err != nil {
		return 0, 0, wrap(s, queue, err)
	}
	return int(r.number(1)), int(r.number(2)), nil
}

// InFlight says how many requests to each queue's endpoint are under way, those of push
// workers that have just died included; permits that have ended, which the next Permit
// removes, are not. For people.
func (c *Client) InFlight(ctx context.Context, queues []string) (map[string]int, error) {
	out, counts := map[string]int{}, map[string]*redis.IntCmd{}
	now, err := c.rdb.Time(ctx).Result() // of one node of a cluster: near enough to look at
	if err != nil {
		return nil, fmt.Errorf("count requests under way: %w", translate(err))
	}
	from := "(" + strconv.FormatInt(now.UnixMilli(), 10)
	_, err = c.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for _, queue := range queues {
			k, err := keysOf(queue)
			if err != nil {
				return err
			}
			counts[queue] = pipe.ZCount(ctx, k.permits(), from, "+inf")
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("count requests under way: %w", translate(err))
	}
	for queue, n := range counts {
		out[queue] = int(n.Val())
	}
	return out, nil
}
