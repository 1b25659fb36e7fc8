package relay

import (
	"context"
	"errors"
	"time"

	"github.com/penguinmails/rookery/job"
)

// FullSince makes the relay believe that Redis has been out of memory since at.
func (r *Relay) FullSince(queue string, at time.Time) {
	q := r.known(queue)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.rest.fullAt = at
}

// Poll has a relay that is not run yet look every d when nothing wakes it.
func (r *Relay) Poll(d time.Duration) { r.poll = d }

// Acquaint makes a relay that is not run believe what Postgres and Redis say now.
func (r *Relay) Acquaint(ctx context.Context) error {
	errs := []error{r.refresh(ctx)}
	for _, q := range r.all() {
		errs = append(errs, r.census(ctx, q))
	}
	return errors.Join(errs...)
}

// DispatchLoop looks around, as Run does, without the other duties.
func (r *Relay) DispatchLoop(ctx context.Context) error { return r.dispatchLoop(ctx) }

// Look takes the audit's next look, the second one without waiting for a lease.
func (r *Relay) Look(ctx context.Context) error {
	r.inquest.at = time.Time{}
	return r.audit(ctx)
}

// Suspects is how many attempts the first look did not find.
func (r *Relay) Suspects() int { return len(r.inquest.suspects) }

// ForgetLeft does the duty of that name once.
func (r *Relay) ForgetLeft(ctx context.Context) error { return r.forgetLeft(ctx) }

// Forward makes the relay believe that d has passed since it learned what may be
// forgotten.
func (r *Relay) Forward(queue string, d time.Duration) {
	q := r.known(queue)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.batches.mark.at = q.batches.mark.at.Add(-d)
	for i := range q.batches.old {
		q.batches.old[i].at = q.batches.old[i].at.Add(-d)
	}
}

// Settle takes back, in one walk, what ended epochs of a queue left behind.
func (r *Relay) Settle(ctx context.Context, queue string) error {
	_, err := r.settlePages(ctx, r.known(queue).believe())
	return err
}

// Prune does one turn of the duty of that name.
func (r *Relay) Prune(ctx context.Context) error { return r.prune(ctx) }

// Sample looks at the depths, in a minute.
func (r *Relay) Sample(ctx context.Context, minute time.Time) error { return r.sample(ctx, minute) }

// Own has the relay know the queues' own retentions, as refresh does.
func (r *Relay) Own(queues []job.Queue) { r.keeps.Store(int64(shortestOwn(queues))) }
