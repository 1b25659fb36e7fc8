package job

import (
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"
)

// Actor is a person, or a program that a key was given to, who changes something.
type Actor struct {
	// Principal is "key:<id>", "config", "local", "oidc:<subject>", "cli:<user>@<host>" as
	// the operating system has them, or "push" for what a push process decides.
	Principal string
	RequestID string // "" on the command line
	IP        string // "" on the command line
	// Queues are those whose jobs they may act on: names, or beginnings that end in *; none:
	// all. What is of another is to them as if it were not there.
	Queues []string
}

// Sees reports whether a may act on a queue.
func (a Actor) Sees(queue string) bool { return MatchQueue(a.Queues, queue) }

// Change is one line of outbox.audit: something that somebody has changed. It never
// has a payload or a secret in it.
type Change struct {
	ID        int64     `json:"id"`
	At        time.Time `json:"at"` // by Postgres' clock
	Principal string    `json:"principal"`
	// DatabaseRole is who was logged in to Postgres; "" for lines of before it was kept.
	DatabaseRole string          `json:"database_role,omitempty"`
	Action       string          `json:"action"` // noun.verb: key.create, queue.pause
	Target       string          `json:"target"` // what was changed: an id or a name
	QueueName    string          `json:"queue_name,omitempty"`
	Detail       json.RawMessage `json:"detail"` // an object of at most 8192 bytes
	RequestID    string          `json:"request_id,omitempty"`
	IP           string          `json:"ip,omitempty"`
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

// How far a look at the changes reaches.
const (
	ChangesCap     = 10_000 // lines that one page looks through
	MaxChangePage  = 200    // lines of a page
	maxChangeWords = 200    // characters of a filter
)

// ChangeFilter says which changes a page is to show. Each filter is a whole word, or
// one that ends in * for all that begin so; "" means all.
type ChangeFilter struct {
	Principal string
	Action    string
	Target    string
	QueueName string // whole
	Before    int64  // only lines with ids below; 0 means from the newest
	Limit     int    // 1 to [MaxChangePage]
}

// Check returns a [*FieldError] for the first field that breaks a limit.
func (f ChangeFilter) Check() error {
	for _, w := range [][2]string{{"principal", f.Principal}, {"action", f.Action}, {"target", f.Target}, {"queue_name", f.QueueName}} {
		if n := utf8.RuneCountInString(w[1]); n > maxChangeWords || !storable(w[1]) {
			return &FieldError{Field: w[0], Problem: fmt.Sprintf("has %d characters, must have at most %d, and be text", n, maxChangeWords)}
		}
	}
	if f.Limit < 1 || f.Limit > MaxChangePage {
		return &FieldError{Field: "limit", Problem: fmt.Sprintf("is %d, must be 1 to %d", f.Limit, MaxChangePage)}
	}
	if f.Before < 0 {
		return &FieldError{Field: "cursor", Problem: "must be the id of a line"}
	}
	return nil
}

// ChangePage is a part of the audit, the newest line first.
type ChangePage struct {
	Changes []Change
	Next    int64 // the id to go on below; 0: there is no more
	// Capped says that the page ended because [ChangesCap] lines were looked at.
	Capped bool
}
