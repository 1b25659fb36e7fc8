package redisq

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/penguinmails/rookery/job"
	"github.com/redis/go-redis/v9"
)

// Beat renews the leases of refs until now + lease on Redis' clock. gone are over:
// they ended and are being taken back, or were never leased here. cancelled were
// called off and stay leased. Errors: a [*job.StaleError] (nothing was renewed),
// [job.ErrUnavailable]. More than [job.MaxBatch] refs take several calls; after an
// error some of them may have been renewed.
func (c *Client) Beat(ctx context.Context, queue string, epoch int64, lease time.Duration, refs []job.Ref) (gone, cancelled []job.Ref, err error) {
	s := &c.scripts.beat
	k, err := keysOf(queue)
	if err == nil {
		err = checkLease(lease)
	}
	if err != nil {
		return nil, nil, wrap(s, queue, err)
	}
	err = c.onRefs(ctx, s, []string{k.meta(), k.leases(), k.cancelled()}, []any{epoch, lease.Milliseconds()}, refs, func(r reply, refs []job.Ref) {
		gone = pick(gone, refs, r.list(1))
		cancelled = pick(cancelled, refs, r.list(2))
	})
	if err != nil {
		return nil, nil, wrap(s, queue, err)
	}
	return gone, cancelled, nil
}

// Announce leases anew, in a new epoch, what the caller was running in an older
// one. refused are being taken back: they are over. Errors: a [*job.StaleError]
// (nothing was leased), [job.ErrUnavailable].
func (c *Client) Announce(ctx context.Context, queue string, epoch int64, lease time.Duration, refs []job.Ref) (refused []job.Ref, err error) {
	s := &c.scripts.announce
	k, err := keysOf(queue)
	if err == nil {
		err = checkLease(lease)
	}
	if err != nil {
		return nil, wrap(s, queue, err)
	}
	err = c.onRefs(ctx, s, []string{k.meta(), k.leases(), k.lost()}, []any{epoch, lease.Milliseconds()}, refs, func(r reply, refs []job.Ref) {
		refused = pick(refused, refs, r.list(1))
	})
	if err != nil {
		return nil, wrap(s, queue, err)
	}
	return refused, nil
}

// Ack gives up the leases of attempts whose outcome Postgres has. Errors: a
// [*job.StaleError] (nothing was given up), [job.ErrUnavailable].
func (c *Client) Ack(ctx context.Context, queue string, epoch int64, refs []job.Ref) error {
	s := &c.scripts.ack
	k, err := keysOf(queue)
	if err == nil {
		err = c.onRefs(ctx, s, []string{k.meta(), k.leases(), k.cancelled()}, []any{epoch}, refs, nil)
	}
	return wrap(s, queue, err)
}

// LeaseOf says until when an attempt is leased, on Redis' clock, whatever the
// epoch: it is for looking, not for deciding. The error wraps [job.ErrUnavailable]
// when Redis does not answer.
func (c *Client) LeaseOf(ctx context.Context, queue string, ref job.Ref) (deadline time.Time, leased bool, err error) {
	k, err := keysOf(queue)
	if err != nil {
		return time.Time{}, false, fmt.Errorf("look up a lease of queue %s: %w", queue, err)
	}
	score, err := c.rdb.ZScore(ctx, k.leases(), ref.String()).Result()
	switch {
	case errors.Is(err, redis.Nil):
		return time.Time{}, false, nil
	case err != nil:
		return time.Time{}, false, fmt.Errorf("look up a lease of queue %s: %w", queue, translate(err))
	}
	return time.UnixMilli(int64(score)), true, nil
}

// pick appends those of refs whose positions the script named.
func pick(to, refs []job.Ref, positions reply) []job.Ref {
	for i := range positions {
		if at := positions.number(i); at >= 0 && at < int64(len(refs)) {
			to = append(to, refs[at])
		}
	}
	return to
}
