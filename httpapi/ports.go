package httpapi

import (
	"context"

	"github.com/penguinmails/rookery/job"
)

// Jobs is the truth as the API needs it: Postgres. Errors that wrap
// [job.ErrUnavailable] or [job.ErrConflict] are answered with 503, everything
// that is not named here with 500 and without its text.
type Jobs interface {
	// Insert inserts all of specs or none and returns their ids in order. Bad input
	// is a [*job.FieldError] or a [*job.DataError]. The specs have their defaults
	// written out; a zero RunAt means now, by Postgres' clock.
	Insert(ctx context.Context, specs []job.Spec) ([]int64, error)
	// Job returns the row of one job with its payload, or [job.ErrNotFound].
	Job(ctx context.Context, id int64) (job.Job, error)
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

// Check is one line of /readyz.
type Check struct {
	Name   string                      // postgres, redis, …: letters, digits, _ and -
	Needed bool                        // false: reported, but readiness does not depend on it
	Probe  func(context.Context) error // must return soon after ctx has ended
}
