package httpapi

import (
	"context"
	"errors"

	"github.com/penguinmails/rookery/job"
)

// Admin is what people, and programs for them, may see and do beyond inserting jobs.
// All of its parts are needed. Their errors are answered as those of [Jobs] are.
type Admin struct {
	Look Look
	As   func(job.Actor) Hands
}

// Hands change things for somebody, each in one transaction with the line that records
// it. What is of a queue that they may not act on is to them [job.ErrNotFound].
type Hands struct {
	Jobs   JobActions
	Queues QueueActions
}

// Look is the window: Postgres, and for windows Redis.
type Look interface {
	// List returns a page of jobs. A [*job.FieldError] names what cannot be asked for.
	List(ctx context.Context, l job.Listing) (job.Page, error)
	// Queue returns the figures of one queue, or [job.ErrNotFound].
	Queue(ctx context.Context, name string) (job.QueueStats, error)
	// Processes returns relays or workers; an empty role means both. The
	// implementation bounds their number.
	Processes(ctx context.Context, role string) ([]job.ProcessState, error)
}

// JobActions change one job each. [job.ErrNotFound]: there is no such job. Cancel,
// Redrive and Delete may be sent again: what is done already is answered with false.
type JobActions interface {
	// Cancel calls a job off; false: it was over.
	Cancel(ctx context.Context, id int64) (bool, error)
	// Redrive sends a job that is over again; false: it is on its way.
	Redrive(ctx context.Context, id int64) (bool, error)
	// Clone inserts a job like another, due now, and returns its id.
	Clone(ctx context.Context, id int64) (int64, error)
	// Delete forgets a job that is over, with its history; false: it is on its way.
	Delete(ctx context.Context, id int64) (bool, error)
}

// QueueActions change one queue each. A queue that nobody has used yet is made.
type QueueActions interface {
	// Pause stops a queue's claims and takes, or lets them go on.
	Pause(ctx context.Context, queue string, paused bool) error
	// SetQueue changes a queue's window, and how long its jobs that are over are kept: all
	// of that or nothing.
	SetQueue(ctx context.Context, queue string, c job.QueueChange) error
}

func (a *Admin) check() error {
	if a != nil && (a.Look == nil || a.As == nil) {
		return errors.New("a part of the admin API is missing")
	}
	return nil
}
