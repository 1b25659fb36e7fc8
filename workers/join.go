package workers

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/penguinmails/rookery/job"
)

// join brings the queues into the epoch that Postgres has, whenever something hints
// at one. Until a queue has joined, nothing is taken from it.
func (w *Worker) join(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.joining:
			w.joinAll(ctx)
		}
	}
}

func (w *Worker) joinAll(ctx context.Context) {
	for _, q := range w.queues {
		if _, wanted := q.wanted(); wanted && w.joinQueue(ctx, q) {
			signal(w.telling)
		}
	}
}

// stale notes a STALE among what Redis answered to a call of epoch used, and has the
// next epoch looked for. With a higher epoch than the known one that is at once;
// else Redis is another life, or behind Postgres, and the worker waits.
func (w *Worker) stale(ctx context.Context, q *queue, used int64, err error) bool {
	if !errors.Is(err, job.ErrStale) {
		return false
	}
	w.redisAnswered()
	var s *job.StaleError
	if !errors.As(err, &s) {
		s = &job.StaleError{}
	}
	// Of a queue that nobody has heard of Redis can have nothing: its bell will ring.
	if epoch, _ := q.wanted(); epoch > 0 || s.Epoch > 0 {
		q.unanswered(time.Now())
	}
	if q.refuse(used, s) {
		w.log.WarnContext(ctx, "redis holds another life or epoch", keyQueue, q.name, keyEpoch, used, "redis_epoch", s.Epoch)
	}
	if s.Epoch > used {
		signal(w.joining)
	} else {
		signal(w.asking)
	}
	return true
}

// adopt joins the newest epoch when nothing is held and so nothing is to be
// announced. The caller holds q.taking.
func (w *Worker) adopt(q *queue) bool {
	epoch, wanted := q.wanted()
	known, _ := q.leased()
	if !wanted || epoch <= known || len(w.held.of(q)) > 0 {
		return false
	}
	q.announced(epoch)
	q.join(epoch)
	signal(w.telling)
	return true
}

// joinQueue leases anew, in the newest epoch, what is held of q, and drops what is
// refused or no longer current in Postgres. In this order: relays take back what
// has no lease, so what has one and is current cannot be taken back any more. It
// reports whether there is an epoch to tell Postgres of.
func (w *Worker) joinQueue(ctx context.Context, q *queue) bool {
	q.taking.Lock()
	defer q.taking.Unlock()
	epoch, wanted := q.wanted()
	if !wanted {
		return false
	}
	kept, err := w.announce(ctx, q, epoch, w.held.of(q))
	if err != nil {
		if !w.stale(ctx, q, epoch, err) {
			q.unanswered(time.Now())
			w.metrics.errors.WithLabelValues("announce").Inc()
			w.log.WarnContext(ctx, "cannot announce what is held", keyQueue, q.name, keyEpoch, epoch, keyError, err)
		}
		signal(w.asking)
		return false
	}
	q.announced(epoch)
	if err := w.verify(ctx, q, kept); err != nil {
		w.metrics.errors.WithLabelValues("verify").Inc()
		w.log.WarnContext(ctx, "cannot verify what is held", keyQueue, q.name, keyEpoch, epoch, keyError, err)
		signal(w.asking)
		return false
	}
	if !q.join(epoch) {
		return false // another life under the same epoch: the next one is still to come
	}
	w.metrics.joins.WithLabelValues(q.name).Inc()
	w.log.InfoContext(ctx, "joined epoch", keyQueue, q.name, keyEpoch, epoch, keyCount, len(kept))
	return true
}

// announce leases attempts in epoch and returns those that were not refused.
func (w *Worker) announce(ctx context.Context, q *queue, epoch int64, attempts []*attempt) (kept []*attempt, err error) {
	for part := range slices.Chunk(attempts, job.MaxBatch) {
		sent := time.Now()
		refused, err := w.announceCall(ctx, q, epoch, part)
		if err != nil {
			return nil, err
		}
		over := set(refused)
		for _, a := range part {
			if over[a.ref()] {
				w.loseLeased(a, sent)
			} else {
				kept = append(kept, a)
			}
		}
		w.held.renew(part, sent)
	}
	return kept, nil
}

func (w *Worker) announceCall(ctx context.Context, q *queue, epoch int64, part []*attempt) ([]job.Ref, error) {
	ctx, cancel := context.WithTimeout(ctx, redisTime)
	defer cancel()
	refused, err := w.leases.Announce(ctx, q.name, epoch, w.o.Lease, refs(part))
	if err == nil {
		w.redisAnswered()
		q.accepted(epoch)
	}
	return refused, err
}

// verify asks Postgres which attempts are current, and drops and acks the others. One
// whose outcome is on its way is left to its verdict.
func (w *Worker) verify(ctx context.Context, q *queue, attempts []*attempt) error {
	for part := range slices.Chunk(attempts, job.MaxBatch) {
		current, err := w.verifyCall(ctx, refs(part))
		if err != nil {
			return err
		}
		w.postgresAnswered()
		ok, now := set(current), time.Now()
		for _, a := range part {
			if ref := a.ref(); !ok[ref] && w.loseLeased(a, now) {
				w.acks.add(q, ref)
			}
		}
	}
	return nil
}

func (w *Worker) verifyCall(ctx context.Context, asked []job.Ref) ([]job.Ref, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	return w.store.Verify(ctx, asked)
}

// lose ends an attempt that is over: somebody took it back.
func (w *Worker) lose(a *attempt, now time.Time) {
	tell, lost := w.held.drop(a, now)
	w.tellLost(a, tell, lost)
}

// loseLeased is lose for what Redis said of an attempt that is leased there. It reports
// whether the attempt had no outcome yet.
func (w *Worker) loseLeased(a *attempt, now time.Time) bool {
	tell, lost := w.held.dropLeased(a, now)
	return w.tellLost(a, tell, lost)
}

func (w *Worker) tellLost(a *attempt, tell, lost bool) bool {
	if tell {
		a.cancel(job.ErrLeaseLost)
	}
	if lost && !a.adopted { // the other one says how such an attempt ended
		w.metrics.lost.WithLabelValues(a.queue.name).Inc()
	}
	return lost
}

func refs(attempts []*attempt) []job.Ref {
	list := make([]job.Ref, len(attempts))
	for i, a := range attempts {
		list[i] = a.ref()
	}
	return list
}

func set(refs []job.Ref) map[job.Ref]bool {
	s := make(map[job.Ref]bool, len(refs))
	for _, r := range refs {
		s[r] = true
	}
	return s
}
