package job

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// What a door may say about an insert that failed.
var (
	// ErrNotInserted: Postgres is known not to have what was to be inserted, since
	// it was never sent or since Postgres itself refused it.
	ErrNotInserted = errors.New("postgres does not have it")
	// ErrKeyReused: the key belongs to a request with another body.
	ErrKeyReused = errors.New("the key belongs to another request")
	// ErrSpoolFull: the spool holds as many entries or bytes as it may.
	ErrSpoolFull = errors.New("the spool is full")
)

// How long the spool and what Postgres knows of it live side by side. An entry is
// inserted only while the row that would say it was inserted already cannot have
// been retired: SpoolLife is a day below the retention in queries/spool.sql, which
// leaves room for the two servers' clocks.
const (
	SpoolLife   = 7 * 24 * time.Hour
	SpoolDigest = 16 // bytes of Spooled.Digest
)

// Spooled is one request's jobs under the key that keeps them from being inserted
// twice. Between a request that was spooled and its insert lies Redis: it is outside
// G1 and G2.
type Spooled struct {
	Key    string // a UUID in its usual form: the spool id
	Digest []byte // SpoolDigest bytes that stand for the request's body
	Specs  []Spec // with their defaults written out; a zero RunAt means when it is inserted
}

// SpoolEntry is a Spooled as Redis has it. Bad says why its jobs cannot be read;
// whoever may write to Redis may have put anything there.
type SpoolEntry struct {
	Spooled
	ID  string // of the stream
	Bad string
}

// SpoolPage is some entries of the spool, the oldest first, and how full it is.
type SpoolPage struct {
	Entries []SpoolEntry
	Stats   SpoolStats
}

// SpoolStats says how full the spool is.
type SpoolStats struct {
	Entries, Bytes int64
	Refused        int64         // set aside because they cannot be inserted
	Oldest         time.Duration // age of the oldest entry, by Redis' clock
}

// SpoolState says where a spooled request is.
type SpoolState string

// The states of a spooled request.
const (
	SpoolWaiting  SpoolState = "waiting"  // in Redis
	SpoolInserted SpoolState = "inserted" // in Postgres
	SpoolRefused  SpoolState = "refused"  // set aside
	SpoolUnknown  SpoolState = "unknown"  // never seen, lost with Redis, or forgotten
)

// specJSON is a job as Redis and outbox.insert_spooled read it.
type specJSON struct {
	QueueName   string          `json:"queue_name"`
	Kind        string          `json:"kind"`
	Payload     json.RawMessage `json:"payload"`
	Headers     json.RawMessage `json:"headers,omitempty"`
	Priority    int             `json:"priority"`
	RunAt       *time.Time      `json:"run_at,omitempty"`
	MaxAttempts int             `json:"max_attempts"`
}

// EncodeSpecs writes jobs, whose defaults are written out, as a JSON array.
func EncodeSpecs(specs []Spec) ([]byte, error) {
	all := make([]specJSON, len(specs))
	for i, s := range specs {
		s, err := s.Filled()
		if err != nil {
			return nil, fmt.Errorf("jobs[%d] %w", i, err)
		}
		all[i] = specJSON{QueueName: s.QueueName, Kind: s.Kind, Payload: s.Payload, Headers: s.Headers, Priority: *s.Priority, MaxAttempts: s.MaxAttempts}
		if !s.RunAt.IsZero() {
			utc := s.RunAt.UTC()
			all[i].RunAt = &utc
		}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // six bytes for a < would count against the payload's limit
	if err := e.Encode(all); err != nil {
		return nil, fmt.Errorf("encode jobs: %w", err)
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// DecodeSpecs reads what EncodeSpecs wrote, and refuses whatever else stands there:
// the text comes from Redis, where nobody has checked it.
func DecodeSpecs(text []byte) ([]Spec, error) {
	var all []specJSON
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&all); err != nil {
		return nil, errors.New("is not a JSON array of jobs") // the decoder's own words may quote a payload
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) || len(all) == 0 {
		return nil, errors.New("is not one JSON array of at least one job")
	}
	specs := make([]Spec, len(all))
	for i, j := range all {
		s := Spec{QueueName: j.QueueName, Kind: j.Kind, Payload: j.Payload, Headers: j.Headers, Priority: &j.Priority, MaxAttempts: j.MaxAttempts}
		if j.RunAt != nil {
			s.RunAt = j.RunAt.UTC()
		}
		var err error
		if specs[i], err = s.Filled(); err != nil {
			return nil, fmt.Errorf("jobs[%d] %w", i, err)
		}
	}
	return specs, nil
}

// IsSpoolKey reports whether s is a UUID as Spooled.Key has it: in lower case, with
// its four dashes.
func IsSpoolKey(s string) bool {
	const shape = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"
	if len(s) != len(shape) {
		return false
	}
	for i := range len(s) {
		c := s[i]
		digit := c >= '0' && c <= '9' || c >= 'a' && c <= 'f'
		if digit != (shape[i] == 'x') || !digit && c != '-' {
			return false
		}
	}
	return true
}
