package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/penguinmails/rookery/job"
)

// decodeJob reads the body of POST /v1/jobs. The job comes back with its defaults
// written out.
func decodeJob(body []byte, traceparent string) (job.Spec, error) {
	d, p := newDocument(body)
	if p != nil {
		return job.Spec{}, p
	}
	spec := d.job(traceparent)
	if len(d.faults) > 0 {
		return job.Spec{}, invalidJob(d.faults, d.more)
	}
	return spec, nil
}

// decodeJobs reads the body of POST /v1/jobs/batch. maxPrinted bounds what all
// jobs together may take as Postgres prints them: a number of eight bytes can have
// 131,072 digits there.
func decodeJobs(body []byte, traceparent string, maxPrinted int) ([]job.Spec, error) {
	d, p := newDocument(body)
	if p != nil {
		return nil, p
	}
	var specs []job.Spec
	d.wrapper(func(count int) {
		if count > MaxJobs {
			d.raw() // only counted, and refused below
			return
		}
		specs = append(specs, d.job(traceparent))
	})
	if len(d.faults) == 0 && d.printed > maxPrinted {
		d.faultOf("jobs", faultTooLarge, "have %d bytes as Postgres prints them, must have at most %d together", d.printed, maxPrinted)
	}
	if len(d.faults) > 0 {
		return nil, invalidJob(d.faults, d.more)
	}
	return specs, nil
}

// wrapper reads {"jobs": […]}; each is called with how many jobs there are so far
// and reads the next.
func (d *document) wrapper(each func(count int)) {
	if !d.is('{') {
		return
	}
	found := false
	d.object(func(name string) {
		if name != "jobs" {
			d.raw()
			d.fault(faultUnknown, "is not a field of a batch, which has only jobs")
			return
		}
		found = true
		if !d.is('[') {
			return
		}
		count := 0
		d.array(func(int) {
			count++
			each(count)
		})
		if count == 0 || count > MaxJobs {
			d.fault(faultRange, "has %d jobs, must have 1 to %d", count, MaxJobs)
		}
	})
	if !found {
		d.faultOf("jobs", faultRequired, "is missing")
	}
}

// is reports whether an object or array follows, as open says; what else follows
// is read over and noted as a fault.
func (d *document) is(open byte) bool {
	got := d.next()
	if got == open {
		return true
	}
	d.fault(faultType, "must be %s, is %s", typeName(open), typeName(got))
	d.raw()
	return false
}

func typeName(first byte) string {
	switch first {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "true or false"
	case 'n':
		return "null"
	}
	return "a number"
}

// job reads one job. After a fault the spec is of no use.
func (d *document) job(traceparent string) job.Spec {
	defer func(base int) { d.base = base }(d.base)
	d.base = len(d.path)
	known := len(d.faults)
	if !d.is('{') {
		return job.Spec{}
	}
	var s job.Spec
	payload, headers := len(`{}`), 0 // bytes as Postgres prints them
	d.object(func(name string) {
		before := d.printed
		err := d.member(name, &s)
		switch name {
		case "payload":
			payload = d.printed - before
		case "headers":
			headers = d.printed - before
		}
		d.refuse(name, err)
	})
	if n := payload + headers; n > job.MaxPayload {
		d.faultOf("payload", faultTooLarge, "has %d bytes together with headers, as Postgres prints them, must have at most %d", n, job.MaxPayload)
	}
	if headers > job.MaxHeaders {
		d.faultOf("headers", faultTooLarge, "has %d bytes as Postgres prints it, must have at most %d", headers, job.MaxHeaders)
	}
	if len(d.faults) > known {
		return s
	}
	s.Payload, s.Headers = compact(s.Payload), compact(s.Headers)
	s.Headers = withTraceparent(s.Headers, traceparent, headers, payload)
	filled, err := s.Filled()
	var field *job.FieldError
	if errors.As(err, &field) {
		d.faultOf(field.Field, faultInvalid, "%s", field.Problem)
	}
	return filled
}

