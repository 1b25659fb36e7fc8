package job

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// How long what became of jobs is noted and kept for those who listen.
const (
	EventsKept     = 15 * time.Minute   // after the last of those who follow
	EventsKeptLong = 7 * 24 * time.Hour // after the last of those who export
	// EventsSettle is how long after the gate was opened a statement may still run that
	// saw it shut: more than statement_timeout allows.
	EventsSettle = 15 * time.Second
)

// MaxEventCursor is how many bytes a cursor may have: a snapshot names each
// transaction that was under way.
const MaxEventCursor = 16 << 10

// StatusEvent is what became of a job: an attempt that ended, or the job. The facts beside
// Status are those of the job's row when it was read.
type StatusEvent struct {
	JobID        int64     `json:"job_id"`
	QueueName    string    `json:"queue_name"`
	Kind         string    `json:"kind"`
	Status       Status    `json:"status"`
	AttemptCount int32     `json:"attempt_count"`
	At           time.Time `json:"at"` // when the transaction began

	// For the export; nil and "" in the stream.
	WorkerID     string     `json:"worker_id,omitempty"`
	CreatedAt    *time.Time `json:"created_at,omitempty"`
	DispatchedAt *time.Time `json:"dispatched_at,omitempty"`
	StartedAt    *time.Time `json:"started_at,omitempty"`
	FinishedAt   *time.Time `json:"finished_at,omitempty"` // of the attempt
	Outcome      string     `json:"outcome,omitempty"`     // of an attempt that did not simply succeed: fail, lose, discard, …
	Error        string     `json:"error,omitempty"`       // its first 300 characters
}

// EventCursor is how far somebody has read: all that Since sees and, of what only Upto sees, all up
// to a place. It is not secret, and not signed.
type EventCursor struct {
	Opening int64     `json:"o"`           // of the gate
	Settled bool      `json:"s"`           // false: something may have happened after Since that was not noted
	Fence   int64     `json:"f,omitempty"` // when all transactions below it have ended, the cursor is settled; 0: not known yet
	Line    string    `json:"l"`           // the timeline of Postgres: another one may give the same numbers to other transactions
	At      time.Time `json:"t"`           // of Since, by Postgres' clock
	Since   string    `json:"a"`           // a pg_snapshot
	Upto    string    `json:"b,omitempty"` // another, of a page that went on; "": none
	UptoAt  time.Time `json:"u,omitzero"`
	From    time.Time `json:"n,omitzero"` // what began before it is passed over, until Upto is reached
	Tx      int64     `json:"x,omitempty"`
	ID      int64     `json:"i,omitempty"`
}

// Snapshot is a pg_snapshot: it sees every transaction below Xmax that had ended.
type Snapshot struct{ Xmin, Xmax int64 }

// ParseSnapshot reads what Postgres wrote; false: it is none.
func ParseSnapshot(text string) (s Snapshot, ok bool) {
	part := strings.SplitN(text, ":", 3)
	if len(part) != 3 {
		return s, false
	}
	var errs [2]error
	s.Xmin, errs[0] = strconv.ParseInt(part[0], 10, 64)
	s.Xmax, errs[1] = strconv.ParseInt(part[1], 10, 64)
	if errs[0] != nil || errs[1] != nil || s.Xmin < 1 || s.Xmax < s.Xmin {
		return s, false
	}
	if part[2] == "" {
		return s, true
	}
	last := s.Xmin
	for under := range strings.SplitSeq(part[2], ",") {
		x, err := strconv.ParseInt(under, 10, 64)
		if err != nil || x < last || x >= s.Xmax {
			return s, false
		}
		last = x
	}
	return s, true
}

// ParseEventCursor reads what [EventCursor.String] wrote, or returns a [*FieldError].
func ParseEventCursor(text string) (EventCursor, error) {
	var c EventCursor
	raw, err := base64.RawURLEncoding.DecodeString(text)
	ok := err == nil && len(text) <= MaxEventCursor && json.Unmarshal(raw, &c) == nil
	for _, s := range []string{c.Since, c.Upto} {
		if s != "" {
			_, sound := ParseSnapshot(s)
			ok = ok && sound
		}
	}
	if !ok || c.Since == "" || c.Tx < 0 || c.ID < 0 {
		return EventCursor{}, &FieldError{Field: "cursor", Problem: "must be one that events came with"}
	}
	return c, nil
}

// String returns the cursor as text that is fit for a URL, a header and a file.
func (c EventCursor) String() string {
	text, _ := json.Marshal(c) // numbers, strings and a time of Postgres: cannot fail
	return base64.RawURLEncoding.EncodeToString(text)
}

// ExportStart is where an export begins that asks for what is kept.
type ExportStart struct {
	At EventCursor
	// CompleteFrom is the moment from which on nothing is missing: what was done by a
	// transaction that began before it may not have been noted, or not be kept.
	CompleteFrom time.Time
}

// EventPage is some events, in no order that means anything, and where to go on.
type EventPage struct {
	Events []StatusEvent
	Next   EventCursor
	More   bool // there is more at this moment
	// Gap: something was not noted, or is not kept any more, between the cursor and Next. What
	// had happened by then has to be read elsewhere; Events has what was noted all the same.
	Gap bool
}
