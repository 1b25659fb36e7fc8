package redisq

import (
	"context"
	"strconv"

	"github.com/penguinmails/rookery/job"
)

// stretch is how many elements of a band one call looks at: with envelopes of 1 KiB
// that keeps Redis for about a millisecond, no longer than a push of as many.
const stretch = 500

// Absent says which of refs are neither leased nor being taken back, and how many
// releases there have been in this epoch: the one way from a lease back into the
// window, so that who has seen none between two calls knows what moved. At most
// [job.MaxBatch] refs: two calls would be two moments. Errors: a
// [*job.StaleError], [job.ErrUnavailable].
func (c *Client) Absent(ctx context.Context, queue string, epoch int64, refs []job.Ref) (absent []job.Ref, releases int64, err error) {
	s := &c.scripts.absent
	k, err := keysOf(queue)
	if err == nil {
		err = checkLimit(len(refs))
	}
	if err != nil {
		return nil, 0, wrap(s, queue, err)
	}
	r, err := c.run(ctx, s, []string{k.meta(), k.leases(), k.lost()}, members([]any{epoch}, refs))
	if err != nil {
		return nil, 0, wrap(s, queue, err)
	}
	return pick(nil, refs, r.list(2)), r.number(1), nil
}

// Waiting says which attempts wait in a band, 500 places at a time beginning with
// from, and where to go on: 0 after the last. The places are counted from the end
// that pushes fill, so that between two calls an attempt can be shown twice, or be
// taken, but one that stays is not passed over. Errors: a [*job.StaleError],
// [job.ErrUnavailable].
func (c *Client) Waiting(ctx context.Context, queue string, epoch int64, band job.Band, from int) (waiting []job.Ref, next int, err error) {
	s := &c.scripts.waiting
	k, err := keysOf(queue)
	if err != nil {
		return nil, 0, wrap(s, queue, err)
	}
	list := map[job.Band]string{job.High: k.high(), job.Normal: k.normal(), job.Low: k.low()}[band]
	r, err := c.run(ctx, s, []string{k.meta(), list}, []any{epoch, from, stretch})
	if err != nil {
		return nil, 0, wrap(s, queue, err)
	}
	members := r.list(2)
	for i := range members {
		if ref, ok := parseRef(members.text(i)); ok {
			waiting = append(waiting, ref)
		}
	}
	if r.number(1) == stretch {
		next = from + stretch
	}
	return waiting, next, nil
}

// Entomb calls off those of refs that are neither leased nor being taken back, in
// one step with looking, and returns them: from then on no take leases one, so
// whatever copy there may be, nobody will run it. Errors: a [*job.StaleError],
// [job.ErrUnavailable].
func (c *Client) Entomb(ctx context.Context, queue string, epoch int64, refs []job.Ref) (entombed []job.Ref, err error) {
	s := &c.scripts.entomb
	k, err := keysOf(queue)
	if err == nil {
		err = c.onRefs(ctx, s, []string{k.meta(), k.leases(), k.lost(), k.cancelled()}, []any{epoch}, refs, func(r reply, refs []job.Ref) {
			entombed = pick(entombed, refs, r.list(1))
		})
	}
	return entombed, wrap(s, queue, err)
}

// Noted lists batches of which Redis still knows that it has accepted them, as far
// as their seq is at most upTo. cursor is 0 for the first call and next for the
// following ones, until next is 0; a batch may be listed twice. Errors: a
// [*job.StaleError], [job.ErrUnavailable].
func (c *Client) Noted(ctx context.Context, queue string, epoch, upTo int64, cursor uint64) (dispatchIDs []int64, next uint64, err error) {
	s := &c.scripts.noted
	k, err := keysOf(queue)
	if err != nil {
		return nil, 0, wrap(s, queue, err)
	}
	r, err := c.run(ctx, s, []string{k.meta(), k.batches()}, []any{epoch, upTo, strconv.FormatUint(cursor, 10)})
	if err != nil {
		return nil, 0, wrap(s, queue, err)
	}
	ids := r.list(2)
	for i := range ids {
		if id, err := strconv.ParseInt(ids.text(i), 10, 64); err == nil {
			dispatchIDs = append(dispatchIDs, id)
		}
	}
	next, _ = strconv.ParseUint(r.text(1), 10, 64)
	return dispatchIDs, next, nil
}
