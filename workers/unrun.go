package workers

import (
	"context"
	"sync"
	"time"

	"github.com/penguinmails/rookery/job"
)

// How long a job of an unknown kind is put back for, by its attempt_count.
const (
	unknownFirst = 10 * time.Second
	unknownMost  = 5 * time.Minute
)

// unknownDelay returns 10 s for the first attempt, doubling to 5 min.
func unknownDelay(attemptCount int32) time.Duration {
	n := min(max(attemptCount, 1)-1, 10)
	return min(unknownFirst<<n, unknownMost)
}

// unknownKind puts a job back that nobody here can run: a deploy under way will
// bring the handler, or a person will. It never kills a job.
func (w *Worker) unknownKind(ctx context.Context, a *attempt) {
	a.route.series.unknown.Inc()
	if w.unknown.alarm(a.job.Kind, time.Now()) {
		w.log.ErrorContext(ctx, "no handler for this kind of job", keyQueue, a.queue.name, keyKind, a.job.Kind, keyJob, a.job.ID)
	}
	o := job.OutcomeOf(a.ref(), job.Snooze(unknownDelay(a.job.AttemptCount)), 0, 0)
	w.held.finishUnrun(a, &o)
}

// unreadable records a job whose envelope cannot be decoded as a failed attempt.
func (w *Worker) unreadable(ctx context.Context, a *attempt) {
	w.log.ErrorContext(ctx, "envelope cannot be read", keyQueue, a.queue.name, keyJob, a.job.ID, keyDispatch, a.job.DispatchID)
	o := job.OutcomeOf(a.ref(), job.ErrEnvelope, 0, job.Backoff(1))
	w.held.finishUnrun(a, &o)
}

// refuseForged gives up the leases of entries that no relay of ours has signed: they
// are not run, and nothing is said to Postgres, since they may name an attempt that is
// another's.
func (w *Worker) refuseForged(ctx context.Context, q *queue, forged []job.Ref) {
	if len(forged) == 0 {
		return
	}
	w.metrics.forged.WithLabelValues(q.name).Add(float64(len(forged)))
	w.log.ErrorContext(ctx, "entries in redis are not from a relay of ours and were not run", keyQueue, q.name, keyCount, len(forged), keyJob, forged[0].ID)
	for _, ref := range forged {
		if ref != (job.Ref{}) { // else not even its head can be read
			w.acks.add(q, ref)
		}
	}
}

// unknown remembers which kinds were alarmed within the last minute.
type unknown struct {
	mu    sync.Mutex
	since map[string]time.Time
}

func newUnknown() *unknown { return &unknown{since: map[string]time.Time{}} }

func (u *unknown) alarm(kind string, now time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if at, ok := u.since[kind]; ok && now.Sub(at) < time.Minute {
		return false
	}
	if len(u.since) >= 1000 {
		clear(u.since) // kinds come from outside: memory must not grow with them
	}
	u.since[kind] = now
	return true
}
