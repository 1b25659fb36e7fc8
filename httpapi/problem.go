package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/penguinmails/rookery/job"
)

// The codes of problems: the part of an error answer that programs may rely on.
// doc.go says what each means; a test compares.
const (
	codeInvalidJSON      = "invalid_json"
	codeInvalidParameter = "invalid_parameter"
	codeMissingBody      = "missing_body"
	codeUnauthorized     = "unauthorized"
	codeForbidden        = "forbidden"
	codeForbiddenOrigin  = "forbidden_origin"
	codeReadOnly         = "read_only"
	codeNotFound         = "not_found"
	codeJobNotFound      = "job_not_found"
	codeMethodNotAllowed = "method_not_allowed"
	codeRequestTimeout   = "request_timeout"
	codeBodyTooLarge     = "body_too_large"
	codeUnsupportedType  = "unsupported_media_type"
	codeInvalidJob       = "invalid_job"
	codeClientClosed     = "client_closed_request"
	codeInternal         = "internal_error"
	codeUnavailable      = "unavailable"
	codeKeyReused        = "idempotency_key_reused"
	codeKeyInUse         = "idempotency_key_in_use"
	codeInvalidKey       = "invalid_key"
	codeKeyNotFound      = "key_not_found"
	codeRateLimited      = "rate_limited"
	codeSpoolUnknown     = "spool_id_unknown"
	codeCursorMismatch   = "cursor_filter_mismatch"
	codeQueueNotFound    = "queue_not_found"
	codeWrongStatus      = "wrong_status"
	codeInvalidQueue     = "invalid_queue"
	codeInvalidRequest   = "invalid_request"
	codeTooMany          = "too_many_operations"
	codeNoOperation      = "operation_not_found"
	codeNoWorker         = "worker_not_found"
	codeTooManyWaits     = "too_many_waits"
	codeInvalidEndpoint  = "invalid_endpoint"
	codeEndpointNotFound = "endpoint_not_found"
	codeLeaseNotFound    = "lease_not_found"
	codeLeaseLost        = "lease_lost"
	codeLeaseElsewhere   = "lease_elsewhere"
	codeNotRun           = "not_run"
	codeTooManyWaiters   = "too_many_waiters"
	codeTooManyLeases    = "too_many_leases"
	codeTooManyQueues    = "too_many_queues"
)

// The codes of single faults within an invalid_… problem.
const (
	faultUnknown    = "unknown_field"
	faultDuplicate  = "duplicate_field"
	faultRequired   = "required"
	faultNull       = "null_field"
	faultType       = "wrong_type"
	faultRange      = "out_of_range"
	faultName       = "invalid_name"
	faultFormat     = "invalid_format"
	faultTooLong    = "too_long"
	faultTooLarge   = "too_large"
	faultDepth      = "too_deep"
	faultNUL        = "nul_character"
	faultSurrogate  = "lone_surrogate"
	faultNumber     = "number_too_large"
	faultUnstorable = "unstorable"
	faultInvalid    = "invalid"
)

// statusClientClosed is what nginx logs for a client that hung up; nobody reads it
// as an answer, but the metrics tell it from a fault of ours.
const statusClientClosed = 499

const typeURL = "https://github.com/penguinmails/rookery/blob/main/docs/errors.md#"

// problem is an error answer as RFC 9457 has it, https://www.rfc-editor.org/rfc/rfc9457.
type problem struct {
	Type      string  `json:"type"`
	Title     string  `json:"title"`
	Status    int     `json:"status"`
	Code      string  `json:"code"`
	Detail    string  `json:"detail"`
	RequestID string  `json:"request_id"`
	Errors    []fault `json:"errors,omitempty"`

	retryAfter   int    // seconds; 0 sends no Retry-After
	authenticate string // the WWW-Authenticate header
	cause        error  // for the log, never for the client
	stack        []byte // of a panic
}

