package relay

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/penguinmails/rookery/job"
)

// look is what the dispatch loop remembers from one look around to the next.
type look struct {
	active    []string               // queues that had due jobs
	fresh     time.Time              // until then, while hot, they are taken to have some again
	slow      int                    // surveys in a row that were slow
	slowUntil time.Time              // surveys are slow (an old snapshot is open): none before
	promoted  time.Time              // below this run_at only dead entries lie; used while surveys are slow
	late      map[string]chan handed // dispatches that no look has waited for, by queue
	full      map[string]bool        // queues whose last batch was full
	out       sync.WaitGroup         // all dispatches under way
}

const (
	promoteMost  = 5                    // promotions of one look around, of a thousand jobs each
	slowSurveys  = 3                    // in a row before they are spared
	hotSurveys   = 4 * time.Millisecond // between two, while hot
	sparedQueues = 3                    // with more, to ask all is cheaper than to claim from each
)

// pass looks around once: it promotes what has fallen due, and hands every queue
// that has due jobs one batch.
func (r *Relay) pass(ctx context.Context, hot bool) (find, error) {
	s, err := r.survey(ctx, hot)
	if err != nil {
		return find{nextIn: job.Never}, err
	}
	f, err := r.handOut(ctx, s.Queues)
	f.nextIn = max(s.NextIn, time.Millisecond)
	return f, err
}

// survey asks where there is work. While hot it takes the last answer for a few
// milliseconds: producers are mute, and a claim that finds nothing costs what asking does.
func (r *Relay) survey(ctx context.Context, hot bool) (job.Survey, error) {
	now := time.Now()
	if n := len(r.look.active); hot && n > 0 && n <= sparedQueues && now.Before(r.look.fresh) {
		return job.Survey{Queues: r.look.active, NextIn: r.look.fresh.Sub(now)}, nil
	}
	if len(r.look.active) > 0 && now.Before(r.look.slowUntil) {
		return job.Survey{Queues: r.look.active, NextIn: r.look.slowUntil.Sub(now)}, nil
	}
	skipped := r.skipped()
	s, err := r.store.Survey(ctx, r.look.from(), skipped)
	if err != nil {
		return s, err
	}
	took := time.Since(now)
	// Only so many at a time: a million jobs that fall due together must not keep
	// urgent ones waiting.
	for range promoteMost {
		if s.NextIn > 0 {
			break
		}
		n, first, err := r.store.Promote(ctx, r.look.from())
		if err != nil {
			return s, err
		}
		if n == 0 {
			s.NextIn = time.Millisecond // another relay is at it, or the clock rounds
			break
		}
		r.metrics.promoted.Add(float64(n))
		r.o.Failpoint("relay.after_promote")
		r.look.promoted = first
		if s, err = r.store.Survey(ctx, r.look.from(), skipped); err != nil {
			return s, err
		}
	}
	// One slow survey is a busy machine; several in a row are an old snapshot.
	if r.look.slow++; took <= 2*skipWaste || len(s.Queues) >= 100 {
		r.look.slow = 0
	}
	if r.look.slow >= slowSurveys {
		r.look.slowUntil = now.Add(min(skipShare*took, time.Second))
	} else {
		r.look.promoted = time.Time{}
	}
	s.Queues = append(s.Queues, skipped...)
	slices.Sort(s.Queues)
	r.look.active, r.look.fresh = s.Queues, now.Add(min(hotSurveys, s.NextIn))
	return s, nil
}

// skipped names the queues whose claims skip entries: they are claimed from at every look,
// without being asked whether they have anything. To find out would mean to read what
// the claims skip.
func (r *Relay) skipped() (names []string) {
	for _, q := range r.all() {
		q.mu.Lock()
		if !q.skip.fullAt.IsZero() {
			names = append(names, q.name)
		}
		q.mu.Unlock()
	}
	return names
}

