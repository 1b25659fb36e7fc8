package outbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/penguinmails/rookery/job"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// row is one job on its way into the table: checked, with its defaults filled in.
type row struct {
	job.Spec
	delay time.Duration // only when RunAt is zero
}

// rowOf turns what a producer said into a row, or names the field that is wrong.
func rowOf(ctx context.Context, args Args, o Options) (row, error) {
	if args == nil {
		return row{}, errors.New("args is nil")
	}
	if with, ok := args.(ArgsWithOptions); ok {
		o = o.over(with.JobOptions())
	}
	switch {
	case o.Delay < 0:
		return row{}, &job.FieldError{Field: "delay", Problem: fmt.Sprintf("is %s, must not be negative", o.Delay)}
	case o.Delay > 0 && !o.RunAt.IsZero():
		return row{}, &job.FieldError{Field: "delay", Problem: "is given together with run_at, must be the only one"}
	}
	payload, err := encode(args)
	if err != nil {
		return row{}, fmt.Errorf("encode payload of kind %q: %w", args.Kind(), err)
	}
	var headers json.RawMessage
	if len(o.Headers) > 0 {
		if headers, err = encode(o.Headers); err != nil {
			return row{}, fmt.Errorf("encode headers: %w", err)
		}
	}
	r, err := rowOfSpec(ctx, job.Spec{
		QueueName:   o.QueueName,
		Kind:        args.Kind(),
		Payload:     payload,
		Headers:     headers,
		Priority:    o.Priority,
		RunAt:       o.RunAt,
		MaxAttempts: o.MaxAttempts,
	})
	r.delay = o.Delay
	return r, err
}

func rowOfSpec(ctx context.Context, s job.Spec) (row, error) {
	headers, err := traced(ctx, s.Headers)
	if err != nil {
		return row{}, err
	}
	s.Headers = headers
	s, err = s.Filled()
	return row{Spec: s}, err
}

// encode is json.Marshal that leaves <, > and & as they are: six bytes for one would
// count against the payload's limit.
func encode(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// traced adds the W3C trace context of ctx' span to headers, unless they have one:
// the job then appears as part of the trace in which it was inserted.
func traced(ctx context.Context, headers json.RawMessage) (json.RawMessage, error) {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return headers, nil
	}
	var all map[string]json.RawMessage
	if len(headers) > 0 && json.Unmarshal(headers, &all) != nil {
		return headers, nil // not an object: Spec.Filled says so
	}
	if _, given := all["traceparent"]; given {
		return headers, nil
	}
	if all == nil {
		all = map[string]json.RawMessage{}
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	// A tracestate without its traceparent means nothing, so it goes.
	delete(all, "tracestate")
	for key, value := range carrier {
		text, err := encode(value)
		if err != nil {
			return nil, fmt.Errorf("encode %s: %w", key, err)
		}
		all[key] = text
	}
	return encode(all)
}

// runAt and headersText are parameters: untyped nil is NULL in every driver.
func (r *row) runAt() any {
	if r.RunAt.IsZero() {
		return nil
	}
	return r.RunAt
}

func (r *row) headersText() any {
	if len(r.Headers) == 0 {
		return nil
	}
	return string(r.Headers)
}
