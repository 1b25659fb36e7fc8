package relay

import (
	"context"
	"errors"
	"time"

	"github.com/penguinmails/rookery/internal/tracing"
	"github.com/penguinmails/rookery/job"
)

// dispatch hands one queue's window one batch: D1, D2, and D3 of the batch before.
// blocked says that there is a backlog and no credit.
func (r *Relay) dispatch(ctx context.Context, q *queue) (n int, full, blocked bool, err error) {
	b, limit, hi, err := r.credit(ctx, q)
	if err != nil || !b.open || b.paused {
		return 0, false, false, err
	}
	if limit == 0 {
		return 0, false, true, nil
	}
	alone, err := r.suspect(ctx, q, hi)
	if err != nil {
		return 0, false, false, err
	}
	if alone != nil {
		limit = 1
	}
	batch, full, err := r.claim(ctx, q, b, limit, hi, alone)
	if err == nil && len(batch.Jobs) == 0 && full && hi == job.MaxPriority {
		if !q.skipNothing(time.Now()) {
			return 0, false, false, nil
		}
		batch, full, err = r.claim(ctx, q, b, limit, hi, alone) // a retry or a late committer may lie in a part that was not read
	}
	if err != nil {
		again, err := r.claimFailed(ctx, q, limit, alone, err)
		return 0, again, false, err
	}
	if len(batch.Jobs) == 0 {
		return 0, false, hi < job.MaxPriority, nil
	}
	// A crash here leaves the batch committed and Redis ignorant of it: a ledger row
	// without seq. Another relay pushes it after two seconds.
	r.o.Failpoint("relay.after_claim")
	err = r.push(ctx, q, b, batch)
	// A crash here leaves the batch pushed and the ledger row without seq: pushed
	// again, it is a DUP, whose answer is recorded.
	r.o.Failpoint("relay.after_push")
	return len(batch.Jobs), full, false, err
}

// credit returns what may be claimed, asking Redis for the depth when the one that
// is known is too old, or says that there is no room.
func (r *Relay) credit(ctx context.Context, q *queue) (b belief, limit int, hi int16, err error) {
	now := time.Now()
	q.mu.Lock()
	limit, hi = q.creditLocked(now)
	blocked := hi < job.MaxPriority || q.fewLocked(now, limit)
	ask := !q.window.fresh(now) || blocked && now.Sub(q.window.heard) >= depthPoll
	if q.fewLocked(now, limit) {
		limit = 0
	}
	resting, silent := q.rest.on(now), q.window.silent
	b = q.believeLocked()
	q.mu.Unlock()
	if silent { // tend finds out when it answers again
		b.open = false
		return b, 0, 0, nil
	}
	if resting {
		return b, 0, 0, nil
	}
	if !ask || b.paused {
		return b, limit, hi, nil
	}
	err = r.census(ctx, q)
	q.mu.Lock()
	defer q.mu.Unlock()
	if err != nil {
		if ctx.Err() == nil {
			q.rest.begin(time.Now())
		}
		return b, 0, 0, err
	}
	now = time.Now()
	if limit, hi = q.creditLocked(now); q.fewLocked(now, limit) {
		limit = 0
	}
	return q.believeLocked(), limit, hi, nil
}

// claim is D1. full says that there may be more to claim.
func (r *Relay) claim(ctx context.Context, q *queue, b belief, limit int, hi int16, alone *head) (job.Batch, bool, error) {
	began := time.Now()
	q.mu.Lock()
	spans, whole := q.claims.skip.spans(began, hi)
	if alone != nil {
		spans, whole = alone.alone(), false
	}
	around := q.claims.bypass.on(began)
	pushed := q.batches.takePushed()
	q.mu.Unlock()

	batch, err := r.store.Claim(ctx, job.Claim{
		QueueName: b.name, Epoch: b.epoch, RelayID: r.o.ID, DispatchID: job.NewDispatchID(),
		Limit: limit, Spans: spans, Pushed: pushed, SkipLocked: around,
	})
	now := time.Now()
	r.metrics.claim.Observe(now.Sub(began).Seconds())

	q.mu.Lock()
	defer q.mu.Unlock()
	if err != nil {
		q.batches.putBack(pushed)
		return batch, false, err
	}
	q.batches.recorded(pushed, now)
	most := len(batch.Jobs) == limit || cutByBytes(batch.Jobs)
	c := &q.claims
	c.skip.took(now, whole, now.Sub(began), batch.Jobs, most)
	c.cut = time.Time{}
	if len(batch.Jobs) == limit && limit < c.limit && alone == nil {
		c.cut = now
	}
	c.limit = min(2*c.limit, job.MaxBatch)
	if !around {
		c.bypass = bypass{}
	}
	return batch, most || !whole, nil
}

