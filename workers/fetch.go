package workers

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/penguinmails/rookery/job"
)

// gatherSlots is how long fetch lets slots gather when fewer than an eighth are
// free: on a busy worker one take for several jobs, not one for each.
const gatherSlots = time.Millisecond

// tokens makes take tokens. The prefix is random: a worker that was restarted with
// its old ID must not be answered with what its former self took.
type tokens struct {
	prefix string
	n      uint64
}

func (t *tokens) next() string {
	t.n++
	return t.prefix + "-" + strconv.FormatUint(t.n, 36)
}

// fetch takes and begins jobs until ctx ends, and returns what it took and did not
// begin. life outlives ctx: a take under way is waited for, because the jobs of one
// that is broken off would be stranded until their leases end.
func (w *Worker) fetch(ctx, life context.Context) []*attempt {
	// Handlers get ctx's values, not its end: their end always has its own cause.
	f := fetcher{base: context.WithoutCancel(ctx)}
	f.quiet = retry{first: time.Millisecond, most: 50 * time.Millisecond}
	for ctx.Err() == nil {
		if !w.roomy(len(f.waiting)) {
			w.awaitRoom(ctx)
			f.waiting = w.begin(f.base, f.waiting) //nolint:contextcheck // base is ctx without its end
			continue
		}
		if w.o.Demand.atMost(1) == 0 {
			w.settle(ctx, life)
			continue
		}
		w.gather(ctx)
		w.listen(ctx, &f)
		more, got := w.round(life, &f)
		f.waiting = w.begin(f.base, f.waiting) //nolint:contextcheck // base is ctx without its end
		if got {
			f.quiet.reset()
		}
		if len(f.waiting) == 0 && (!more || !got) && w.o.Demand.atMost(1) > 0 {
			w.idle(ctx, &f)
		}
	}
	return f.waiting
}

// fetcher is what fetch remembers from one round to the next.
type fetcher struct {
	base    context.Context // of the handlers
	waiting []*attempt      // taken, not begun: for want of a slot, or to be alone
	quiet   retry           // bells in a row that rang for nothing
	at      time.Time       // when the last round began
	looked  time.Time       // when the bells were last heard of
	names   []string
}

// roomy reports whether something may be taken: the worker is not quiet, nothing waits
// to begin, nothing runs alone, a slot is free, and Postgres keeps up with the outcomes.
func (w *Worker) roomy(waiting int) bool {
	if waiting > 0 || w.quiet.on.Load() {
		return false
	}
	h := w.held
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.running < h.slots && !h.alone && len(h.waiting)+h.sending < w.o.Buffer
}

func (w *Worker) awaitRoom(ctx context.Context) {
	select {
	case <-w.held.freed:
	case <-w.o.Demand.rising():
	case <-ctx.Done():
	}
}

