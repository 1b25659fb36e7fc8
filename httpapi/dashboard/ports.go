package dashboard

import (
	"context"

	"github.com/penguinmails/rookery/job"
)

// Ports are what the dashboard looks at and acts through; all are required. Errors
// that wrap [job.ErrUnavailable] or [job.ErrConflict] are shown as "try again",
// [job.ErrNotFound] as such, a [*job.FieldError] in its own words, and every other
// without its text.
type Ports struct {
	Jobs    Jobs
	House   House
	Live    Live
	As      func(job.Actor) Hands
	Audit   Audit
	Storage Storage
	Charts  Charts

	Operations Operations
	Endpoints  Endpoints
}

// Jobs looks at jobs: Postgres.
type Jobs interface {
	// JobOf returns one job with its payload, or [job.ErrNotFound], which is also said, as
	// quickly, of a job of none of the queues: names, or beginnings that end in *; none: all.
	JobOf(ctx context.Context, id int64, queues []string) (job.Job, error)
	// Attempts returns the attempts of a job that did not simply succeed, oldest first.
	Attempts(ctx context.Context, id int64) ([]job.Attempt, error)
	// List returns a page of jobs without their payloads.
	List(ctx context.Context, l job.Listing) (job.Page, error)
	// Ahead returns how many due jobs of its queue are claimed before j, counted up
	// to [job.GlanceCap].
	Ahead(ctx context.Context, j job.Job) (int64, error)
}

// House looks at queues, processes and dead jobs.
type House interface {
	// Queues returns the figures of every queue, by name, counted up to [job.QueueCap];
	// what is more than that is about right. Their windows are nil when Redis does not
	// answer.
	Queues(ctx context.Context) ([]job.QueueStats, error)
	// Processes returns the relays and workers, for the role "". What only Redis knows
	// of a worker is missing when that does not answer.
	Processes(ctx context.Context, role string) ([]job.ProcessState, error)
	// CountDead counts dead jobs of these queues, none meaning all, up to [job.GlanceCap].
	CountDead(ctx context.Context, queues []string) (int64, error)
	// DeadGroups returns their newest dead jobs by how they died.
	DeadGroups(ctx context.Context, queues []string) ([]job.DeadGroup, error)
}

// Live knows where a dispatched job is at this moment: Redis. An error leaves it open.
type Live interface {
	Live(ctx context.Context, j job.Job) (job.Live, error)
}

// Hands change things for somebody, and record that they did.
type Hands struct {
	Jobs       JobActions
	Queues     QueueActions
	Operations OperationActions
	Endpoints  EndpointActions
}

// JobActions change one job each. Cancel and Redrive may be called again.
type JobActions interface {
	// Cancel calls a job off; false: it was over.
	Cancel(ctx context.Context, id int64) (bool, error)
	// Redrive sends a job that is over again; false: it is on its way.
	Redrive(ctx context.Context, id int64) (bool, error)
	// Clone inserts a job like another, due now, and returns its id.
	Clone(ctx context.Context, id int64) (int64, error)
}

// QueueActions change one queue each. They may be called again.
type QueueActions interface {
	// Pause stops a queue's claims and takes, or lets them go on.
	Pause(ctx context.Context, queue string, paused bool) error
	// SetWindow says how many undelivered jobs of a queue may sit in Redis.
	SetWindow(ctx context.Context, queue string, size int) error
}

// OperationActions do something to all jobs that a filter finds.
type OperationActions interface {
	// Start begins it; servers work at it. The error is a [*job.FieldError] of the filter,
	// or [job.ErrTooMany].
	Start(ctx context.Context, action job.Action, l job.Listing) (job.Operation, error)
	// Cancel ends one before its time; false: it was over. Or [job.ErrNotFound]. It may be
	// called again.
	Cancel(ctx context.Context, id int64) (bool, error)
}

// Operations knows what is done to many jobs at once.
type Operations interface {
	// PreviewMany looks what an action would be done to, as far as that is quick. Bad input
	// is a [*job.FieldError].
	PreviewMany(ctx context.Context, action job.Action, l job.Listing) (job.Preview, error)
	// Operation returns one, or [job.ErrNotFound].
	Operation(ctx context.Context, id int64) (job.Operation, error)
	// Operations lists them, the newest first.
	Operations(ctx context.Context, f job.OperationFilter) (job.OperationPage, error)
}

// Audit has what people have changed.
type Audit interface {
	// Changes lists lines, the newest first. Bad input is a [*job.FieldError].
	Changes(ctx context.Context, f job.ChangeFilter) (job.ChangePage, error)
}

// Charts has what was done and what waited, by minute; see [job.StatRange].
type Charts interface {
	Stats(ctx context.Context, r job.StatRange) ([]job.StatPoint, error)
	Depths(ctx context.Context, r job.StatRange) ([]job.Depth, error)
}

// Storage says what jobs take in Postgres and in Redis.
type Storage interface {
	Storage(ctx context.Context) (job.Storage, error)
}
