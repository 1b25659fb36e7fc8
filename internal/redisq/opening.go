package redisq

import (
	"context"
	"errors"
	"fmt"

	"github.com/penguinmails/rookery/job"
)

// opening sorts what a take has leased: by who sealed it, and by whether it can be
// read.
type opening struct {
	c      *Client
	queue  string
	epoch  int64
	before int64 // the epoch of the receipt, if there is one
	seals  *job.Seals
	taken  job.Taken
}

// all opens every envelope of a reply. The keys are read again when one names a key
// that is not known; when they cannot be, nobody knows whether it is forged: it goes
// back into the window, for a worker that does. The error, which wraps
// [job.ErrUnavailable], says that there was nothing else.
func (o *opening) all(ctx context.Context, envelopes reply) error {
	unknown := o.each(envelopes)
	if len(unknown) == 0 {
		return nil
	}
	seals, err := o.c.seals.newer(ctx, o.seals)
	if err != nil {
		return o.putBack(ctx, unknown, err)
	}
	// From the start, so that all stand in their order.
	o.seals, o.taken = seals, job.Taken{}
	for _, text := range o.each(envelopes) {
		o.forged(text) // nobody has its key
	}
	return nil
}

// each opens the envelopes, and returns those whose key is not known.
func (o *opening) each(envelopes reply) (unknown []string) {
	o.taken.Jobs = make([]job.Envelope, 0, len(envelopes))
	for i := range envelopes {
		text := envelopes.text(i)
		e, err := o.seals.Open([]byte(text), o.queue, o.epoch)
		if errors.Is(err, job.ErrForged) && o.before != 0 && o.before != o.epoch {
			e, err = o.seals.Open([]byte(text), o.queue, o.before)
		}
		switch {
		case err == nil:
			o.taken.Jobs = append(o.taken.Jobs, e)
		case errors.Is(err, job.ErrSealKey):
			unknown = append(unknown, text)
		case errors.Is(err, job.ErrForged):
			o.forged(text)
		default:
			ref, _ := refOfEnvelope(text) // sealed: a relay wrote these numbers
			o.taken.Broken = append(o.taken.Broken, ref)
		}
	}
	return unknown
}

// forged keeps what was refused, by the attempt it names: a number no job has is
// the zero Ref.
func (o *opening) forged(text string) {
	ref, ok := refOfEnvelope(text)
	if !ok {
		ref = job.Ref{}
	}
	o.taken.Forged = append(o.taken.Forged, ref)
}

// putBack returns envelopes as they are to the taking end. Those of which Redis has
// not heard when this fails come back when their leases end.
func (o *opening) putBack(ctx context.Context, envelopes []string, why error) error {
	k, err := keysOf(o.queue)
	if err != nil {
		return err
	}
	args := append(make([]any, 0, 1+3*len(envelopes)), o.epoch)
	for _, text := range envelopes {
		ref, ok := refOfEnvelope(text)
		e, err := job.Decode([]byte(text))
		if !ok || err != nil || e.Priority < 0 {
			o.forged(text) // no relay writes such a thing, whatever its key
			continue
		}
		args = append(args, ref.String(), int(job.BandOf(e.Priority))+1, text)
	}
	if len(args) > 1 {
		if _, err := o.c.run(ctx, &o.c.scripts.release, k.released(), args); err != nil {
			return errors.Join(why, fmt.Errorf("put back: %w", err))
		}
	}
	if len(o.taken.Jobs)+len(o.taken.Broken)+len(o.taken.Forged) > 0 {
		return nil
	}
	return why
}
