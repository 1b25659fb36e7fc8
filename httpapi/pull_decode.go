package httpapi

import (
	"fmt"
	"time"

	"github.com/penguinmails/rookery/job"
)

// fields reads an object whose members member knows; unknown ones are faults, and so are
// those of needs that are not there.
func (d *document) fields(what string, needs []string, member func(name string, raw []byte) (known bool, err error)) {
	if !d.is('{') {
		return
	}
	missing := map[string]bool{}
	for _, name := range needs {
		missing[name] = true
	}
	d.object(func(name string) {
		delete(missing, name)
		before := len(d.faults)
		raw := d.raw()
		if len(d.faults) > before {
			return
		}
		known, err := member(name, raw)
		if !known {
			err = &wrongValueError{faultUnknown, "is not a field of " + what}
		}
		d.refuse(name, err)
	})
	for _, name := range needs {
		if missing[name] {
			d.faultOf(name, faultRequired, "is missing")
		}
	}
}

// decodeLease reads the body of a request for jobs.
func decodeLease(body []byte) (job.LeaseRequest, error) {
	l := job.LeaseRequest{Max: 1, Lease: job.DefaultLeaseTime}
	d, p := newDocument(body)
	if p != nil {
		return l, p
	}
	d.fields("a lease", []string{"worker_id"}, func(name string, raw []byte) (known bool, err error) {
		switch name {
		case "worker_id":
			if l.WorkerID, err = text(raw); err == nil {
				err = checkWorker(l.WorkerID)
			}
		case "max":
			l.Max, err = whole(raw, 1, job.MaxLeaseJobs)
		case "wait":
			l.Wait, err = span(raw, 0, job.MaxLeaseWait)
		case "lease":
			l.Lease, err = span(raw, job.MinLeaseTime, job.MaxLeaseTime)
		default:
			return false, nil
		}
		return true, err
	})
	return l, d.problem(codeInvalidRequest)
}

// decodeSettle reads the body of a request to ack, nack, extend or release.
func decodeSettle(body []byte, verb job.LeaseVerb) (job.LeaseOp, error) {
	op := job.LeaseOp{Verb: verb}
	d, p := newDocument(body)
	if p != nil {
		return op, p
	}
	d.fields("an "+string(verb), needsOf(verb), func(name string, raw []byte) (bool, error) {
		return d.opMember(name, raw, &op)
	})
	return op, d.problem(codeInvalidRequest)
}

func needsOf(verb job.LeaseVerb) []string {
	if verb == job.LeaseNack {
		return []string{"lease_token", "error"}
	}
	return []string{"lease_token"}
}

// opMember reads a member of an operation into op.
func (d *document) opMember(name string, raw []byte, op *job.LeaseOp) (known bool, err error) {
	nack := op.Verb == job.LeaseNack
	switch {
	case name == "lease_token":
		if op.Token, err = text(raw); err == nil && len(op.Token) > 100 {
			err = &wrongValueError{faultTooLong, fmt.Sprintf("has %d bytes, must have at most 100", len(op.Token))}
		}
	case name == "lease" && op.Verb == job.LeaseExtend:
		op.Lease, err = span(raw, job.MinLeaseTime, job.MaxLeaseTime)
	case name == "error" && nack:
		op.Error, err = errorOf(raw)
	case name == "retry_in" && nack:
		var wait time.Duration
		wait, err = span(raw, 0, job.MaxDelay)
		op.RetryIn = &wait
	case name == "dead" && nack:
		switch string(raw) {
		case "true":
			op.Dead = true
		case "false":
		default:
			err = wrongType("true or false", raw)
		}
	default:
		return false, nil
	}
	return true, err
}

