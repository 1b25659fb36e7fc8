package relay

import (
	"context"
	"time"

	"github.com/penguinmails/rookery/job"
)

// Store is Postgres as a relay needs it. Its errors wrap [job.ErrUnavailable] or
// [job.ErrConflict] when the call may be made again, and are a [*job.DataError]
// when a value was refused.
type Store interface {
	Claims
	Ledger
	Epochs
	Returns
	Refusals
	Orders
	Holdings
	Books
	Past
	Figures
}

// Claims is steps D1 and D3.
type Claims interface {
	Survey(ctx context.Context, scheduledFrom time.Time, skipped []string) (job.Survey, error)
	Claim(ctx context.Context, c job.Claim) (job.Batch, error)
	Record(ctx context.Context, pushed []job.Recorded) error
	Express(ctx context.Context, s job.Spec, c job.Claim) (b job.Batch, ok bool, err error)
}

// Ledger is what is known of batches on their way.
type Ledger interface {
	TakeOver(ctx context.Context, relayID string, queues []string) ([]job.Batch, error)
	Unrecorded(ctx context.Context, relayID string) (map[string]int64, error)
	Sweep(ctx context.Context, from job.Cursor) (job.Sweep, error)
	Walk(ctx context.Context, afterID int64) (job.Walk, error)
}

// Epochs says which filling of which window is the present one.
type Epochs interface {
	Queues(ctx context.Context) (queues []job.Queue, life string, clock time.Time, err error)
	Register(ctx context.Context, names []string) error
	BeginEpoch(ctx context.Context, name string, seen, redisEpoch int64) (epoch int64, paused, begun bool, err error)
	WorkersBehind(ctx context.Context, queue string, epoch int64) (int64, error)
}

// Returns brings jobs back to where a claim finds them.
type Returns interface {
	Requeue(ctx context.Context, r job.Requeue) ([]job.Verdict, error)
	Unsettled(ctx context.Context, queue string, epoch int64, from job.Cursor) (job.Unsettled, error)
	Promote(ctx context.Context, scheduledFrom time.Time) (n int64, first time.Time, err error)
}

// Refusals deals with a job that cannot be claimed or encoded.
type Refusals interface {
	Head(ctx context.Context, queue string, hiPriority int16) (priority int16, id int64, err error)
	Refuse(ctx context.Context, ref job.Ref, reason string) error
}

// Holdings is what workers hold in Postgres, and when they must.
type Holdings interface {
	TakeBackHeld(ctx context.Context, deadline time.Time) (map[string][]job.Verdict, error)
	WindowHolds(ctx context.Context, queue string, epoch int64) (bool, error)
	RedisSilence(ctx context.Context) (time.Duration, error)
}

// Orders is what people want carried out, and who is alive to do it.
type Orders interface {
	Cancels(ctx context.Context) ([]job.CancelOrder, error)
	DropCancels(ctx context.Context, refs []job.Ref) error
	Beat(ctx context.Context, p job.Process) (job.Heard, error)
	Retire(ctx context.Context, id string) error
}

// Books is what the ledger says Redis must have, or may forget.
type Books interface {
	Entrusted(ctx context.Context, queue string, epoch, seq int64, age time.Duration, from job.Cursor) (job.Unsettled, error)
	Verify(ctx context.Context, refs []job.Ref) ([]job.Ref, error)
	Recorded(ctx context.Context, dispatchIDs []int64) ([]int64, error)
}

// Past is what is over: jobs, and what people did to many of them.
type Past interface {
	Prune(ctx context.Context, p job.Prune) (job.Pruned, error)
	PruneOperations(ctx context.Context, keep time.Duration) (deleted int64, err error)
}

// Figures is what relays note for charts.
type Figures interface {
	PutStats(ctx context.Context, writer int64, rows []job.Stat) error
	SampleDepths(ctx context.Context) (depths []job.Depth, sampled bool, err error)
	RollUp(ctx context.Context) error
	PruneStats(ctx context.Context) error
}

// Redis is the window as a relay needs it. Its errors are [job.ErrStale] (a
// [*job.StaleError]), [job.ErrBehind], [job.ErrLate], [job.ErrFull], or wrap
// [job.ErrUnavailable]; a refused call has changed nothing, and every call may be
// made again.
type Redis interface {
	Window
	TakeBack
	Inspection
}

// Window is step D2 and what it needs to know.
type Window interface {
	Push(ctx context.Context, p job.Push) (job.Pushed, error)
	OpenEpoch(ctx context.Context, queue string, epoch int64, paused bool) (redisEpoch int64, err error)
	Census(ctx context.Context, c job.Census) (job.Window, error)
	Cancel(ctx context.Context, queue string, epoch int64, refs []job.Ref) error
}

// TakeBack is the Redis half of reaping and settling.
type TakeBack interface {
	Expired(ctx context.Context, queue string, epoch, deadline int64, limit int) ([]job.LostAttempt, error)
	Missing(ctx context.Context, queue string, epoch int64, refs []job.Ref) ([]job.LostAttempt, error)
	Drop(ctx context.Context, queue string, epoch int64, refs []job.Ref) error
}

// Inspection is the Redis half of the audit, and what it has noted of batches.
type Inspection interface {
	Absent(ctx context.Context, queue string, epoch int64, refs []job.Ref) (absent []job.Ref, releases int64, err error)
	Waiting(ctx context.Context, queue string, epoch int64, band job.Band, from int) (waiting []job.Ref, next int, err error)
	Entomb(ctx context.Context, queue string, epoch int64, refs []job.Ref) (entombed []job.Ref, err error)
	Noted(ctx context.Context, queue string, epoch, upTo int64, cursor uint64) (dispatchIDs []int64, next uint64, err error)
}

// Source wakes a relay and keeps the gate that tells producers whether they must.
// [github.com/penguinmails/rookery/db.Listener] is one, and Tail another. Only an alarm
// clock: whoever wakes it, the relay claims the same way, and without any source it
// polls every second.
type Source interface {
	// Run keeps the source going until ctx ends.
	Run(ctx context.Context) error
	// Woken receives when there may be due jobs.
	Woken() <-chan struct{}
	// Hold closes the gate if nobody else has.
	Hold(ctx context.Context) (bool, error)
	// Release opens the gate. Until passed says true, a transaction may be open that
	// saw the gate closed and will wake nobody.
	Release(ctx context.Context) (passed func(context.Context) (bool, error), err error)
}
