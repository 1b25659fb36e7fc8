package job

import (
	"encoding/json"
	"time"
)

// Actor is a person, or a program that a key was given to, who changes something.
type Actor struct {
	Principal string // "key:<id>", "config", "local", "cli:<user of the operating system>", or "push" for what a push process decides
	RequestID string // "" on the command line
	IP        string // "" on the command line
}

// Change is one line of outbox.audit: something that somebody has changed. It never
// has a payload or a secret in it.
type Change struct {
	ID        int64           `json:"id"`
	At        time.Time       `json:"at"` // by Postgres' clock
	Principal string          `json:"principal"`
	Action    string          `json:"action"` // noun.verb: key.create, queue.pause
	Target    string          `json:"target"` // what was changed: an id or a name
	QueueName string          `json:"queue_name,omitempty"`
	Detail    json.RawMessage `json:"detail"` // an object of at most 8192 bytes
	RequestID string          `json:"request_id,omitempty"`
	IP        string          `json:"ip,omitempty"`
}

// Did returns the Change that a has made; detail becomes JSON, nil an empty object. A
// detail that does not fit is left out: a line without it is worth more than none.
func (a Actor) Did(action, target, queue string, detail any) Change {
	const most = 4 << 10 // bytes; Postgres prints spaces and counts up to 8192
	c := Change{Principal: a.Principal, Action: action, Target: target, QueueName: queue, RequestID: a.RequestID, IP: a.IP, Detail: json.RawMessage("{}")}
	if detail == nil {
		return c
	}
	if text, err := json.Marshal(detail); err == nil && len(text) <= most && text[0] == '{' {
		c.Detail = text
	}
	return c
}
