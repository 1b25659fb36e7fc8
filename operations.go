package rookery

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/penguinmails/rookery/job"
)

// How Operate goes on.
const (
	operateLook  = time.Second      // between two looks at an operation that another works at
	operateGrace = 30 * time.Second // how long it bears that Postgres does not answer
)

// Preview looks for what an action would be done to, as far as that is quick.
func (j *Jobs) Preview(ctx context.Context, action job.Action, l job.Listing) (job.Preview, error) {
	return j.store.PreviewMany(ctx, action, l)
}

// Operate begins an action on all jobs that l finds, in the name of who runs this program,
// and works at it until it is over. seen is told of it after each batch. When ctx ends, or
// Postgres is away for too long, the operation is not over: servers go on with it.
func (j *Jobs) Operate(ctx context.Context, action job.Action, l job.Listing, seen func(job.Operation)) (job.Operation, error) {
	holder := "cli-" + rand.Text()
	o, err := j.store.StartOperation(ctx, AtTheCommandLine(), action, l, holder)
	if err != nil {
		return o, err
	}
	var failing time.Time // since when there is no answer; zero: there is
	for o.Status == job.OperationRunning {
		seen(o)
		began := time.Now()
		next, held, err := j.store.WorkOperation(ctx, job.Turn{ID: o.ID, Holder: holder})
		if err == nil && !held { // somebody has cancelled it, or we were too slow
			next, err = j.store.Operation(ctx, o.ID)
		}
		switch {
		case err == nil:
			o, failing = next, time.Time{}
		case ctx.Err() != nil || !errors.Is(err, job.ErrUnavailable) && !errors.Is(err, job.ErrConflict):
			return o, err
		case failing.IsZero():
			failing = began
		case time.Since(failing) > operateGrace:
			return o, err
		}
		pause := time.Since(began) // half of one connection, as servers have it
		if err != nil || !held {
			pause = operateLook
		}
		select {
		case <-ctx.Done():
			return o, ctx.Err()
		case <-time.After(pause):
		}
	}
	return o, nil
}

// Operation returns one operation, or [job.ErrNotFound].
func (j *Jobs) Operation(ctx context.Context, id int64) (job.Operation, error) {
	return j.store.Operation(ctx, id)
}

// Operations lists the newest operations, up to limit of them.
func (j *Jobs) Operations(ctx context.Context, limit int) ([]job.Operation, error) {
	page, err := j.store.Operations(ctx, job.OperationFilter{Limit: limit})
	return page.Operations, err
}

// CancelOperation ends an operation before its time; false: it was over.
func (j *Jobs) CancelOperation(ctx context.Context, id int64) (bool, error) {
	_, done, err := j.store.CancelOperation(ctx, AtTheCommandLine(), id)
	return done, err
}