// cutByBytes reports whether another job might have been too much for the batch.
func cutByBytes(jobs []job.Envelope) bool {
	bytes := 0
	for i := range jobs {
		bytes += len(jobs[i].Payload) + len(jobs[i].Headers)
	}
	return bytes > job.MaxBatchBytes-job.MaxPayload
}

// push is D2. A push that is not accepted leaves its ledger row without seq: it is
// recovered, or settled when its epoch has ended.
func (r *Relay) push(ctx context.Context, q *queue, b belief, batch job.Batch) error {
	sent := time.Now()
	q.mu.Lock()
	forget := q.batches.forgettable(sent)
	q.mu.Unlock()
	pushing, cancel := context.WithTimeout(ctx, pushLimit)
	pushing, span := r.traceBatch(pushing, batch)
	done, err := r.redis.Push(pushing, job.Push{Batch: batch, Deadline: b.deadline, KnownSeq: b.seq, Forget: forget})
	tracing.End(span, err)
	cancel()
	now := time.Now()
	r.metrics.push.Observe(now.Sub(sent).Seconds())
	if err != nil {
		return r.pushFailed(ctx, q, b, batch, err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.Epoch != b.epoch {
		return nil // another epoch has begun meanwhile; its row will be settled
	}
	q.window.answered(sent, now, done.Seq, done.Depth, done.Now)
	q.rest = rest{}
	q.batches.forgotten(forget)
	q.batches.accepted(batch.DispatchID, done.Seq, now)
	r.countBatch(batch, now)
	return nil
}

func (r *Relay) pushFailed(ctx context.Context, q *queue, b belief, batch job.Batch, err error) error {
	r.metrics.pushRefused.WithLabelValues(reason(err)).Inc()
	if errors.Is(err, job.ErrStale) || errors.Is(err, job.ErrBehind) {
		return r.renew(ctx, q, b.epoch, err)
	}
	now := time.Now()
	q.mu.Lock()
	if q.Epoch == b.epoch {
		q.batches.refused(batch.DispatchID, len(batch.Jobs), now)
	}
	q.rest.begin(now)
	full := errors.Is(err, job.ErrFull)
	tooLong := full && q.rest.full(now)
	if errors.Is(err, job.ErrUnavailable) {
		q.window.contact.broken()
		q.window.silent = true
	}
	q.mu.Unlock()
	if tooLong {
		return r.renew(ctx, q, b.epoch, err) // a new epoch frees the window
	}
	if !full && !errors.Is(err, job.ErrLate) && !errors.Is(err, job.ErrUnavailable) {
		r.refuseUnreadable(ctx, batch)
	}
	return err
}

// refuseUnreadable makes those jobs dead that cannot be encoded; the rest of the
// batch is recovered without them.
func (r *Relay) refuseUnreadable(ctx context.Context, batch job.Batch) {
	for i := range batch.Jobs {
		_, odd := batch.Jobs[i].Append(nil)
		if odd == nil {
			continue
		}
		err := r.store.Refuse(ctx, batch.Jobs[i].Ref(), odd.Error())
		r.trouble(ctx, "refuse", err)
		if err != nil {
			continue
		}
		r.metrics.refused.Inc()
		r.log.ErrorContext(ctx, "job cannot be encoded and is dead", "job_id", batch.Jobs[i].ID, "queue_name", batch.QueueName, "error", odd)
	}
}

// record is D3 for whatever no claim has taken along.
func (r *Relay) record(ctx context.Context, now time.Time) error {
	var errs []error
	for _, q := range r.all() {
		q.mu.Lock()
		if due, some := q.batches.recordAt(); !some || now.Before(due) {
			q.mu.Unlock()
			continue
		}
		pushed := q.batches.takePushed()
		q.mu.Unlock()
		err := r.store.Record(ctx, pushed)
		q.mu.Lock()
		if err != nil {
			q.batches.putBack(pushed)
		} else {
			q.batches.recorded(pushed, now)
			r.o.Failpoint("relay.after_record")
		}
		q.mu.Unlock()
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// recordsDue says when the oldest push that is not recorded should be.
func (r *Relay) recordsDue() (time.Time, bool) {
	var due time.Time
	for _, q := range r.all() {
		q.mu.Lock()
		if at, some := q.batches.recordAt(); some && (due.IsZero() || at.Before(due)) {
			due = at
		}
		q.mu.Unlock()
	}
	return due, !due.IsZero()
}

// reason is the label under which a refused push is counted.
func reason(err error) string {
	switch {
	case errors.Is(err, job.ErrStale):
		return "stale"
	case errors.Is(err, job.ErrBehind):
		return "behind"
	case errors.Is(err, job.ErrLate):
		return "late"
	case errors.Is(err, job.ErrFull):
		return "full"
	case errors.Is(err, job.ErrUnavailable):
		return "unavailable"
	}
	return "other"
}
