package redisq

import (
	"context"
	"fmt"

	"github.com/penguinmails/rookery/job"
)

// Push hands one batch to Redis: step D2. It is accepted whole or not at all, and
// once: the same dispatch id again is answered with the seq of the first time and
// Dup, even after the deadline, so that [job.ErrLate] means that this Redis has
// never had the batch and, given this deadline, never will.
//
// Jobs that were lost before go to the taking end of their band, the others behind
// those that wait; both keep the batch's order.
//
// Errors: a [*job.StaleError], [job.ErrBehind], [job.ErrLate], [job.ErrFull] (all
// refusals, nothing was changed), [job.ErrUnavailable] (it may or may not have been
// accepted, or the seal keys cannot be read: push again), or a plain one for a batch of
// more than [job.MaxBatch] jobs, of jobs that are not its own, or of a job that cannot
// be encoded. A batch without jobs is not sent and answered with the zero Pushed.
func (c *Client) Push(ctx context.Context, p job.Push) (job.Pushed, error) {
	if len(p.Jobs) == 0 {
		return job.Pushed{}, nil
	}
	s := &c.scripts.push
	k, err := keysOf(p.QueueName)
	if err != nil {
		return job.Pushed{}, wrap(s, p.QueueName, err)
	}
	seals, err := c.seals.keys(ctx)
	if err != nil {
		return job.Pushed{}, wrap(s, p.QueueName, err)
	}
	args, err := pushArgs(p, seals)
	if err != nil {
		return job.Pushed{}, wrap(s, p.QueueName, err)
	}
	r, err := c.run(ctx, s, []string{k.meta(), k.high(), k.normal(), k.low(), k.bell(), k.batches()}, args)
	if err != nil {
		return job.Pushed{}, wrap(s, p.QueueName, err)
	}
	return job.Pushed{Seq: r.number(1), Depth: r.number(2), Now: r.number(3), Dup: r.text(0) == "DUP"}, nil
}

// pushArgs lays out ARGV as lua/push.lua reads it, with sealed envelopes.
func pushArgs(p job.Push, seals *job.Seals) ([]any, error) {
	if len(p.Jobs) > job.MaxBatch {
		return nil, fmt.Errorf("batch %d has %d jobs, at most %d fit", p.DispatchID, len(p.Jobs), job.MaxBatch)
	}
	groups, size := [6][]*job.Envelope{}, 0 // fresh and lost of each band
	for i := range p.Jobs {
		e := &p.Jobs[i]
		if e.DispatchID != p.DispatchID || e.QueueName != p.QueueName {
			return nil, fmt.Errorf("job %d of queue %s and dispatch %d is not of batch %d", e.ID, e.QueueName, e.DispatchID, p.DispatchID)
		}
		g := 2 * int(job.BandOf(e.Priority))
		if e.LostCount > 0 {
			g++
		}
		groups[g] = append(groups[g], e)
		size += e.Size() + job.SealSize
	}
	args := make([]any, 0, 11+len(p.Forget)+len(p.Jobs))
	args = append(args, p.Epoch, p.DispatchID, p.Deadline, p.KnownSeq, len(p.Forget))
	for _, group := range groups {
		args = append(args, len(group))
	}
	for _, id := range p.Forget {
		args = append(args, id)
	}
	buf := make([]byte, 0, size)
	for g, group := range groups {
		for i := range group {
			e := group[i]
			if g%2 == 1 {
				e = group[len(group)-1-i] // RPUSHed: the last one pushed is the first one taken
			}
			start := len(buf)
			var err error
			if buf, err = seals.Append(buf, e, p.Epoch); err != nil {
				return nil, err
			}
			args = append(args, buf[start:len(buf):len(buf)])
		}
	}
	return args, nil
}