// fault is one thing that is wrong with a request.
type fault struct {
	Pointer string `json:"pointer,omitempty"` // RFC 6901, into the body
	Field   string `json:"field,omitempty"`   // the job's field or the parameter
	Line    int    `json:"line,omitempty"`    // of a body with one job a line: the pointer is into that
	Code    string `json:"code"`
	Detail  string `json:"detail"`
}

// Error returns what the client is told.
func (p *problem) Error() string { return p.Code + ": " + p.Detail }

// Unwrap returns what the client is not told.
func (p *problem) Unwrap() error { return p.cause }

func newProblem(status int, code, detail string) *problem {
	return &problem{
		Type:   typeURL + code,
		Title:  strings.ToUpper(code[:1]) + strings.ReplaceAll(code[1:], "_", " "),
		Status: status,
		Code:   code,
		Detail: detail,
	}
}

func invalidParameter(name, detail string) *problem {
	p := newProblem(http.StatusBadRequest, codeInvalidParameter, name+" "+detail)
	p.Errors = []fault{{Field: name, Code: faultInvalid, Detail: detail}}
	return p
}

func invalidJob(faults []fault, more bool) *problem { return invalidBody(codeInvalidJob, faults, more) }

// invalidBody is the problem with a body in which there is at least one fault.
func invalidBody(code string, faults []fault, more bool) *problem {
	detail := "1 thing is wrong: " + faults[0].Detail
	if n := len(faults); n > 1 {
		detail = fmt.Sprintf("%d things are wrong; the first: %s", n, faults[0].Detail)
		if more {
			detail = fmt.Sprintf("more than %d things are wrong; the first: %s", n, faults[0].Detail)
		}
	}
	p := newProblem(http.StatusUnprocessableEntity, code, detail)
	p.Errors = faults
	return p
}

func readOnly() *problem {
	return newProblem(http.StatusForbidden, codeReadOnly, "this server takes no jobs and changes nothing")
}

// problemOf translates what a handler returned. asked is the request's context:
// it tells a client that hung up from a deadline of ours.
func problemOf(asked context.Context, err error) *problem {
	var p *problem
	if errors.As(err, &p) {
		return p
	}
	switch {
	case errors.Is(err, job.ErrNotFound):
		p = newProblem(http.StatusNotFound, codeJobNotFound, "there is no job with this id")
	case errors.Is(err, context.Canceled) && asked.Err() != nil:
		p = newProblem(statusClientClosed, codeClientClosed, "the client hung up")
	case errors.Is(err, job.ErrUnavailable), errors.Is(err, job.ErrConflict), errors.Is(err, context.DeadlineExceeded):
		p = newProblem(http.StatusServiceUnavailable, codeUnavailable, "Postgres does not answer for now; try again")
		p.retryAfter = 1
	default:
		p = newProblem(http.StatusInternalServerError, codeInternal, "something is wrong on our side; the log has it under this request_id")
	}
	p.cause = err
	return p
}

// insertProblem translates an error of an insert. base is the pointer to what was
// inserted: "" or "/jobs".
func insertProblem(asked context.Context, base string, err error) *problem {
	var field *job.FieldError
	var data *job.DataError
	switch {
	case errors.As(err, &field):
		pointer := base
		if base == "" {
			pointer = "/" + field.Field
		}
		return invalidJob([]fault{{Pointer: pointer, Field: field.Field, Code: faultInvalid, Detail: field.Error()}}, false)
	case errors.As(err, &data):
		// The message may quote the value, so it stays here.
		p := invalidJob([]fault{{Pointer: base, Code: faultUnstorable, Detail: "Postgres refused a value (SQLSTATE " + data.SQLState + ")"}}, false)
		p.cause = fmt.Errorf("postgres refused with SQLSTATE %s what the door had let in", data.SQLState)
		return p
	}
	p := problemOf(asked, err)
	if p.Code == codeUnavailable {
		p.Detail = "Postgres did not confirm the insert. Most likely nothing was inserted, but when the connection broke " +
			"during the commit it may have been; sent again without an Idempotency-Key, it would then be there twice"
	}
	return p
}
