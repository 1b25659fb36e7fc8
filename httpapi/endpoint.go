package httpapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/penguinmails/rookery/job"
)

// Endpoints is where queues are delivered to, and who tries whether that works. Changes
// are recorded in their transaction.
type Endpoints interface {
	EndpointAdmin
	EndpointTester
}

// EndpointAdmin changes endpoints. [job.ErrNotFound]: the queue has none.
type EndpointAdmin interface {
	// SetEndpoint has a queue delivered to e's URL; zero values take the defaults. The
	// secret is that of a new endpoint, "" for one that was there. A [*job.FieldError]
	// says what is wrong with e, or that requests may not go there.
	SetEndpoint(ctx context.Context, by job.Actor, e job.Endpoint) (set job.Endpoint, secret string, err error)
	// Endpoint returns a queue's endpoint.
	Endpoint(ctx context.Context, queue string) (job.Endpoint, error)
	// RotateEndpoint makes a new secret; the one before signs too for keep.
	RotateEndpoint(ctx context.Context, by job.Actor, queue string, keep time.Duration) (secret string, err error)
	// DeleteEndpoint takes a queue's endpoint away; false: there was none.
	DeleteEndpoint(ctx context.Context, by job.Actor, queue string) (bool, error)
}

// EndpointTester makes requests.
type EndpointTester interface {
	// TestEndpoint records that by asked, and then sends a queue's endpoint a request
	// without a job; it takes at most 10 s.
	TestEndpoint(ctx context.Context, by job.Actor, queue string) (job.EndpointTest, error)
}

// endpointTestTimeout is for a test request and for finding its endpoint.
const endpointTestTimeout = 15 * time.Second

// endpointDocument is an endpoint as the API shows it. Secret, the only copy that is
// ever shown, is in the answer that makes it.
type endpointDocument struct {
	job.Endpoint
	Secret string `json:"secret,omitempty"`
}

// putEndpoint answers PUT /v1/queues/{name}/endpoint: 201 with the secret of a new
// endpoint, 200 without one.
func (s *Server) putEndpoint(ctx context.Context, r request) (answer, error) {
	queue, err := s.endpointQueue(ctx, r)
	if err != nil {
		return answer{}, err
	}
	e, err := decodeEndpoint(r.body)
	if err != nil {
		return answer{}, err
	}
	e.QueueName = queue
	work, cancel := context.WithTimeout(context.WithoutCancel(ctx), queryTimeout)
	defer cancel()
	set, secret, err := s.o.Endpoints.SetEndpoint(work, s.actor(ctx), e)
	var field *job.FieldError
	switch {
	case errors.As(err, &field):
		return answer{}, invalidEndpoint(field)
	case err != nil:
		return answer{}, fmt.Errorf("set endpoint: %w", err)
	}
	status := http.StatusOK
	if secret != "" {
		status = http.StatusCreated
	}
	return answer{status: status, body: endpointDocument{endpointInUTC(set), secret}}, nil
}

