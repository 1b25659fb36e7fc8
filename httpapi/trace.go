package httpapi

import (
	"encoding/json"

	"github.com/penguinmails/rookery/job"
)

// withTraceparent returns headers with the request's traceparent in them, unless
// they have one, the request's is not one, or there is no room for it: a trace is
// no reason to refuse a job. printed and payload are the bytes that headers and
// payload have as Postgres prints them.
func withTraceparent(headers json.RawMessage, traceparent string, printed, payload int) json.RawMessage {
	const room = len(`"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", `)
	if !validTraceparent(traceparent) || printed+room+2 > job.MaxHeaders || payload+printed+room+2 > job.MaxPayload {
		return headers
	}
	var names map[string]json.RawMessage
	if len(headers) > 0 && json.Unmarshal(headers, &names) != nil {
		return headers
	}
	if _, given := names["traceparent"]; given {
		return headers
	}
	b := []byte(`{"traceparent":"` + traceparent + `"`)
	if len(names) == 0 {
		return append(b, '}')
	}
	return append(append(b, ','), headers[1:]...) // compact: the object's members follow the brace
}

// validTraceparent reports whether s is a traceparent of version 00,
// https://www.w3.org/TR/trace-context/#traceparent-header. Later versions begin
// the same way; they are left out until one exists.
func validTraceparent(s string) bool {
	const shape = "00-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx-xxxxxxxxxxxxxxxx-xx"
	if len(s) != len(shape) {
		return false
	}
	trace, span := false, false // some digit is not 0
	for i := range len(s) {
		c := s[i]
		if shape[i] != 'x' {
			if c != shape[i] {
				return false
			}
			continue
		}
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
		trace = trace || i < 35 && c != '0'
		span = span || i > 35 && i < 52 && c != '0'
	}
	return trace && span
}
