package redisq

import (
	"context"
	"time"

	"github.com/penguinmails/rookery/job"
)

// reapLimit is how many attempts Expired takes when it is not told.
const reapLimit = 100

// remember is how long an order to cancel is kept: no copy and no lease it is
// meant for is older.
const remember = 24 * time.Hour

// Expired moves up to limit ended leases to lost, in one step with reading them,
// and returns up to limit attempts of lost, those found there before included:
// whoever finds entries in lost goes on with them. limit 0 is 100; more than
// [job.MaxBatch] is refused. After deadline, in ms on Redis' clock, nothing is done:
// a Redis that stood still would run this before the heartbeats that queue behind
// it. Errors: a [*job.StaleError], [job.ErrLate], [job.ErrUnavailable].
func (c *Client) Expired(ctx context.Context, queue string, epoch, deadline int64, limit int) ([]job.LostAttempt, error) {
	s := &c.scripts.expired
	if limit == 0 {
		limit = reapLimit
	}
	if err := checkLimit(limit); err != nil {
		return nil, wrap(s, queue, err)
	}
	k, err := keysOf(queue)
	if err != nil {
		return nil, wrap(s, queue, err)
	}
	r, err := c.run(ctx, s, []string{k.meta(), k.leases(), k.lost()}, []any{epoch, limit, deadline})
	if err != nil {
		return nil, wrap(s, queue, err)
	}
	var lost []job.LostAttempt
	var garbage []any
	for i := 1; i+1 < len(r); i += 2 {
		ref, ok := parseRef(r.text(i))
		if !ok {
			garbage = append(garbage, r.text(i))
			continue
		}
		lost = append(lost, job.LostAttempt{Ref: ref, Counts: r.number(i+1) > 0})
	}
	if len(garbage) > 0 { // somebody wrote it by hand: left there it would fill every answer
		c.log.WarnContext(ctx, "dropped what is no lease", "queue_name", queue, "count", len(garbage))
		_, err = c.run(ctx, &c.scripts.drop, []string{k.meta(), k.leases(), k.lost()}, append([]any{epoch}, garbage...))
	}
	return lost, wrap(s, queue, err)
}

// Missing puts those of refs that nobody has leased into lost, not counting as
// lost runs, and returns those of refs that are in lost afterwards. Errors: a
// [*job.StaleError], [job.ErrUnavailable].
func (c *Client) Missing(ctx context.Context, queue string, epoch int64, refs []job.Ref) ([]job.LostAttempt, error) {
	s := &c.scripts.missing
	k, err := keysOf(queue)
	if err != nil {
		return nil, wrap(s, queue, err)
	}
	var lost []job.LostAttempt
	err = c.onRefs(ctx, s, []string{k.meta(), k.leases(), k.lost()}, []any{epoch}, refs, func(r reply, refs []job.Ref) {
		scores := r.list(1)
		for i, ref := range refs {
			if i < len(scores) && scores[i] != nil {
				lost = append(lost, job.LostAttempt{Ref: ref, Counts: scores.number(i) > 0})
			}
		}
	})
	return lost, wrap(s, queue, err)
}

// Drop removes from lost and leases what Postgres has taken back. Errors: a
// [*job.StaleError], [job.ErrUnavailable].
func (c *Client) Drop(ctx context.Context, queue string, epoch int64, refs []job.Ref) error {
	s := &c.scripts.drop
	k, err := keysOf(queue)
	if err == nil {
		err = c.onRefs(ctx, s, []string{k.meta(), k.leases(), k.lost()}, []any{epoch}, refs, nil)
	}
	return wrap(s, queue, err)
}

// Cancel calls attempts off: their copies are dropped when they are taken, and
// whoever runs one learns it with the next beat. The order is kept for a day.
// Errors: a [*job.StaleError], [job.ErrUnavailable].
func (c *Client) Cancel(ctx context.Context, queue string, epoch int64, refs []job.Ref) error {
	s := &c.scripts.cancel
	k, err := keysOf(queue)
	if err == nil {
		err = c.onRefs(ctx, s, []string{k.meta(), k.cancelled()}, []any{epoch, remember.Milliseconds()}, refs, nil)
	}
	return wrap(s, queue, err)
}
