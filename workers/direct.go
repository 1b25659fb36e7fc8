package workers

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/penguinmails/rookery/job"
)

// Direct mode: with a queue's Redis away for a beat, a worker claims its jobs from
// Postgres itself, by the relay's own statement and with the same fence; the ledger
// row is its own, with a lease. It is only one more claimer of what is ready, so it
// needs nobody's leave and disturbs nobody, whoever else still reaches Redis.

// claimPoll is how long a worker in direct mode waits after it found nothing.
const claimPoll = 100 * time.Millisecond

// probeTime is the deadline of the question whether Redis is back.
const probeTime = time.Second

// claims is what the fetch loop remembers of a queue's claims.
type claims struct {
	id    int64     // of the claim that has no answer yet; 0: there is none
	limit int       // smaller when one met a conflict or an odd value; 0: none
	skip  time.Time // until then they pass by jobs that others have locked
	again time.Time // not before
	shown bool      // that direct mode began was logged
}

// skipLocked is for how long claims pass by what is locked; then one waits for it again.
const skipLocked = 10 * time.Second

// claim claims jobs of one queue, at most limit. It reports whether it is worth
// asking again at once.
func (w *Worker) claim(life context.Context, q *queue, limit int, f *fetcher) (more bool) {
	c, now := &q.claims, time.Now()
	if now.Before(c.again) {
		return false
	}
	if !c.shown {
		c.shown = true
		w.log.WarnContext(life, "redis is away, jobs are taken from postgres", keyQueue, q.name)
	}
	if c.limit > 0 {
		limit = min(limit, c.limit)
	}
	again, around := c.id != 0, now.Before(c.skip)
	if !again {
		c.id = job.NewDispatchID()
	}
	ctx, cancel := context.WithTimeout(life, storeTime)
	defer cancel()
	epoch, _ := q.wanted()
	batch, err := w.store.Claim(ctx, job.Claim{
		QueueName: q.name, Epoch: epoch, RelayID: w.o.ID, DispatchID: c.id, Limit: limit,
		Spans: []job.Span{{LoPriority: job.LostPriority - 1, HiPriority: job.MaxPriority}}, WorkerID: w.o.ID, Lease: w.o.Lease, Again: again,
		SkipLocked: around,
	})
	if err != nil {
		w.claimFailed(life, q, limit, err)
		return false
	}
	w.postgresAnswered()
	q.claimed(len(batch.Jobs) >= limit)
	c.id, c.limit, c.again = 0, min(2*c.limit, w.o.Concurrency), time.Time{}
	if len(batch.Jobs) == 0 {
		c.again = now.Add(claimPoll)
		return false
	}
	w.metrics.direct.WithLabelValues(q.name).Add(float64(len(batch.Jobs)))
	w.accept(life, q, job.Taken{Jobs: batch.Jobs}, now, f, &row{dispatch: batch.DispatchID, queue: q, held: true, again: now.Add(w.o.Beat)})
	return len(batch.Jobs) >= limit
}

// claimFailed has the same claim asked again: Postgres may or may not have handed
// jobs to us. After a conflict it passes by what is locked; one that met another, or an
// odd value, is made smaller.
func (w *Worker) claimFailed(ctx context.Context, q *queue, limit int, err error) {
	c, now := &q.claims, time.Now()
	var odd *job.DataError
	switch conflict := errors.Is(err, job.ErrConflict); {
	case conflict && !now.Before(c.skip):
		c.skip = now.Add(skipLocked)
	case conflict, errors.As(err, &odd):
		c.limit = max(limit/2, 1)
	}
	w.metrics.errors.WithLabelValues("claim").Inc()
	w.log.WarnContext(ctx, "cannot claim jobs", keyQueue, q.name, keyError, err)
	c.again = now.Add(w.o.Beat / 5)
}

// probe asks, for each queue whose Redis is away, whether it is back; the fetch loop
// must not wait for one that hangs.
func (w *Worker) probe(ctx context.Context) {
	for pause(ctx, w.o.Beat/5) {
		var all sync.WaitGroup
		for _, q := range w.queues {
			if q.away(time.Now(), w.o.Beat) {
				all.Go(func() { w.probeQueue(ctx, q) })
			}
		}
		all.Wait()
	}
}

// probeQueue asks with a beat for nobody: it changes nothing, and takes an answer of
// the very server that has the queue. (A Wait would not do: one that hears nothing,
// because nobody is there, returns as one does for which no bell rang.)
func (w *Worker) probeQueue(ctx context.Context, q *queue) {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	epoch, _ := q.leased()
	_, _, err := w.leases.Beat(ctx, q.name, epoch, w.o.Lease, []job.Ref{{}})
	if err == nil || errors.Is(err, job.ErrStale) {
		w.redisAnswered()
		q.try()
		signal(w.joining)
	}
}

// redisBack notes that a take was answered.
func (w *Worker) redisBack(ctx context.Context, q *queue) {
	if q.claims.shown {
		q.claims.shown = false
		w.log.InfoContext(ctx, "redis is back, jobs are taken from it again", keyQueue, q.name)
	}
}

// direct counts the queues in direct mode.
func direct(queues []*queue, beat time.Duration) (n int) {
	for _, q := range queues {
		if q.direct(time.Now(), beat) {
			n++
		}
	}
	return n
}