// gather waits until an eighth of the slots is free, besides those that a backlog does
// not get, at most for a millisecond.
func (w *Worker) gather(ctx context.Context) {
	enough := w.o.Concurrency/8 + w.spare()
	if !w.held.want(enough) {
		return
	}
	defer w.held.want(1)
	t := time.NewTimer(gatherSlots)
	defer t.Stop()
	for w.held.want(enough) {
		select {
		case <-w.held.freed:
		case <-t.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// round asks the queues whose turn it is once, in their order, for as many jobs as there
// are free slots. more: it is worth asking again at once. got: something was taken.
func (w *Worker) round(life context.Context, f *fetcher) (more, got bool) {
	// Attempts that end meanwhile become outcomes: the sum of both, which only
	// Postgres brings down, is what keeps the buffer from growing past its limit.
	c := w.held.counts()
	free := w.o.Demand.atMost(w.o.Concurrency - max(c.running, c.running+c.outcomes-w.o.Buffer+1))
	f.at = time.Now()
	queues := w.order.next()
	for i, q := range queues {
		if free <= len(f.waiting) {
			passOver(queues[i:], f.at)
			return true, true
		}
		before := len(f.waiting)
		ask := w.take
		if q.direct(time.Now(), w.o.Beat) {
			ask = w.claim
		} else if len(queues) > 1 && !q.wants(f.at) {
			continue
		}
		limit := w.share(free-before, q, queues[i+1:], f.at)
		if limit <= 0 {
			more, got = true, true // no slot for it, but jobs
			if len(f.waiting) > 0 {
				passOver(queues[i:i+1], f.at)
			}
			continue
		}
		if ask(life, q, min(limit, job.MaxBatch), f) {
			more = true
		}
		w.o.Demand.took(len(f.waiting) - before)
		got = got || len(f.waiting) > before
	}
	return more, got
}

// take asks one queue, and asks once more when the answer is that Redis holds a
// newer epoch and there is nothing to announce in it.
func (w *Worker) take(life context.Context, q *queue, limit int, f *fetcher) (more bool) {
	if w.postgresAt.Load() == 0 {
		return false // not in the list of the living: a relay that settles would not wait for us
	}
	if !q.taking.TryLock() {
		return false // join is at it
	}
	defer q.taking.Unlock()
	for range 2 {
		epoch, ok := q.open()
		now := time.Now()
		if !ok || now.Before(q.again) {
			return false
		}
		if q.token == "" {
			q.token, q.tokenEpoch = w.tokens.next(), epoch
		}
		taken, err := w.takeCall(life, job.Take{
			QueueName: q.name, Epoch: epoch, WorkerID: w.o.ID, Token: q.token, TokenEpoch: q.tokenEpoch, Limit: limit, Lease: w.o.Lease,
		})
		if err == nil && q.tokenEpoch != epoch {
			taken, err = w.current(life, q, taken)
		}
		if err == nil {
			q.token, q.again = "", time.Time{}
			q.retry.reset()
			q.answered(taken.More, now)
			q.accepted(epoch)
			w.redisBack(life, q)
			w.accept(life, q, taken, now, f, nil)
			return q.rivals.took(len(taken.Jobs)+len(taken.Broken), taken.More)
		}
		if !w.takeRefused(life, q, epoch, now, err) || !w.adopt(q) {
			return false
		}
	}
	return false
}

// current drops from what a token of an earlier epoch brought the attempts that are
// over: open keeps leases, whatever became of their attempts meanwhile.
func (w *Worker) current(ctx context.Context, q *queue, t job.Taken) (job.Taken, error) {
	if len(t.Jobs) == 0 {
		return t, nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	current, err := w.store.Verify(ctx, job.Batch{Jobs: t.Jobs}.Refs())
	if err != nil {
		return t, fmt.Errorf("verify what an earlier take brought: %w", err)
	}
	live := set(current)
	t.Jobs = slices.DeleteFunc(t.Jobs, func(e job.Envelope) bool {
		if live[e.Ref()] {
			return false
		}
		w.acks.add(q, e.Ref())
		return true
	})
	return t, nil
}

func (w *Worker) takeCall(ctx context.Context, t job.Take) (job.Taken, error) {
	ctx, cancel := context.WithTimeout(ctx, redisTime)
	defer cancel()
	taken, err := w.redis.Take(ctx, t)
	if err == nil {
		w.redisAnswered()
	}
	return taken, err
}

// takeRefused reports whether err is an answer (STALE), after which the next take has a
// new token, unless this one was sent before and had no answer. After anything else
// Redis may or may not have leased jobs to us, and the same token asks again, later;
// after a take that hung, not before direct mode may begin: each holds up the other
// queues.
func (w *Worker) takeRefused(ctx context.Context, q *queue, epoch int64, sent time.Time, err error) bool {
	if w.stale(ctx, q, epoch, err) {
		if q.retry.failures == 0 { // else an earlier call may have leased jobs, which the new epoch keeps
			q.token = ""
		}
		return true
	}
	if q.retry.failures == 0 {
		w.log.WarnContext(ctx, "cannot take jobs", keyQueue, q.name, keyError, err)
	}
	q.unanswered(sent)
	w.metrics.errors.WithLabelValues("take").Inc()
	q.again = time.Now().Add(q.retry.next())
	if time.Since(sent) >= redisTime {
		q.again = sent.Add(w.o.Beat)
	}
	return false
}

// accept holds what was taken from Redis, or claimed from Postgres as r. A crash from
// here to the handler's call leaves leases that end; a relay hands the jobs out again.
func (w *Worker) accept(ctx context.Context, q *queue, t job.Taken, sent time.Time, f *fetcher, r *row) {
	w.refuseForged(ctx, q, t.Forged)
	n := len(t.Jobs) + len(t.Broken)
	if n == 0 {
		return
	}
	list := make([]*attempt, 0, n)
	for i := range t.Jobs {
		e := &t.Jobs[i]
		list = append(list, newAttempt(e, q, w.routes.find(q.name, e.Kind), r))
	}
	for _, ref := range t.Broken {
		e := job.Envelope{ID: ref.ID, DispatchID: ref.DispatchID, QueueName: q.name}
		list = append(list, newAttempt(&e, q, w.routes.find(q.name, ""), r))
	}
	for _, a := range list {
		a.alone = a.job.Alone && w.o.Demand == nil
	}
	w.held.add(list, sent)
	w.metrics.taken.WithLabelValues(q.name).Add(float64(n))
	w.o.Failpoint(FailAfterTake)
	for i, a := range list {
		switch {
		case i >= len(t.Jobs):
			w.unreadable(ctx, a)
		case a.route.handler == nil:
			w.unknownKind(ctx, a)
		default:
			f.waiting = append(f.waiting, a)
		}
	}
}
