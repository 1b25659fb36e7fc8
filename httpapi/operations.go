package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/penguinmails/rookery/job"
)

// Operations begins actions on all jobs that a filter finds, and knows how far they are.
type Operations interface {
	// StartOperation begins one that holder works at, "" meaning whoever takes it up. The
	// error is a [*job.FieldError] of the filter, or [job.ErrTooMany].
	StartOperation(ctx context.Context, who job.Actor, action job.Action, l job.Listing, holder string) (job.Operation, error)
	// Operation returns one, or [job.ErrNotFound].
	Operation(ctx context.Context, id int64) (job.Operation, error)
	// Operations lists them, the newest first.
	Operations(ctx context.Context, f job.OperationFilter) (job.OperationPage, error)
	// CancelOperation ends one before its time; false: it was over. Or [job.ErrNotFound],
	// also for one that who may not know of.
	CancelOperation(ctx context.Context, who job.Actor, id int64) (job.Operation, bool, error)
}

// startOperation answers with an operation that the servers work at from now on.
func (s *Server) startOperation(ctx context.Context, action job.Action, l job.Listing) (answer, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), queryTimeout)
	defer cancel()
	o, err := s.o.Bulk.Operations.StartOperation(ctx, s.actor(ctx), action, l, "")
	if errors.Is(err, job.ErrTooMany) {
		p := newProblem(http.StatusTooManyRequests, codeTooMany, err.Error())
		p.retryAfter = 10
		return answer{}, p
	}
	if err != nil {
		return answer{}, bulkProblem(fmt.Errorf("start operation: %w", err))
	}
	select {
	case s.operate <- struct{}{}:
	default: // it has been told
	}
	return answer{status: http.StatusAccepted, location: "/v1/operations/" + strconv.FormatInt(o.ID, 10), body: o}, nil
}

// getOperation answers GET /v1/operations/{id}.
func (s *Server) getOperation(ctx context.Context, r request) (answer, error) {
	id, err := actedOn(r)
	if err != nil {
		return answer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	o, err := s.o.Bulk.Operations.Operation(ctx, id)
	if err == nil && !o.Filter.Within(s.principal(ctx).Queues) {
		err = job.ErrNotFound // as if it were not there
	}
	if err != nil {
		return answer{}, operationProblem(fmt.Errorf("read operation: %w", err))
	}
	return answer{status: http.StatusOK, body: o, tagged: true}, nil
}

// listOperations answers GET /v1/operations: the newest first.
func (s *Server) listOperations(ctx context.Context, r request) (answer, error) {
	p, err := cursorPageOf(r)
	if err != nil {
		return answer{}, err
	}
	var before int64
	if p.cursor != "" {
		if before, err = parseID(p.cursor); err != nil {
			return answer{}, invalidParameter("cursor", "must be a next_cursor of this route")
		}
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	page, err := s.o.Bulk.Operations.Operations(ctx, job.OperationFilter{Queues: s.principal(ctx).Queues, Before: before, Limit: p.limit})
	if err != nil {
		return answer{}, fmt.Errorf("list operations: %w", err)
	}
	body := struct {
		Data       []job.Operation `json:"data"`
		NextCursor *string         `json:"next_cursor"` // null: these were the oldest
	}{Data: append([]job.Operation{}, page.Operations...)} // never null
	if page.Next > 0 {
		next := strconv.FormatInt(page.Next, 10)
		body.NextCursor = &next
	}
	return answer{status: http.StatusOK, body: body}, nil
}

// cancelOperation answers POST /v1/operations/{id}/cancel. What is done stays done.
func (s *Server) cancelOperation(ctx context.Context, r request) (answer, error) {
	id, err := actedOn(r)
	if err != nil {
		return answer{}, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), insertTimeout)
	defer cancel()
	o, done, err := s.o.Bulk.Operations.CancelOperation(ctx, s.actor(ctx), id)
	if err != nil {
		return answer{}, operationProblem(fmt.Errorf("cancel operation: %w", err))
	}
	if !done {
		return answer{}, newProblem(http.StatusConflict, codeWrongStatus, "the operation is over: "+string(o.Status))
	}
	return answer{status: http.StatusOK, body: o}, nil
}

func operationProblem(err error) error {
	if errors.Is(err, job.ErrNotFound) {
		return newProblem(http.StatusNotFound, codeNoOperation, "there is no operation with this id")
	}
	return err
}

// purgeQueue answers POST /v1/queues/{name}/purge with an operation that cancels what
// waits, in Postgres or in Redis. It cancels and does not delete, so that a purge of the
// wrong queue can be taken back by a redrive; who wants the rows gone deletes cancelled
// jobs. confirm has to say the name once more.
func (s *Server) purgeQueue(ctx context.Context, r request) (answer, error) {
	name, err := s.queueOf(ctx, r)
	if err != nil {
		return answer{}, err
	}
	if err := decodeConfirm(r.body, name); err != nil {
		return answer{}, err
	}
	return s.startOperation(ctx, job.ActionPurge, job.Listing{QueueName: name})
}

// decodeConfirm reads {"confirm": name}.
func decodeConfirm(body []byte, name string) error {
	d, p := newDocument(body)
	if p != nil {
		return p
	}
	said := ""
	if d.is('{') {
		d.object(func(field string) {
			raw := d.raw()
			if field != "confirm" {
				d.fault(faultUnknown, "is not a field of a purge, which has only confirm")
				return
			}
			var err error
			said, err = text(raw)
			d.refuse(field, err)
		})
		if len(d.faults) == 0 && said != name {
			d.faultOf("confirm", faultInvalid, "must be the name of the queue, %s", name)
		}
	}
	return d.problem(codeInvalidQueue)
}
