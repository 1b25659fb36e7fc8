package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"github.com/penguinmails/rookery/job"
)

// changedJob is what the answer to a change says: the status it led to.
type changedJob struct {
	ID     int64      `json:"id"`
	Status job.Status `json:"status"`
}

// cancelJob answers POST /v1/jobs/{id}/cancel. A running handler is told within 5 s.
func (s *Server) cancelJob(ctx context.Context, r request) (answer, error) {
	return s.changeJob(ctx, r, JobActions.Cancel, job.Cancelled, "the job is over already")
}

// redriveJob answers POST /v1/jobs/{id}/redrive.
func (s *Server) redriveJob(ctx context.Context, r request) (answer, error) {
	return s.changeJob(ctx, r, JobActions.Redrive, job.Queued, "the job is on its way; only one that is over can be sent again")
}

// changeJob does one thing to the job of the path. What refused says is the answer when
// the job's status does not allow it.
func (s *Server) changeJob(ctx context.Context, r request, change func(JobActions, context.Context, int64) (bool, error), to job.Status, refused string) (answer, error) {
	id, err := actedOn(r)
	if err != nil {
		return answer{}, err
	}
	// Once begun it is not called off by a client that hangs up, as an insert is not.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), queryTimeout)
	defer cancel()
	done, err := change(s.hands(ctx).Jobs, ctx, id)
	if err != nil {
		return answer{}, fmt.Errorf("change job: %w", err)
	}
	if !done {
		return answer{}, newProblem(http.StatusConflict, codeWrongStatus, refused)
	}
	return answer{status: http.StatusOK, body: changedJob{id, to}}, nil
}

// deleteJob answers DELETE /v1/jobs/{id}: 204, and nothing knows of the job any more.
func (s *Server) deleteJob(ctx context.Context, r request) (answer, error) {
	_, err := s.changeJob(ctx, r, JobActions.Delete, "", "the job is on its way; cancel it first")
	return answer{status: http.StatusNoContent}, err
}

// clonedJob is the answer to POST /v1/jobs/{id}/clone.
type clonedJob struct {
	ID     int64      `json:"id"`
	Status job.Status `json:"status"`
	Of     int64      `json:"cloned_from"`
}

// cloneJob answers POST /v1/jobs/{id}/clone.
func (s *Server) cloneJob(ctx context.Context, r request) (answer, error) {
	of, err := actedOn(r)
	if err != nil {
		return answer{}, err
	}
	work, cancel := context.WithTimeout(context.WithoutCancel(ctx), insertTimeout)
	defer cancel()
	id, err := s.hands(ctx).Jobs.Clone(work, of)
	if err != nil {
		return answer{}, insertProblem(ctx, "", fmt.Errorf("clone: %w", err))
	}
	s.m.inserted.WithLabelValues("clone").Inc()
	return answer{
		status:   http.StatusCreated,
		location: "/v1/jobs/" + strconv.FormatInt(id, 10),
		body:     clonedJob{id, job.Queued, of},
	}, nil
}

// hands are the caller's.
func (s *Server) hands(ctx context.Context) Hands { return s.o.Admin.As(s.actor(ctx)) }

// actedOn returns the job of the path; these requests have no parameters.
func actedOn(r request) (int64, error) {
	if err := r.allow(); err != nil {
		return 0, err
	}
	return parseID(r.id)
}
