package job

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// EnvelopeVersion is the newest version this program writes and reads. A version
// is raised only when an older reader would misread the envelope; new fields at
// the end do not raise it.
const EnvelopeVersion = 1

// Envelope is a job as it travels through Redis: everything a worker needs to run
// one attempt. Its JSON is compact and begins with id and dispatch_id, which the
// scripts read with one pattern.
type Envelope struct {
	ID           int64           `json:"id"`
	DispatchID   int64           `json:"dispatch_id"`
	Version      int             `json:"v"`
	AttemptCount int32           `json:"attempt_count"` // counts from 1; for people and for backoff, not a fence
	QueueName    string          `json:"queue_name"`
	Kind         string          `json:"kind"`
	Priority     int16           `json:"priority"`
	MaxAttempts  int16           `json:"max_attempts"`
	FailureCount int16           `json:"failure_count"` // failures before this attempt
	LostCount    int16           `json:"lost_count"`    // leases of this job that ended before this attempt
	Alone        bool            `json:"alone"`         // a worker runs nothing beside it: it may be a poison pill
	CreatedAt    time.Time       `json:"created_at"`    // Postgres' clock, as the two below
	RunAt        time.Time       `json:"run_at"`
	DispatchedAt time.Time       `json:"dispatched_at"`
	Headers      json.RawMessage `json:"headers"` // a JSON object, or null
	Payload      json.RawMessage `json:"payload"` // opaque; never decoded on the way
}

// Ref returns the attempt the envelope stands for.
func (e *Envelope) Ref() Ref { return Ref{ID: e.ID, DispatchID: e.DispatchID} }

// DueAt returns since when the job could have run: its run_at, or the beginning of the
// transaction that inserted it, if that is later. A retry is due at its own run_at.
func (e *Envelope) DueAt() time.Time {
	if e.CreatedAt.After(e.RunAt) {
		return e.CreatedAt
	}
	return e.RunAt
}

// Size returns about how many bytes the encoded envelope has: never fewer than it
// really has, unless names need escapes.
func (e *Envelope) Size() int {
	return 360 + len(e.QueueName) + len(e.Kind) + len(e.Headers) + len(e.Payload)
}

// Append appends the envelope's JSON to b. Payload and Headers are copied as they
// are: they must be valid JSON, as everything that comes from a jsonb column is;
// empty ones become null. The error is never nil for a year outside 0 … 9999.
func (e *Envelope) Append(b []byte) ([]byte, error) {
	b = append(b, `{"id":`...)
	b = strconv.AppendInt(b, e.ID, 10)
	b = append(b, `,"dispatch_id":`...)
	b = strconv.AppendInt(b, e.DispatchID, 10)
	b = append(b, `,"v":`...)
	b = strconv.AppendInt(b, EnvelopeVersion, 10)
	b = append(b, `,"attempt_count":`...)
	b = strconv.AppendInt(b, int64(e.AttemptCount), 10)
	b = append(b, `,"queue_name":`...)
	b = appendString(b, e.QueueName)
	b = append(b, `,"kind":`...)
	b = appendString(b, e.Kind)
	b = append(b, `,"priority":`...)
	b = strconv.AppendInt(b, int64(e.Priority), 10)
	b = append(b, `,"max_attempts":`...)
	b = strconv.AppendInt(b, int64(e.MaxAttempts), 10)
	b = append(b, `,"failure_count":`...)
	b = strconv.AppendInt(b, int64(e.FailureCount), 10)
	b = append(b, `,"lost_count":`...)
	b = strconv.AppendInt(b, int64(e.LostCount), 10)
	b = append(b, `,"alone":`...)
	b = strconv.AppendBool(b, e.Alone)
	for _, f := range [...]struct {
		key string
		at  time.Time
	}{{`,"created_at":"`, e.CreatedAt}, {`,"run_at":"`, e.RunAt}, {`,"dispatched_at":"`, e.DispatchedAt}} {
		if y := f.at.UTC().Year(); y < 0 || y > 9999 {
			return nil, fmt.Errorf("encode envelope of job %d: year %d in %s", e.ID, y, f.key[2:len(f.key)-3])
		}
		b = append(b, f.key...)
		b = f.at.UTC().AppendFormat(b, time.RFC3339Nano)
		b = append(b, '"')
	}
	b = append(b, `,"headers":`...)
	b = appendRaw(b, e.Headers)
	b = append(b, `,"payload":`...)
	b = appendRaw(b, e.Payload)
	return append(b, '}'), nil
}

// ErrEnvelope: the bytes are not an envelope this program can read.
var ErrEnvelope = errors.New("not a readable envelope")

// Decode reads an envelope that [Envelope.Append] or any other producer of the
// same JSON wrote. Payload and Headers alias data when it has the layout that
// Append writes. The error wraps [ErrEnvelope].
func Decode(data []byte) (Envelope, error) {
	if e, ok := decodeFast(data); ok {
		return e, nil
	}
	var e Envelope
	if err := json.Unmarshal(data, &e); err != nil {
		return Envelope{}, fmt.Errorf("%w: %w", ErrEnvelope, err)
	}
	if e.Version > EnvelopeVersion {
		return Envelope{}, fmt.Errorf("%w: version %d, newest known is %d", ErrEnvelope, e.Version, EnvelopeVersion)
	}
	if e.ID <= 0 || e.DispatchID <= 0 {
		return Envelope{}, fmt.Errorf("%w: id and dispatch_id must be positive", ErrEnvelope)
	}
	e.Headers, e.Payload = notNull(e.Headers), notNull(e.Payload)
	return e, nil
}

