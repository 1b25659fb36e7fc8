package job

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// Spec is a job somebody wants to insert. Its zero value is a job of the default
// queue with an empty payload, due now.
type Spec struct {
	QueueName   string          // "" means DefaultQueue
	Kind        string          // may be empty: then the queue's handler runs it
	Payload     json.RawMessage // any JSON; empty means {}
	Headers     json.RawMessage // a JSON object, or empty
	Priority    *int            // nil means DefaultPriority
	RunAt       time.Time       // zero means now, by Postgres' clock
	MaxAttempts int             // 0 means DefaultMaxAttempts
}

// Filled returns s with its defaults written out, or a [*FieldError] that names
// the first field that breaks a limit. RunAt stays zero when it was. The limit on
// payload and headers is that of their text here; Postgres prints jsonb with a
// space after each colon and comma and has the last word.
func (s Spec) Filled() (Spec, error) {
	if s.QueueName == "" {
		s.QueueName = DefaultQueue
	}
	if s.Priority == nil {
		p := DefaultPriority
		s.Priority = &p
	}
	if s.MaxAttempts == 0 {
		s.MaxAttempts = DefaultMaxAttempts
	}
	if len(s.Payload) == 0 {
		s.Payload = json.RawMessage(`{}`)
	}
	if string(s.Headers) == "null" {
		s.Headers = nil
	}
	checks := []error{
		CheckQueueName(s.QueueName), CheckKind(s.Kind), CheckPriority(*s.Priority), CheckMaxAttempts(s.MaxAttempts),
		CheckPayload(len(s.Payload) + len(s.Headers)), checkJSON("payload", s.Payload),
	}
	if !s.RunAt.IsZero() {
		checks = append(checks, CheckRunAt(s.RunAt))
	}
	if len(s.Headers) > 0 {
		checks = append(checks, checkHeaders(s.Headers))
	}
	for _, err := range checks {
		if err != nil {
			return Spec{}, err
		}
	}
	return s, nil
}

func checkHeaders(raw json.RawMessage) error {
	if len(raw) > MaxHeaders {
		return &FieldError{Field: "headers", Problem: fmt.Sprintf("has %d bytes, must have at most %d", len(raw), MaxHeaders)}
	}
	if err := checkJSON("headers", raw); err != nil {
		return err
	}
	if bytes.TrimLeft(raw, " \t\r\n")[0] != '{' {
		return &FieldError{Field: "headers", Problem: "must be a JSON object"}
	}
	return nil
}

// checkJSON refuses what Postgres' jsonb refuses although encoding/json takes it, and
// what jsonb takes but encoding/json could not write as a part of something larger.
func checkJSON(field string, raw json.RawMessage) error {
	if n := nesting(raw); n > MaxNesting {
		return &FieldError{Field: field, Problem: fmt.Sprintf("is nested %d deep, must be at most %d", n, MaxNesting)}
	}
	if !json.Valid(raw) {
		return &FieldError{Field: field, Problem: "is not valid JSON"}
	}
	if !storable(string(raw)) {
		return &FieldError{Field: field, Problem: "is not valid UTF-8 without NUL"}
	}
	if hasEscapedNUL(raw) {
		return &FieldError{Field: field, Problem: `has the character \u0000, which Postgres cannot store`}
	}
	if hasLoneSurrogate(raw) {
		return &FieldError{Field: field, Problem: `has half of a surrogate pair (\ud800 to \udfff), which Postgres cannot store`}
	}
	return nil
}

// nesting returns how deep the arrays and objects of raw are nested.
func nesting(raw []byte) int {
	deepest, depth, quoted := 0, 0, false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{', c == '[':
			depth++
			deepest = max(deepest, depth)
		case c == '}', c == ']':
			depth--
		}
	}
	return deepest
}

// hasEscapedNUL reports whether valid JSON holds the escape \u0000, as opposed to
// an escaped backslash before "u0000".
func hasEscapedNUL(raw []byte) bool {
	for i := 0; i+5 < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		if string(raw[i+1:i+6]) == "u0000" {
			return true
		}
		i++ // whatever is escaped is not itself the start of an escape
	}
	return false
}

// hasLoneSurrogate reports whether valid JSON holds an escape \ud800 to \udfff that
// is not part of a pair: encoding/json takes it for U+FFFD, Postgres refuses it.
func hasLoneSurrogate(raw []byte) bool {
	for i := 0; i+1 < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		if i++; raw[i] != 'u' {
			continue
		}
		first := escaped(raw[i+1:])
		i += 4
		if !utf16.IsSurrogate(first) {
			continue
		}
		if len(raw) < i+7 || raw[i+1] != '\\' || raw[i+2] != 'u' || utf16.DecodeRune(first, escaped(raw[i+3:])) == utf8.RuneError {
			return true
		}
		i += 6
	}
	return false
}

// escaped reads the four hex digits of an escape in valid JSON.
func escaped(hex []byte) rune {
	n, _ := strconv.ParseUint(string(hex[:4]), 16, 16)
	return rune(n)
}

// QueueStats is what people and autoscalers want to know of a queue.
type QueueStats struct {
	Queue
	Ready     int64         `json:"ready"`     // due, waiting in Postgres; counted up to StatsCap
	Scheduled int64         `json:"scheduled"` // run_at in the future; counted up to StatsCap
	Out       int64         `json:"out"`       // dispatched or running, as the ledger has it: finished jobs may count for seconds
	OldestAt  *time.Time    `json:"oldest_at"` // run_at of the longest-waiting due job among the first by priority; nil when none is due
	OldestAge time.Duration `json:"-"`         // since OldestAt, by Postgres' clock
	Window    *Window       `json:"window"`    // nil when Redis does not answer
	Rate      Rate          `json:"-"`         // how fast it goes; see Backlog
}

// StatsCap is where counting stops: a queue with more jobs is shown as having
// StatsCap of them, because counting millions would cost as much as running them.
const StatsCap = 100_000

// Live is where a job is at this moment, as far as Redis knows.
type Live struct {
	State     string     `json:"state"` // scheduled, retrying, ready, waiting, leased, or the status of a job that is over
	LeaseEnds *time.Time `json:"lease_ends,omitempty"`
	WorkerID  string     `json:"worker_id,omitempty"`
}
