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
// end.) What is no envelope
// at all (somebody pushed it by hand) is dropped and logged; what has a readable
// head only is leased and stands in Broken.
//
// Errors: a [*job.StaleError], with t.Epoch 0 always, which is how a worker may
// learn the epoch Redis holds; [job.ErrUnavailable]. Nothing is lost when the reply
// is: go-redis repeats the call with its token by itself.
func (c *Client) Take(ctx context.Context, t job.Take) (job.Taken, error) {
	s := &c.scripts.take
	k, err := keysOf(t.QueueName)
	if err == nil {
		err = checkTake(t)
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
	if garbage := r.list(2); len(garbage) > 0 {
		c.log.WarnContext(ctx, "dropped what is no envelope", "queue_name", t.QueueName, "count", len(garbage))
	}
	envelopes := r.list(3)
	taken := job.Taken{Jobs: make([]job.Envelope, 0, len(envelopes)), More: r.number(1) > 0}
	for i := range envelopes {
		text := envelopes.text(i)
		e, err := job.Decode([]byte(text))
		if err == nil {
			taken.Jobs = append(taken.Jobs, e)
			continue
		}
		ref, ok := refOfEnvelope(text)
		if !ok { // a number no job has: the lease ends by itself
			c.log.WarnContext(ctx, "dropped what is no envelope", "queue_name", t.QueueName, "count", 1)
			continue
		}
		taken.Broken = append(taken.Broken, ref)
	}
	return taken, nil
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
	// Later chunks first: what is released last is taken first.
	for end := len(jobs); end > 0; {
		start := max(end-job.MaxBatch, 0)
		args := append(make([]any, 0, 1+3*(end-start)), epoch)
		for i := start; i < end; i++ {
			e := &jobs[i]
			envelope, err := e.Append(make([]byte, 0, e.Size()))
			if err != nil {
				return wrap(s, queue, err)
			}
			args = append(args, e.Ref().String(), int(job.BandOf(e.Priority))+1, envelope)
		}
		names := []string{k.meta(), k.high(), k.normal(), k.low(), k.leases(), k.bell()}
		if _, err := c.run(ctx, s, names, args); err != nil {
			return wrap(s, queue, err)
		}
		end = start
	}
	return nil
}
