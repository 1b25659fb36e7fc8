package redisq

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/penguinmails/rookery/job"
)

// receiptLife is how long a take can be asked for again.
const receiptLife = time.Minute

// Take leases up to t.Limit jobs of a queue, the most urgent band first, and hands
// them over in the order in which they are to run. Copies of attempts that are
// leased, being taken back or called off are dropped on the way. A paused queue
// has nothing, and More is false: the bell rings when it goes on.
//
// The same worker's same token within a minute is answered with those of its jobs
// that are still leased, renewed, so a worker that got no answer repeats the token
// until it gets one; it draws a new token for every new take. (A call that Redis
// reads only after its worker's next token takes jobs nobody hears of; their leases
// end.)
//
// What no relay has sealed for this very window (somebody pushed it by hand, or
// carried it over from another queue or epoch) stands in Forged, leased when it
// names an attempt; what a relay has sealed and this program cannot read stands in
// Broken. A copy that was taken out of this very window, kept, and put back while
// the epoch lasts is genuine: see docs/security.md for what becomes of it.
//
// Errors: a [*job.StaleError], with t.Epoch 0 always, which is how a worker may
// learn the epoch Redis holds; [job.ErrUnavailable], from Redis, or because the seal
// keys cannot be read. Nothing is lost when the reply is: go-redis repeats the call with
// its token by itself.
func (c *Client) Take(ctx context.Context, t job.Take) (job.Taken, error) {
	s := &c.scripts.take
	k, err := keysOf(t.QueueName)
	if err == nil {
		err = checkTake(t)
	}
	var seals *job.Seals
	if err == nil {
		seals, err = c.seals.keys(ctx)
	}
	if err != nil {
		return job.Taken{}, wrap(s, t.QueueName, err)
	}
	r, err := c.run(ctx, s,
		[]string{k.meta(), k.high(), k.normal(), k.low(), k.leases(), k.lost(), k.cancelled(), k.bell(), k.receipt(t.WorkerID)},
		[]any{t.Epoch, t.Token, t.Limit, t.Lease.Milliseconds(), receiptLife.Milliseconds()})
	if err != nil {
		return job.Taken{}, wrap(s, t.QueueName, err)
	}
	o := opening{c: c, queue: t.QueueName, epoch: t.Epoch, before: t.TokenEpoch, seals: seals}
	if err := o.all(ctx, r.list(3)); err != nil {
		return job.Taken{}, wrap(s, t.QueueName, err)
	}
	// What has not even the head of an envelope names no attempt, and is counted too.
	o.taken.Forged = append(o.taken.Forged, make([]job.Ref, len(r.list(2)))...)
	o.taken.More = r.number(1) > 0
	return o.taken, nil
}

// released are the keys of lua/release.lua.
func (k keys) released() []string {
	return []string{k.meta(), k.high(), k.normal(), k.low(), k.leases(), k.bell()}
}

func checkTake(t job.Take) error {
	switch {
	case t.Token == "":
		return errors.New("token is empty")
	case t.WorkerID == "":
		return errors.New("worker id is empty")
	}
	if err := checkLimit(t.Limit); err != nil {
		return err
	}
	return checkLease(t.Lease)
}

func checkLimit(limit int) error {
	if limit < 1 || limit > job.MaxBatch {
		return fmt.Errorf("limit is %d, must be 1 to %d", limit, job.MaxBatch)
	}
	return nil
}

func checkLease(lease time.Duration) error {
	if lease < time.Millisecond {
		return fmt.Errorf("lease is %s, must be at least 1ms", lease)
	}
	return nil
}

// Release gives back jobs that were taken and not begun, to the taking end of
// their bands and in their order. Only what is still leased is given back.
//
// Release is sent once: sent again it could take the lease from whoever has taken
// the job in between. So after an error the caller must neither run the jobs nor
// release them again; those that were not given back come back when their leases
// end. Errors: a [*job.StaleError] (nothing was given back), [job.ErrUnavailable].
func (c *Client) Release(ctx context.Context, queue string, epoch int64, jobs []job.Envelope) error {
	s := &c.scripts.release
	k, err := keysOf(queue)
	if err != nil {
		return wrap(s, queue, err)
	}
	seals, err := c.seals.keys(ctx)
	if err != nil {
		return wrap(s, queue, err)
	}
	// Later chunks first: what is released last is taken first.
	for end := len(jobs); end > 0; {
		start := max(end-job.MaxBatch, 0)
		args := append(make([]any, 0, 1+3*(end-start)), epoch)
		for i := start; i < end; i++ {
			e := &jobs[i]
			envelope, err := seals.Append(make([]byte, 0, e.Size()+job.SealSize), e, epoch)
			if err != nil {
				return wrap(s, queue, err)
			}
			args = append(args, e.Ref().String(), int(job.BandOf(e.Priority))+1, envelope)
		}
		if _, err := c.run(ctx, s, k.released(), args); err != nil {
			return wrap(s, queue, err)
		}
		end = start
	}
	return nil
}