// member reads one member of a job into s. The error is a [*wrongValueError] or a
// [*job.FieldError]; faults deeper in the value are noted already.
func (d *document) member(name string, s *job.Spec) error {
	known := len(d.faults)
	raw := d.raw()
	if len(d.faults) > known {
		return nil
	}
	if name == "payload" {
		s.Payload = raw
		return nil
	}
	var err error
	switch name {
	case "queue_name":
		if s.QueueName, err = text(raw); err == nil {
			err = job.CheckQueueName(s.QueueName)
		}
	case "kind":
		if s.Kind, err = text(raw); err == nil {
			err = job.CheckKind(s.Kind)
		}
	case "priority":
		var n int
		n, err = whole(raw, 0, job.MaxPriority)
		s.Priority = &n
	case "max_attempts":
		s.MaxAttempts, err = whole(raw, 1, job.MaxMaxAttempts)
	case "run_at":
		s.RunAt, err = moment(raw)
	case "headers":
		if s.Headers = raw; raw[0] != '{' {
			err = wrongType("an object", raw)
		}
	default:
		err = &wrongValueError{faultUnknown, "is not a field of a job"}
	}
	return err
}

// refuse notes err, which is nil, a [*wrongValueError] or a [*job.FieldError], as a
// fault of the field being read.
func (d *document) refuse(name string, err error) {
	var wrong *wrongValueError
	var field *job.FieldError
	switch {
	case errors.As(err, &wrong):
		d.fault(wrong.code, "%s", wrong.problem)
	case errors.As(err, &field):
		code := faultInvalid
		switch name {
		case "queue_name":
			code = faultName
		case "kind":
			code = faultTooLong
		case "run_at":
			code = faultRange
		}
		d.fault(code, "%s", field.Problem)
	}
}

// wrongValueError says what is wrong with a field, as [job.FieldError] does, with the
// code of the fault.
type wrongValueError struct{ code, problem string }

func (e *wrongValueError) Error() string { return e.problem }

func wrongType(want string, raw []byte) error {
	if raw[0] == 'n' {
		return &wrongValueError{faultNull, "must be " + want + ", is null; leave it out to have the default"}
	}
	return &wrongValueError{faultType, "must be " + want + ", is " + typeName(raw[0])}
}

func text(raw []byte) (string, error) {
	var s string
	if raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		return "", wrongType("a string", raw)
	}
	return s, nil
}

// whole reads a whole number from low to high. 1e2 and 5.0 are refused: a client
// that sends them computes with fractions.
func whole(raw []byte, low, high int) (int, error) {
	if raw[0] != '-' && (raw[0] < '0' || raw[0] > '9') {
		return 0, wrongType("a whole number", raw)
	}
	if bytes.ContainsAny(raw, ".eE") {
		return 0, &wrongValueError{faultType, "must be a whole number without point or exponent"}
	}
	n, err := strconv.Atoi(string(raw))
	if err != nil || n < low || n > high {
		return 0, &wrongValueError{faultRange, fmt.Sprintf("is %s, must be %d to %d", cut(string(raw), 20), low, high)}
	}
	return n, nil
}

// moment reads an RFC 3339 time.
func moment(raw []byte) (time.Time, error) {
	s, err := text(raw)
	if err != nil {
		return time.Time{}, err
	}
	var t time.Time
	if t.UnmarshalText([]byte(s)) != nil {
		return time.Time{}, &wrongValueError{faultFormat, "must be an RFC 3339 time such as 2026-12-01T09:00:00Z"}
	}
	t = t.UTC() // before the check, which looks at the year
	return t, job.CheckRunAt(t)
}

// compact takes the white space out of valid JSON, which Postgres drops as well.
func compact(raw []byte) json.RawMessage {
	if len(raw) == 0 {
		return nil
	}
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return raw // cannot be: the document is valid
	}
	return b.Bytes()
}