// errorOf reads {"type": …, "message": …}; job.ErrorText cuts it.
func errorOf(raw []byte) (string, error) {
	d, p := newDocument(raw)
	if p != nil {
		return "", &wrongValueError{faultInvalid, "cannot be read"}
	}
	var kind, message string
	d.fields("an error", []string{"message"}, func(name string, raw []byte) (known bool, err error) {
		switch name {
		case "type":
			kind, err = text(raw)
		case "message":
			message, err = text(raw)
		default:
			return false, nil
		}
		return true, err
	})
	if len(d.faults) > 0 {
		text := "must be an object with message and, if wanted, type, both strings"
		if d.faults[0].Field != "" { // else it is no object
			text += ": " + d.faults[0].Detail
		}
		return "", &wrongValueError{faultInvalid, text}
	}
	if kind != "" {
		message = kind + ": " + message
	}
	return message, nil
}

// decodeOps reads the body of POST /v1/leases/batch. op and lease_id come first or not:
// a member is judged by the operation's op wherever that stands.
func decodeOps(body []byte) ([]job.LeaseOp, error) {
	d, p := newDocument(body)
	if p != nil {
		return nil, p
	}
	var ops []job.LeaseOp
	d.list("ops", func() { ops = append(ops, d.op()) })
	return ops, d.problem(codeInvalidRequest)
}

// list reads an object whose one member is a list of 1 to job.MaxLeaseOps things.
func (d *document) list(field string, each func()) {
	if !d.is('{') {
		return
	}
	found := false
	d.object(func(name string) {
		if name != field {
			d.raw()
			d.fault(faultUnknown, "is not a field of this request, which has only %s", field)
			return
		}
		found = true
		if !d.is('[') {
			return
		}
		n := 0
		d.array(func(int) {
			if n++; n > job.MaxLeaseOps {
				d.raw() // only counted
				return
			}
			each()
		})
		if n > job.MaxLeaseOps {
			d.fault(faultRange, "has %d entries, must have at most %d", n, job.MaxLeaseOps)
		}
	})
	if !found {
		d.faultOf(field, faultRequired, "is missing")
	}
}

func (d *document) op() job.LeaseOp {
	defer func(base int) { d.base = base }(d.base)
	d.base = len(d.path)
	var op job.LeaseOp
	members := map[string][]byte{}
	d.fields("an operation", []string{"op", "lease_id", "lease_token"}, func(name string, raw []byte) (known bool, err error) {
		switch name {
		case "op":
			var verb string
			if verb, err = text(raw); err == nil {
				op.Verb = job.LeaseVerb(verb)
			}
			switch op.Verb {
			case job.LeaseAck, job.LeaseNack, job.LeaseExtend, job.LeaseRelease:
			default:
				err = &wrongValueError{faultInvalid, "must be ack, nack, extend or release"}
			}
		case "lease_id":
			op.ID, err = text(raw)
		default:
			members[name] = raw
		}
		return true, err
	})
	for name, raw := range members {
		d.path = append(d.path, name)
		known, err := d.opMember(name, raw, &op)
		if !known {
			err = &wrongValueError{faultUnknown, "is not a field of this operation"}
		}
		d.refuse(name, err)
		d.path = d.path[:len(d.path)-1]
	}
	if _, ok := members["error"]; op.Verb == job.LeaseNack && !ok {
		d.faultOf("error", faultRequired, "is missing")
	}
	return op
}

// decodeBeat reads the body of a heartbeat.
func decodeBeat(body []byte) ([]job.LeaseKey, error) {
	d, p := newDocument(body)
	if p != nil {
		return nil, p
	}
	var keys []job.LeaseKey
	d.list("leases", func() {
		defer func(base int) { d.base = base }(d.base)
		d.base = len(d.path)
		var k job.LeaseKey
		d.fields("a lease", []string{"lease_id", "lease_token"}, func(name string, raw []byte) (known bool, err error) {
			switch name {
			case "lease_id":
				k.ID, err = text(raw)
			case "lease_token":
				k.Token, err = text(raw)
			default:
				return false, nil
			}
			return true, err
		})
		keys = append(keys, k)
	})
	return keys, d.problem(codeInvalidRequest)
}
