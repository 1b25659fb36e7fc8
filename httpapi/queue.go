package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/penguinmails/rookery/job"
)

// getQueue answers GET /v1/queues/{name}.
func (s *Server) getQueue(ctx context.Context, r request) (answer, error) {
	name, err := s.queueOf(ctx, r)
	if err != nil {
		return answer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	return s.queue(ctx, name)
}

// pauseQueue answers POST /v1/queues/{name}/pause: running jobs run on.
func (s *Server) pauseQueue(ctx context.Context, r request) (answer, error) {
	return s.changeQueue(ctx, r, func(ctx context.Context, q QueueActions, name string) error { return q.Pause(ctx, name, true) })
}

// resumeQueue answers POST /v1/queues/{name}/resume.
func (s *Server) resumeQueue(ctx context.Context, r request) (answer, error) {
	return s.changeQueue(ctx, r, func(ctx context.Context, q QueueActions, name string) error { return q.Pause(ctx, name, false) })
}

// patchQueue answers PATCH /v1/queues/{name}.
func (s *Server) patchQueue(ctx context.Context, r request) (answer, error) {
	change, err := decodeQueue(r.body)
	if err != nil {
		return answer{}, err
	}
	return s.changeQueue(ctx, r, func(ctx context.Context, q QueueActions, name string) error { return q.SetQueue(ctx, name, change) })
}

// decodeQueue reads at least one of window_size, retention_seconds and
// retention_dead_seconds; null has the relays' retention again.
func decodeQueue(body []byte) (job.QueueChange, error) {
	var c job.QueueChange
	d, p := newDocument(body)
	if p != nil {
		return c, p
	}
	if d.is('{') {
		d.object(func(name string) { d.queueMember(name, &c) })
		if len(d.faults) == 0 && c == (job.QueueChange{}) {
			d.faultOf("window_size", faultRequired, "is missing, and so are retention_seconds and retention_dead_seconds")
		}
	}
	return c, d.problem(codeInvalidQueue)
}

func (d *document) queueMember(name string, c *job.QueueChange) {
	raw := d.raw()
	var err error
	switch name {
	case "window_size":
		c.Window, err = whole(raw, 1, job.MaxWindow)
	case "retention_seconds":
		c.Keep.SetRetention = true
		c.Keep.Retention, err = keepFor(raw)
	case "retention_dead_seconds":
		c.Keep.SetRetentionDead = true
		c.Keep.RetentionDead, err = keepFor(raw)
	default:
		err = &wrongValueError{faultUnknown, "is not a field that can be changed, as window_size, retention_seconds and retention_dead_seconds are"}
	}
	d.refuse(name, err)
}

// keepFor reads seconds, or null.
func keepFor(raw []byte) (*int64, error) {
	if raw[0] == 'n' {
		return nil, nil
	}
	n, err := whole(raw, 0, job.MaxKeepFor)
	if err == nil && n > 0 && n < job.MinKeepFor {
		err = &wrongValueError{faultRange, fmt.Sprintf("is %d, must be 0 for ever, or %d to %d seconds", n, job.MinKeepFor, job.MaxKeepFor)}
	}
	seconds := int64(n)
	return &seconds, err
}

// changeQueue does one thing to the queue of the path, and answers with its figures.
func (s *Server) changeQueue(ctx context.Context, r request, change func(context.Context, QueueActions, string) error) (answer, error) {
	name, err := s.queueOf(ctx, r)
	if err != nil {
		return answer{}, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), queryTimeout)
	defer cancel()
	if err := change(ctx, s.hands(ctx).Queues, name); err != nil {
		return answer{}, fmt.Errorf("change queue: %w", err)
	}
	return s.queue(ctx, name)
}

// queueBody is one queue's figures.
type queueBody struct {
	job.QueueStats
	load
}

// queue answers with a queue's figures.
func (s *Server) queue(ctx context.Context, name string) (answer, error) {
	q, err := s.o.Admin.Look.Queue(ctx, name)
	if errors.Is(err, job.ErrNotFound) {
		return answer{}, newProblem(http.StatusNotFound, codeQueueNotFound, "no relay has seen a job of a queue with this name yet, and nobody has paused it or set its window")
	}
	if err != nil {
		return answer{}, fmt.Errorf("read queue: %w", err)
	}
	q.OldestAt = utc(q.OldestAt)
	return answer{status: http.StatusOK, body: queueBody{q, loadOf(q)}}, nil
}

// queueOf returns the queue of the path, if the caller's key is for it; these requests
// have no parameters.
func (s *Server) queueOf(ctx context.Context, r request) (string, error) {
	if err := r.allow(); err != nil {
		return "", err
	}
	var field *job.FieldError
	if err := job.CheckQueueName(r.name); errors.As(err, &field) {
		return "", invalidParameter("name", field.Problem)
	}
	return r.name, s.needQueue(ctx, r.name)
}
