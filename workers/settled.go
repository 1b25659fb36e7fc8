package workers

import (
	"errors"
	"time"

	"github.com/penguinmails/rookery/job"
)

// settledError says that an attempt has its outcome.
type settledError struct{ status job.Status }

// Error says the same.
func (e settledError) Error() string { return "the attempt was settled elsewhere" }

// Settled, returned by a handler, says that somebody else has told Postgres, under the
// fence, what became of the attempt: nothing is written, and its lease in Redis is given
// up. It is counted as what that made of the job: completed, dead or cancelled, and
// queued for one that has failed; "" for one whose end is not known.
func Settled(now job.Status) error { return settledError{now} }

// settled ends an attempt that has its outcome, and reports whether that could be done.
// One that is held in Postgres takes the ordinary way: the fence refuses what it says.
func (w *Worker) settled(a *attempt, s settledError, ran time.Duration) bool {
	ref := a.ref()
	if !w.held.desert(a, false) {
		return false
	}
	w.acks.add(a.queue, ref)
	o := job.Outcome{Ref: ref, Ran: ran}
	w.count(a, &o, resultOfSettled(s.status), time.Now())
	a.route.series.run.Observe(ran.Seconds())
	if w.o.Judged != nil {
		w.o.Judged(&a.job, s.status)
	}
	return true
}

func resultOfSettled(now job.Status) int {
	switch now {
	case job.Completed:
		return resultCompleted
	case job.Dead:
		return resultDead
	case job.Cancelled:
		return resultCancelled
	case job.Queued:
		return resultFailed
	case job.Dispatched, job.Running:
	}
	return resultStale
}

// faultOf is err as a span is to show it: a job that somebody else has completed is none.
func faultOf(err error) error {
	if s, ok := settledOf(err); ok && s.status == job.Completed {
		return nil
	}
	return err
}

// settledOf is the [Settled] that err is, if it is one. Success, which every job is to
// come to, allocates nothing: what errors.As is handed lies on the heap.
func settledOf(err error) (settledError, bool) {
	if err == nil {
		return settledError{}, false
	}
	var s settledError
	ok := errors.As(err, &s)
	return s, ok
}
