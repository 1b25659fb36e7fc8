package httpapi

import (
	"context"
	"net/http"

	"github.com/penguinmails/rookery/job"
)

// Jobs is the truth as the API needs it: Postgres. Errors that wrap
// [job.ErrUnavailable] or [job.ErrConflict] are answered with 503, everything
// that is not named here with 500 and without its text.
type Jobs interface {
	// Insert inserts all of specs or none and returns their ids in order. An error
	// that wraps [job.ErrNotInserted] leaves no doubt that it did not. Bad input
	// is a [*job.FieldError] or a [*job.DataError]. The specs have their defaults
	// written out; a zero RunAt means now, by Postgres' clock.
	Insert(ctx context.Context, specs []job.Spec) ([]int64, error)
	// JobOf returns the row of one job with its payload, or [job.ErrNotFound], which is also
	// said, as quickly, of a job of none of the queues: names, or beginnings that end in *;
	// none: all.
	JobOf(ctx context.Context, id int64, queues []string) (job.Job, error)
	// Attempts returns the attempts of a job that did not simply succeed, oldest
	// first. The implementation bounds their number.
	Attempts(ctx context.Context, id int64) ([]job.Attempt, error)
	// Queues returns the figures of every queue, by name.
	Queues(ctx context.Context) ([]job.QueueStats, error)
}

// Live knows where a job that was dispatched is at this moment: Redis. It is asked
// for nothing that the row alone can tell. An error leaves the answer's live
// status null, with a note.
type Live interface {
	Live(ctx context.Context, j job.Job) (job.Live, error)
}

// Express is the express lane for one job of band high: it inserts the job as
// already dispatched, with its ledger row, in one transaction, and then pushes it.
type Express interface {
	// Insert inserts and pushes s. handled = false with a nil error means that
	// nothing was inserted and the ordinary way is to be used: Redis is away, the
	// window is full, the queue is paused, or s is not due by Postgres' clock (the
	// server has only compared its RunAt with its own). An error means
	// that the insert failed or that its outcome is unknown, and ends the request
	// as an error of [Jobs] would: the ordinary way after it could insert the job
	// a second time. A push that fails after the commit is no error; a relay takes
	// the ledger row over within seconds.
	Insert(ctx context.Context, s job.Spec) (id int64, handled bool, err error)
}

// Spool keeps requests in Redis while Postgres is away. Each method may be called
// again with the same effect. Any error means that Redis may or may not have done
// it, save the named ones, which changed nothing.
type Spool interface {
	// Append keeps one request, whole or not at all. A key that waits already is
	// kept once; with another digest it is [job.ErrKeyReused]. [job.ErrSpoolFull] and
	// [job.ErrFull] refuse.
	Append(ctx context.Context, r job.Spooled) error
	// Peek returns the oldest entries behind the one with id after, "" meaning from
	// the start, that are young enough to be inserted.
	Peek(ctx context.Context, after string) (job.SpoolPage, error)
	// Remove takes entries out by their ids; with a reason they are set aside for
	// people to look at.
	Remove(ctx context.Context, reason string, ids ...string) error
	// Find says whether a key waits, was refused, or is unknown to the spool.
	Find(ctx context.Context, key string) (job.SpoolState, error)
}

// Keyed inserts requests at most once under their keys: Postgres.
type Keyed interface {
	// InsertOnce inserts the jobs of one request and returns their ids, or, replayed,
	// those of an earlier request with its key. Errors are those of InsertSpooled;
	// [job.ErrConflict]: such a request is under way, and nothing was inserted.
	InsertOnce(ctx context.Context, r job.Spooled) (ids []int64, replayed bool, err error)
	// InsertSpooled inserts the jobs of those requests whose keys are new, all or
	// none, and returns every request's ids in order. [job.ErrKeyReused]: a key
	// belongs to a request with another digest. [job.ErrNotInserted] is as in [Jobs].
	InsertSpooled(ctx context.Context, requests []job.Spooled) ([][]int64, error)
	// SpooledJobs returns the ids of the jobs inserted under a key, or
	// [job.ErrNotFound].
	SpooledJobs(ctx context.Context, key string) ([]int64, error)
	// RetireSpooled forgets some keys whose spooled copies nobody would insert any
	// more, and returns how many.
	RetireSpooled(ctx context.Context) (int64, error)
}

// UI is what people with a browser see.
type UI interface {
	http.Handler
	// Close ends the answers that would else not end. It is called at shutdown, and
	// may be called again.
	Close()
}

// Check is one line of /readyz.
type Check struct {
	Name   string // postgres, redis, …: letters, digits, _ and -
	Needed bool   // false: a failure is reported as degraded, and readiness does not depend on it
	// Probe must return soon after ctx has ended. A [*DegradedError] says that the
	// process goes on without, and how: it is ready.
	Probe func(context.Context) error
}
