package relay

import (
	"context"
	"time"

	"github.com/penguinmails/rookery/job"
)

// expressLimit bounds the push of a committed express job.
const expressLimit = 5 * time.Second

// Express hands over one due job without waiting for a wake: it is inserted as
// already dispatched, with its ledger row, in one transaction, and pushed at once.
// handled is false, and nothing inserted, when the queue cannot take it just now:
// it is new, paused or at its window, or Redis does not answer. Once the insert is
// committed the job is as safe as any other: if the push fails, a relay recovers
// it. An error leaves open whether the job was inserted.
func (r *Relay) Express(ctx context.Context, s job.Spec) (id int64, handled bool, err error) {
	if s, err = s.Filled(); err != nil {
		return 0, false, err
	}
	q := r.known(s.QueueName)
	if q == nil || !s.RunAt.IsZero() {
		return 0, false, nil
	}
	b, limit, hi, err := r.credit(ctx, q)
	if err != nil || limit == 0 || *s.Priority > int(hi) || !b.open || b.paused {
		return 0, false, nil // the ordinary way is always open
	}
	batch, ok, err := r.store.Express(ctx, s, job.Claim{QueueName: b.name, Epoch: b.epoch, RelayID: r.o.ID, DispatchID: job.NewDispatchID()})
	if err != nil || !ok {
		return 0, false, err
	}
	id = batch.Jobs[0].ID
	r.o.Failpoint("relay.after_express")
	began := time.Now()
	// The job is committed: a caller who hangs up now must not look like a Redis that
	// does not answer, which would make the whole queue rest.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), expressLimit)
	defer cancel()
	r.trouble(ctx, "express", r.push(ctx, q, b, batch))
	r.metrics.express.Observe(time.Since(began).Seconds())
	return id, true, nil
}
