package workers

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"
)

// A take costs a call to Redis, so a worker of many queues asks only those whose turn
// it is:
//
//	its bell rang               heard by idle, which takes a token and so owes a take,
//	                            or by listen, which takes none
//	the last take left jobs     then nobody need ring
//	a take has no answer        its token is repeated
//	not asked for a second      a bell that got lost costs no more
//
// A queue that could not be asked (its epoch is not joined, say) keeps its turn. So does
// one that came too late in a round for a slot; with weights it may lose a few times what
// its weight has it wait, then it comes first (order.go).

// lookEvery is how often a worker that is never idle looks at the bells: a job beside
// a backlog waits so much longer. A look at fifty bells of one server costs what one
// take of nothing does (redisq.BenchmarkWait_Look); in a cluster it is a command each.
const lookEvery = 2 * time.Millisecond

// wants reports whether it is the queue's turn.
func (q *queue) wants(now time.Time) bool {
	return q.rung || q.hot || q.token != "" || !now.Before(q.due)
}

// waits reports whether it is the queue's turn, not for a backlog's sake, and it can be
// asked.
func (q *queue) waits(now time.Time) bool {
	if q.hot || !q.wants(now) || now.Before(q.again) {
		return false
	}
	_, open := q.open()
	return open
}

// answered notes an answer to a take sent at now. Queues that were asked together do not
// stay together: fifty takes in a row are a long time for a job.
func (q *queue) answered(more bool, now time.Time) {
	q.rung, q.hot, q.lost = false, more, 0
	q.due = now.Add(waitAtMost - rand.N(waitAtMost/4))
}

// claimed notes an answer of Postgres while Redis is away. A backlog there is one: other
// queues' bells are looked at beside it.
func (q *queue) claimed(more bool) { q.hot, q.lost = more, 0 }

// share returns for how many of the free slots q is asked; later are the queues that
// come after it. In strict order that is all. With weights it leaves the spare ones to
// queues without a backlog, so that their next job need not wait for a handler to
// return, and one to each of the later ones that wait. 0: none is for a backlog.
func (w *Worker) share(free int, q *queue, later []*queue, now time.Time) int {
	if !w.order.weighted {
		return free
	}
	if free -= w.spare(); free <= 0 && q.hot {
		return 0
	}
	for _, l := range later {
		if l.waits(now) {
			free--
		}
	}
	return max(free, 1)
}

// spare returns how many slots are not for backlogs: one in sixteen, when there are
// weights and a queue without a backlog.
func (w *Worker) spare() int {
	if !w.order.weighted || len(w.queues) == 1 || !slices.ContainsFunc(w.queues, func(q *queue) bool { return !q.hot }) {
		return 0
	}
	return w.o.Concurrency / 16
}

// listen hears of bells while a queue that has jobs keeps the worker from waiting for
// them. It takes no token: an idle worker that waits for one is quicker.
func (w *Worker) listen(ctx context.Context, f *fetcher) {
	if len(w.queues) == 1 {
		return
	}
	now, busy := time.Now(), false
	if now.Sub(f.looked) < lookEvery {
		return
	}
	f.names = f.names[:0]
	for _, q := range w.queues {
		busy = busy || q.hot
		if !q.rung && !q.hot && q.token == "" && !q.away(now, w.o.Beat) {
			f.names = append(f.names, q.name)
		}
	}
	if !busy || len(f.names) == 0 {
		return
	}
	f.looked = now
	rang, err := w.waitCall(ctx, f.names, 0)
	w.ring(rang)
	if err != nil {
		f.looked = now.Add(waitAtMost) // each look may hang; no queue goes unasked for longer
	}
}

// ring gives queues their turn.
func (w *Worker) ring(names []string) {
	for _, q := range w.queues {
		if slices.Contains(names, q.name) {
			q.rung = true
		}
	}
}

// idle waits for a bell, or until a queue is due; shorter while a queue waits for its
// epoch.
func (w *Worker) idle(ctx context.Context, f *fetcher) {
	d, joining := waitAtMost, false
	start := time.Now()
	f.names = f.names[:0]
	for _, q := range w.queues {
		if q.away(start, w.o.Beat) {
			d = min(d, claimPoll) // nobody rings
			continue
		}
		f.names = append(f.names, q.name)
		if _, open := q.open(); !open || !q.again.IsZero() {
			joining = true
		} else if len(w.queues) > 1 && f.at.Before(q.due) { // else it has just had its turn, in vain
			d = min(d, q.due.Sub(start))
		}
	}
	if joining {
		d = min(d, waitJoining)
	}
	if d <= 0 {
		return
	}
	if len(f.names) == 0 {
		pause(ctx, d)
		return
	}
	rang, err := w.waitCall(ctx, f.names, d)
	w.ring(rang)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		pause(ctx, waitJoining)
	case len(rang) == 0:
		f.quiet.reset()
	default:
		// A bell. One that rings again and again for nothing (a paused queue, other
		// workers that are quicker) must not make this loop spin.
		if joining {
			signal(w.joining)
		}
		if delay := f.quiet.next(); f.quiet.failures > 3 {
			pause(ctx, delay)
		}
	}
}

func (w *Worker) waitCall(ctx context.Context, names []string, d time.Duration) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, d+redisTime)
	defer cancel()
	rang, err := w.redis.Wait(ctx, names, d)
	// No error is no answer: one that hears nothing for d may wait for a dead server.
	// The take that follows it knows.
	if err != nil && !errors.Is(err, context.Canceled) {
		w.metrics.errors.WithLabelValues("wait").Inc()
	}
	return rang, err
}
