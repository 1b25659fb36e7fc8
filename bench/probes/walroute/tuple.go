package main

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/penguinmails/rookery/job"
)

var errShort = errors.New("decode: a row is too short")

// postgresEpoch is what binary timestamps count microseconds from.
var postgresEpoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// decodeRow reads pgoutput's Insert in binary format, without pglogrepl's copy of
// every byte. queued is false for a job that does not wait for a relay, or not yet.
// https://www.postgresql.org/docs/15/protocol-logicalrep-message-formats.html
func decodeRow(data []byte, whole bool) (r row, queued bool, err error) {
	if len(data) < 8 {
		return r, false, errShort
	}
	var columns [16][]byte
	n := int(binary.BigEndian.Uint16(data[6:]))
	at := data[8:]
	for i := range min(n, len(columns)) {
		if len(at) == 0 {
			return r, false, errShort
		}
		kind := at[0]
		at = at[1:]
		if kind == 'n' {
			continue
		}
		if len(at) < 4 {
			return r, false, errShort
		}
		size := int(binary.BigEndian.Uint32(at))
		if at = at[4:]; len(at) < size {
			return r, false, errShort
		}
		columns[i], at = at[:size], at[size:]
	}
	r.id = int64(binary.BigEndian.Uint64(columns[0]))
	if !whole { // id, queue_name, priority, status, run_at
		return r, string(columns[3]) == "queued" && !moment(columns[4]).After(time.Now()), nil
	}
	// id, queue_name, kind, payload, priority, status, max_attempts, run_at, created_at, headers
	r.envelope = job.Envelope{
		ID: r.id, Version: job.EnvelopeVersion, QueueName: string(columns[1]), Kind: string(columns[2]), Payload: json(columns[3]),
		Priority: int16(binary.BigEndian.Uint16(columns[4])), MaxAttempts: int16(binary.BigEndian.Uint16(columns[6])),
		RunAt: moment(columns[7]), CreatedAt: moment(columns[8]), Headers: json(columns[9]),
	}
	return r, string(columns[5]) == "queued" && !r.envelope.RunAt.After(time.Now()), nil
}

func moment(b []byte) time.Time {
	return postgresEpoch.Add(time.Duration(binary.BigEndian.Uint64(b)) * time.Microsecond)
}

// json copies a jsonb without its version byte.
func json(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return append([]byte(nil), b[1:]...)
}
