package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/penguinmails/rookery/job"
)

// WorkerActions is what people have workers do: Postgres.
type WorkerActions interface {
	// SetQuiet has a worker take no more jobs, or take them again, and records who said so.
	// [job.ErrNotFound]: no worker has this id.
	SetQuiet(ctx context.Context, who job.Actor, id string, quiet bool) error
}

// quietWorker answers POST /v1/workers/{id}/quiet. The worker knows with its next beat.
func (s *Server) quietWorker(ctx context.Context, r request) (answer, error) {
	if err := r.allow(); err != nil {
		return answer{}, err
	}
	id, err := url.PathUnescape(r.id)
	if err != nil || id == "" || len(id) > job.MaxProcessID {
		return answer{}, invalidParameter("id", fmt.Sprintf("must be the id of a worker, of at most %d bytes", job.MaxProcessID))
	}
	quiet, err := decodeQuiet(r.body)
	if err != nil {
		return answer{}, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), queryTimeout)
	defer cancel()
	switch err := s.o.Workers.SetQuiet(ctx, s.actor(ctx), id, quiet); {
	case errors.Is(err, job.ErrNotFound):
		return answer{}, newProblem(http.StatusNotFound, codeNoWorker, "no worker has this id; GET /v1/workers lists them")
	case err != nil:
		return answer{}, fmt.Errorf("quiet: %w", err)
	}
	return answer{status: http.StatusOK, body: struct {
		ID    string `json:"id"`
		Quiet bool   `json:"quiet"`
	}{id, quiet}}, nil
}

// decodeQuiet reads {"quiet": true}.
func decodeQuiet(body []byte) (quiet bool, err error) {
	d, p := newDocument(body)
	if p != nil {
		return false, p
	}
	found := false
	if d.is('{') {
		d.object(func(name string) {
			raw := d.raw()
			if name != "quiet" {
				d.fault(faultUnknown, "is not a field of this request, which has only quiet")
				return
			}
			found = true
			quiet, err = yesOrNo(raw)
			d.refuse(name, err)
		})
		if !found {
			d.faultOf("quiet", faultRequired, "is missing")
		}
	}
	return quiet, d.problem(codeInvalidRequest)
}