func notNull(raw json.RawMessage) json.RawMessage {
	if string(raw) == "null" {
		return nil
	}
	return raw
}

// decodeFast reads exactly the layout that Append writes, without looking into
// the payload; anything else is left to encoding/json. The payload needs no check
// of its own: it came out of a jsonb column.
func decodeFast(data []byte) (Envelope, bool) {
	var e Envelope
	s := scanner{rest: data, ok: true}
	e.ID = s.number(`{"id":`)
	e.DispatchID = s.number(`,"dispatch_id":`)
	e.Version = int(s.number(`,"v":`))
	e.AttemptCount = int32(s.numberTo(`,"attempt_count":`, 1<<31-1))
	e.QueueName = s.text(`,"queue_name":`)
	e.Kind = s.text(`,"kind":`)
	e.Priority = int16(s.numberTo(`,"priority":`, 1<<15-1))
	e.MaxAttempts = int16(s.numberTo(`,"max_attempts":`, 1<<15-1))
	e.FailureCount = int16(s.numberTo(`,"failure_count":`, 1<<15-1))
	e.LostCount = int16(s.numberTo(`,"lost_count":`, 1<<15-1))
	e.Alone = s.truth(`,"alone":`)
	e.CreatedAt = s.moment(`,"created_at":`)
	e.RunAt = s.moment(`,"run_at":`)
	e.DispatchedAt = s.moment(`,"dispatched_at":`)
	if !s.ok || e.Version != EnvelopeVersion || e.ID <= 0 || e.DispatchID <= 0 {
		return e, false
	}
	e.Headers = s.headers()
	if !s.ok || len(s.rest) < 2 || s.rest[len(s.rest)-1] != '}' {
		return e, false
	}
	payload := s.rest[:len(s.rest)-1]
	if spaced(payload) || !json.Valid(payload) {
		return e, false
	}
	e.Payload = notNull(payload)
	return e, true
}

// scanner reads known keys in a known order; ok turns false at the first surprise.
type scanner struct {
	rest []byte
	ok   bool
}

func (s *scanner) key(k string) {
	if !s.ok || !bytes.HasPrefix(s.rest, []byte(k)) {
		s.ok = false
		return
	}
	s.rest = s.rest[len(k):]
}

func (s *scanner) number(k string) int64 { return s.numberTo(k, 1<<63-1) }

func (s *scanner) numberTo(k string, limit int64) int64 {
	s.key(k)
	if !s.ok {
		return 0
	}
	n := 0
	for n < len(s.rest) && s.rest[n] >= '0' && s.rest[n] <= '9' {
		n++
	}
	v, err := strconv.ParseInt(string(s.rest[:n]), 10, 64)
	if err != nil || v > limit || n > 1 && s.rest[0] == '0' {
		s.ok = false
		return 0
	}
	s.rest = s.rest[n:]
	return v
}

func (s *scanner) quoted(k string) []byte {
	s.key(k)
	s.key(`"`)
	if !s.ok {
		return nil
	}
	n := bytes.IndexByte(s.rest, '"')
	if n < 0 {
		s.ok = false
		return nil
	}
	v := s.rest[:n]
	for _, c := range v {
		if c == '\\' || c < 0x20 {
			s.ok = false // an escape: encoding/json knows how
			return nil
		}
	}
	s.rest = s.rest[n+1:]
	return v
}

func (s *scanner) text(k string) string {
	v := s.quoted(k)
	if !utf8.Valid(v) {
		s.ok = false
	}
	return string(v)
}

func (s *scanner) moment(k string) time.Time {
	v := s.quoted(k)
	if !s.ok {
		return time.Time{}
	}
	var t time.Time
	if t.UnmarshalText(v) != nil {
		s.ok = false
	}
	return t
}

func (s *scanner) truth(k string) bool {
	s.key(k)
	switch {
	case bytes.HasPrefix(s.rest, []byte("false")):
		s.rest = s.rest[5:]
		return false
	case bytes.HasPrefix(s.rest, []byte("true")):
		s.rest = s.rest[4:]
		return true
	}
	s.ok = false
	return false
}

// headers reads the headers and the key of the payload behind them.
func (s *scanner) headers() json.RawMessage {
	const null = `,"headers":null,"payload":`
	if bytes.HasPrefix(s.rest, []byte(null)) {
		s.rest = s.rest[len(null):]
		return nil
	}
	s.key(`,"headers":`)
	if !s.ok {
		return nil
	}
	n := objectEnd(s.rest)
	if n == 0 || !json.Valid(s.rest[:n]) {
		s.ok = false
		return nil
	}
	raw := s.rest[:n:n]
	s.rest = s.rest[n:]
	s.key(`,"payload":`)
	return json.RawMessage(raw)
}

// objectEnd returns the length of the JSON object that b begins with, or 0 when it
// begins with none. Whether what lies between is valid is for the caller to ask.
func objectEnd(b []byte) int {
	if len(b) == 0 || b[0] != '{' {
		return 0
	}
	depth, quoted := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{':
			depth++
		case c == '}':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return 0
}

// spaced reports whether white space stands around the JSON value raw, which
// encoding/json would strip.
func spaced(raw []byte) bool {
	const space = " \t\r\n"
	return len(raw) == 0 || strings.IndexByte(space, raw[0]) >= 0 || strings.IndexByte(space, raw[len(raw)-1]) >= 0
}

func appendRaw(b []byte, raw json.RawMessage) []byte {
	if len(raw) == 0 {
		return append(b, "null"...)
	}
	return append(b, raw...)
}

// appendString appends s as a JSON string. Names that need no escape, which is
// nearly all of them, are copied.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			quoted, _ := json.Marshal(s) // a string always marshals
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