// getEndpoint answers GET /v1/queues/{name}/endpoint.
func (s *Server) getEndpoint(ctx context.Context, r request) (answer, error) {
	queue, err := s.endpointQueue(ctx, r)
	if err != nil {
		return answer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	e, err := s.o.Endpoints.Endpoint(ctx, queue)
	if err != nil {
		return answer{}, noEndpoint("get endpoint", err)
	}
	return answer{status: http.StatusOK, body: endpointDocument{Endpoint: endpointInUTC(e)}}, nil
}

// deleteEndpoint answers DELETE /v1/queues/{name}/endpoint.
func (s *Server) deleteEndpoint(ctx context.Context, r request) (answer, error) {
	queue, err := s.endpointQueue(ctx, r)
	if err != nil {
		return answer{}, err
	}
	work, cancel := context.WithTimeout(context.WithoutCancel(ctx), queryTimeout)
	defer cancel()
	done, err := s.o.Endpoints.DeleteEndpoint(work, s.actor(ctx), queue)
	if err == nil && !done {
		err = job.ErrNotFound
	}
	if err != nil {
		return answer{}, noEndpoint("delete endpoint", err)
	}
	return answer{status: http.StatusNoContent}, nil
}

// testEndpoint answers POST /v1/queues/{name}/endpoint/test: 200 whatever came of it.
func (s *Server) testEndpoint(ctx context.Context, r request) (answer, error) {
	queue, err := s.endpointQueue(ctx, r)
	if err != nil {
		return answer{}, err
	}
	work, cancel := context.WithTimeout(ctx, endpointTestTimeout)
	defer cancel()
	came, err := s.o.Endpoints.TestEndpoint(work, s.actor(ctx), queue)
	if err != nil {
		return answer{}, noEndpoint("test endpoint", err)
	}
	return answer{status: http.StatusOK, body: came}, nil
}

// rotateEndpoint answers POST /v1/queues/{name}/endpoint/rotate, with the new secret.
func (s *Server) rotateEndpoint(ctx context.Context, r request) (answer, error) {
	const parameter = "keep_old_seconds"
	queue, err := s.endpointQueue(ctx, r, parameter)
	if err != nil {
		return answer{}, err
	}
	keep := job.DefaultSecretOverlap
	if r.query.Has(parameter) {
		most := int(job.MaxSecretOverlap.Seconds())
		n, err := strconv.Atoi(r.query.Get(parameter))
		if err != nil || n < 0 || n > most || len(r.query[parameter]) > 1 {
			return answer{}, invalidParameter(parameter, fmt.Sprintf("must be 0 to %d, once", most))
		}
		keep = time.Duration(n) * time.Second
	}
	work, cancel := context.WithTimeout(context.WithoutCancel(ctx), queryTimeout)
	defer cancel()
	secret, err := s.o.Endpoints.RotateEndpoint(work, s.actor(ctx), queue, keep)
	if err != nil {
		return answer{}, noEndpoint("rotate secret", err)
	}
	return answer{status: http.StatusOK, body: struct {
		QueueName string `json:"queue_name"`
		Secret    string `json:"secret"`
	}{queue, secret}}, nil
}

// endpointQueue returns the queue of the path, which the caller's key must be for.
func (s *Server) endpointQueue(ctx context.Context, r request, parameters ...string) (string, error) {
	if err := r.allow(parameters...); err != nil {
		return "", err
	}
	var field *job.FieldError
	if err := job.CheckQueueName(r.name); errors.As(err, &field) {
		return "", invalidParameter("name", field.Problem)
	}
	return r.name, s.needQueue(ctx, r.name)
}

// decodeEndpoint reads url, and if wanted timeout_ms, max_in_flight and rate_per_second.
func decodeEndpoint(body []byte) (job.Endpoint, error) {
	var e job.Endpoint
	d, p := newDocument(body)
	if p != nil {
		return e, p
	}
	if d.is('{') {
		d.object(func(name string) { d.endpointMember(name, &e) })
		if e.URL == "" && len(d.faults) == 0 {
			d.faultOf("url", faultRequired, "is missing")
		}
	}
	return e, d.problem(codeInvalidEndpoint)
}

func (d *document) endpointMember(name string, e *job.Endpoint) {
	known := len(d.faults)
	raw := d.raw()
	if len(d.faults) > known {
		return
	}
	var err error
	switch name {
	case "url":
		e.URL, err = text(raw)
	case "timeout_ms":
		e.TimeoutMS, err = whole(raw, job.MinEndpointMS, job.MaxEndpointMS)
	case "max_in_flight":
		e.MaxInFlight, err = whole(raw, 1, job.MaxInFlight)
	case "rate_per_second":
		e.RatePerSecond, err = requestRate(raw)
	default:
		err = &wrongValueError{faultUnknown, "is not a field of an endpoint"}
	}
	d.refuse(name, err)
}

// requestRate reads a number; its limits are [job.Endpoint.Check]'s.
func requestRate(raw []byte) (float64, error) {
	if !bytes.ContainsAny(raw[:1], "-0123456789") {
		return 0, wrongType("a number", raw)
	}
	n, err := strconv.ParseFloat(string(raw), 64)
	if err != nil {
		return 0, &wrongValueError{faultRange, fmt.Sprintf("must be 0.01 to %d, or 0 for no limit", job.MaxRequestRate)}
	}
	return n, nil
}

func invalidEndpoint(field *job.FieldError) *problem {
	return invalidBody(codeInvalidEndpoint, []fault{{Pointer: "/" + field.Field, Field: field.Field, Code: faultInvalid, Detail: field.Problem}}, false)
}

// noEndpoint is err as the answer to a request about an endpoint.
func noEndpoint(verb string, err error) error {
	if errors.Is(err, job.ErrNotFound) {
		return newProblem(http.StatusNotFound, codeEndpointNotFound, "the queue is not delivered to a URL")
	}
	return fmt.Errorf("%s: %w", verb, err)
}

func endpointInUTC(e job.Endpoint) job.Endpoint {
	e.DisabledAt, e.CreatedAt, e.UpdatedAt = utc(e.DisabledAt), e.CreatedAt.UTC(), e.UpdatedAt.UTC()
	return e
}
