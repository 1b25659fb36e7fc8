package httpapi

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"time"

	"github.com/penguinmails/rookery/job"
)

// OperationWork is what a server needs to work at operations: Postgres.
type OperationWork interface {
	// TakeOperation makes holder the one who works at an operation that nobody works at.
	TakeOperation(ctx context.Context, holder string) (id int64, found bool, err error)
	// WorkOperation does one batch of it, whole or not at all; held is false when it is over
	// or another's. A [*job.FieldError] says that it cannot go on.
	WorkOperation(ctx context.Context, t job.Turn) (o job.Operation, held bool, err error)
	// FailOperation ends it, and says why.
	FailOperation(ctx context.Context, id int64, holder, why string) error
}

// How a server works at operations.
const (
	operatePause = 2 * time.Second  // between two looks for one
	operateRetry = time.Second      // after an error
	operateCall  = 15 * time.Second // of one batch; Postgres ends its statements earlier
	operateTries = 5                // batches in a row that may fail before the operation does
)

// operator works at operations, one at a time, of any server's: those of a server that
// has died are taken up when their lease has ended. Any number of operators may run;
// Postgres has a batch done by one of them, and once.
type operator struct {
	work      OperationWork
	holder    string
	wake      <-chan struct{} // there is a new one
	log       *slog.Logger
	failpoint func(string)
}

func newHolder() string { return "api-" + rand.Text() }

// run works until ctx ends.
func (o *operator) run(ctx context.Context) {
	pause := time.NewTicker(operatePause)
	defer pause.Stop()
	for ctx.Err() == nil {
		for o.next(ctx) {
		}
		select {
		case <-ctx.Done():
		case <-o.wake:
		case <-pause.C:
		}
	}
}

// next takes up an operation and works at it, and reports whether there was one. That
// Postgres is away others say.
func (o *operator) next(ctx context.Context) bool {
	if ctx.Err() != nil {
		return false
	}
	call, cancel := context.WithTimeout(ctx, queryTimeout)
	id, found, err := o.work.TakeOperation(call, o.holder)
	cancel()
	if err != nil {
		if ctx.Err() == nil && !errors.Is(err, job.ErrUnavailable) {
			o.log.WarnContext(ctx, "operations not looked for", logError, err)
		}
		return false
	}
	return found && o.operate(ctx, id)
}

// operate does batch after batch, and rests after each for as long as it took: half of
// one connection is the most that operations have of a server. It reports whether to
// look for the next one at once.
func (o *operator) operate(ctx context.Context, id int64) bool {
	for failed := (failures{}); ctx.Err() == nil; {
		began := time.Now()
		op, held, err := o.batch(ctx, id)
		switch {
		case err != nil && ctx.Err() != nil:
			return false
		case err != nil:
			if !o.goOn(ctx, id, &failed, err) {
				return false
			}
			rest(ctx, operateRetry)
			continue
		case !held:
			return true // cancelled, or taken over
		case op.Status != job.OperationRunning:
			o.log.InfoContext(ctx, "operation is over", logOperation, id, logAction, op.Action, logStatus, op.Status, logJobs, op.Done, logPrincipal, op.Principal)
			return true
		}
		failed.all, failed.odd = 0, 0
		rest(ctx, time.Since(began))
	}
	return false
}

func (o *operator) batch(ctx context.Context, id int64) (job.Operation, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, operateCall)
	defer cancel()
	op, held, err := o.work.WorkOperation(ctx, job.Turn{
		ID: id, Holder: o.holder,
		Found:        func() { o.failpoint("api.found_batch") },
		BeforeCommit: func() { o.failpoint("api.in_batch") },
	})
	// A crash here, or before the commit, leaves the place where the batch began or ended:
	// another server goes on from there.
	o.failpoint("api.after_batch")
	return op, held, err
}

// failures are batches that failed, in a row.
type failures struct {
	all int
	odd int // of those, not because Postgres was away or others in the way
}

// goOn reports whether a batch that failed is to be tried again. Postgres that is away,
// and others in the way, are waited for.
func (o *operator) goOn(ctx context.Context, id int64, f *failures, err error) bool {
	var field *job.FieldError
	f.all++
	if !errors.Is(err, job.ErrUnavailable) && !errors.Is(err, job.ErrConflict) {
		f.odd++
	}
	if !errors.As(err, &field) && f.odd < operateTries {
		if f.all == 1 {
			o.log.WarnContext(ctx, "operation waits", logOperation, id, logError, err)
		}
		return true
	}
	o.log.ErrorContext(ctx, "operation failed", logOperation, id, logError, err)
	why := "a fault of the server; its log has it"
	if field != nil {
		why = field.Error()
	}
	call, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	if err := o.work.FailOperation(call, id, o.holder, why); err != nil {
		o.log.WarnContext(ctx, "operation not ended", logOperation, id, logError, err)
	}
	return false
}

func rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