// from is where reading scheduled jobs begins.
func (l *look) from() time.Time {
	if l.slowUntil.IsZero() || time.Since(l.slowUntil) > time.Second {
		return time.Time{}
	}
	return l.promoted
}

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
		again, err := r.claimFailed(ctx, q, limit, hi, alone, err)
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
	ask := q.heard.IsZero() || now.Sub(q.heard) > depthAge || blocked && now.Sub(q.heard) >= depthPoll
	if q.fewLocked(now, limit) {
		limit = 0
	}
	resting, silent := now.Before(q.rest), q.silent
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
			q.restLocked(time.Now())
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
	spans, whole := q.skip.spans(began, hi)
	if alone != nil {
		spans, whole = []job.Span{{LoPriority: alone.priority, LoID: alone.id - 1, HiPriority: hi}}, false
	} else if around := q.detour.spans(began, hi); around != nil {
		spans, whole = around, false
	}
	pushed := q.pushed
	q.pushed = nil
	q.mu.Unlock()

	batch, err := r.store.Claim(ctx, job.Claim{
		QueueName: b.name, Epoch: b.epoch, RelayID: r.o.ID, DispatchID: job.NewDispatchID(),
		Limit: limit, Spans: spans, Pushed: pushed,
	})
	now := time.Now()
	r.metrics.claim.Observe(now.Sub(began).Seconds())

	q.mu.Lock()
	defer q.mu.Unlock()
	if err != nil {
		q.pushed = append(pushed, q.pushed...)
		return batch, false, err
	}
	q.recordedLocked(now, pushed)
	most := len(batch.Jobs) == limit || cutByBytes(batch.Jobs)
	q.skip.took(now, whole, now.Sub(began), batch.Jobs, most)
	q.cut = time.Time{}
	if len(batch.Jobs) == limit && limit < q.limit && alone == nil {
		q.cut = now
	}
	q.limit = min(2*q.limit, job.MaxBatch)
	if alone != nil && *alone == q.detour.around {
		q.detour = detour{}
	}
	inOrder(batch.Jobs)
	return batch, most || !whole, nil
}

// inOrder sorts a batch as it is to be taken.
func inOrder(jobs []job.Envelope) {
	slices.SortFunc(jobs, func(a, b job.Envelope) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.ID, b.ID))
	})
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
	forget := q.forgettableLocked(sent)
	q.mu.Unlock()
	pushing, cancel := context.WithTimeout(ctx, pushLimit)
	done, err := r.redis.Push(pushing, job.Push{Batch: batch, Deadline: b.deadline, KnownSeq: b.seq, Forget: forget})
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
	q.heardLocked(sent, now, done.Seq, done.Depth, done.Now)
	q.forgotLocked(forget)
	q.rest, q.restFor, q.fullAt = time.Time{}, 0, time.Time{}
	delete(q.unpushed, batch.DispatchID)
	if len(q.pushed) == 0 {
		q.pushedAt = now
	}
	q.pushed = append(q.pushed, job.Recorded{DispatchID: batch.DispatchID, Seq: done.Seq})
	r.metrics.dispatched.WithLabelValues(q.Name).Add(float64(len(batch.Jobs)))
	r.metrics.batches.Inc()
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
		q.unpushedLocked(batch.DispatchID, len(batch.Jobs), now)
	}
	q.restLocked(now)
	full := errors.Is(err, job.ErrFull)
	if full && q.fullAt.IsZero() {
		q.fullAt = now
	}
	tooLong := full && now.Sub(q.fullAt) > fullMost
	if errors.Is(err, job.ErrUnavailable) {
		q.contact.broken()
		q.silent = true
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
		if err := r.store.Refuse(ctx, batch.Jobs[i].Ref(), odd.Error()); err != nil {
			r.trouble(ctx, "refuse", err)
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
		pushed := q.pushed
		if len(pushed) == 0 || now.Sub(q.pushedAt) < recordAfter {
			q.mu.Unlock()
			continue
		}
		q.pushed = nil
		q.mu.Unlock()
		err := r.store.Record(ctx, pushed)
		q.mu.Lock()
		if err != nil {
			q.pushed = append(pushed, q.pushed...)
		} else {
			q.recordedLocked(now, pushed)
			r.o.Failpoint("relay.after_record")
		}
		q.mu.Unlock()
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (q *queue) recordedLocked(now time.Time, pushed []job.Recorded) {
	for _, p := range pushed {
		q.old = append(q.old, oldBatch{id: p.DispatchID, at: now})
	}
}

// recordsDue says when the oldest push that is not recorded should be.
func (r *Relay) recordsDue() (time.Time, bool) {
	var due time.Time
	for _, q := range r.all() {
		q.mu.Lock()
		if len(q.pushed) > 0 && (due.IsZero() || q.pushedAt.Add(recordAfter).Before(due)) {
			due = q.pushedAt.Add(recordAfter)
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
