package workers

import (
	"context"
	"time"

	"github.com/penguinmails/rookery/job"
)

// Store is the truth as a worker needs it: Postgres. Its errors wrap
// [job.ErrUnavailable] or [job.ErrConflict] when the same call may be made again,
// and are a [*job.DataError] when a value in it was refused.
type Store interface {
	Outcomes
	Living
	Holds
}

// Outcomes is step 6, and the question before it.
type Outcomes interface {
	// Reconcile records outcomes, at most one per attempt, and returns a verdict for
	// each it accepted; what does not come back is over and was refused.
	Reconcile(ctx context.Context, workerID string, outcomes []job.Outcome) ([]job.Verdict, error)
	// Verify returns those of refs that are current: dispatched or running under
	// that very dispatch.
	Verify(ctx context.Context, refs []job.Ref) ([]job.Ref, error)
}

// Living is the list of processes.
type Living interface {
	// Beat says that the process lives and returns the epoch of every queue, and whether
	// the worker is to be quiet.
	Beat(ctx context.Context, p job.Process) (job.Heard, error)
	// Retire takes the process out of the list of the living.
	Retire(ctx context.Context, id string) error
}

// Holds keeps a worker's right to its attempts in Postgres, while Redis cannot, and
// hands it jobs.
type Holds interface {
	// Hold moves attempts to a ledger row of the worker's own, under h.DispatchID, and
	// returns the ids of those it holds; the others are over. The same again does the
	// same again.
	Hold(ctx context.Context, h job.Hold) (held []int64, err error)
	// Renew keeps ledger rows for another lease. What is in neither list is over.
	Renew(ctx context.Context, workerID string, lease time.Duration, dispatches []int64) (current, cancelled []job.Ref, err error)
	// Claim is step D1 for the worker itself: c.WorkerID holds the batch for c.Lease.
	Claim(ctx context.Context, c job.Claim) (job.Batch, error)
}

// Queue is where jobs are taken from: Redis.
type Queue interface {
	// Take leases up to t.Limit jobs. [job.ErrStale] (a [*job.StaleError]) means
	// that Redis holds another epoch or life; nothing was taken.
	Take(ctx context.Context, t job.Take) (job.Taken, error)
	// Wait returns those of queues whose bell rang: they may have jobs. After d without
	// a bell there are none. It has taken a token off each bell, which others will not
	// hear: the caller takes from these queues next. With d 0 or less it only looks, at
	// all bells, and takes no token.
	Wait(ctx context.Context, queues []string, d time.Duration) (rang []string, err error)
	// Release gives back jobs that were taken and not begun, to the taking end.
	Release(ctx context.Context, queue string, epoch int64, jobs []job.Envelope) error
	// Register shows the worker in Redis' registry for a minute.
	Register(ctx context.Context, p job.Process) error
}

// Leases keeps a worker's right to its attempts, in Redis. Each call carries at
// most [job.MaxBatch] attempts of one queue.
type Leases interface {
	// Beat renews the leases of refs until now + lease on Redis' clock. gone are
	// over; cancelled were called off and are still leased.
	Beat(ctx context.Context, queue string, epoch int64, lease time.Duration, refs []job.Ref) (gone, cancelled []job.Ref, err error)
	// Announce leases anew, in a new epoch, what the worker was running in an older
	// one. refused are being taken back: they are over.
	Announce(ctx context.Context, queue string, epoch int64, lease time.Duration, refs []job.Ref) (refused []job.Ref, err error)
	// Ack gives up leases.
	Ack(ctx context.Context, queue string, epoch int64, refs []job.Ref) error
}
