package httpapi

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/penguinmails/rookery/job"
)

// maxCursor is how many bytes a cursor may have: a place takes less than 300.
const maxCursor = 1024

// cursor is where a page of a list ended. It is opaque to clients, not secret and not
// signed: it says nothing that the filters could not ask for.
type cursor struct {
	Filters []byte    `json:"f"` // see fingerprint
	Place   job.Place `json:"p"`
}

// encodeCursor returns nil for the end of a list.
func encodeCursor(l job.Listing, next *job.Place) *string {
	if next == nil {
		return nil
	}
	text, _ := json.Marshal(cursor{fingerprint(l), *next}) // numbers, strings and a time of Postgres: cannot fail
	s := base64.RawURLEncoding.EncodeToString(text)
	return &s
}

// decodeCursor returns where to go on, or a problem: another listing than the one
// that made the cursor would walk another index from a place that means nothing there.
func decodeCursor(l job.Listing, s string) (*job.Place, error) {
	var c cursor
	text, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(s) > maxCursor || json.Unmarshal(text, &c) != nil || c.Place.ID < 1 {
		return nil, invalidParameter("cursor", "must be the next_cursor of an earlier page")
	}
	if !bytes.Equal(c.Filters, fingerprint(l)) {
		return nil, newProblem(http.StatusBadRequest, codeCursorMismatch, "the cursor was made by a list with other filters; only limit may change from page to page")
	}
	return &c.Place, nil
}

// fingerprint tells listings with different filters apart.
func fingerprint(l job.Listing) []byte {
	kind := "any"
	if l.Kind != nil {
		kind = "=" + *l.Kind
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %d %d %d", l.QueueName, kind, l.Status, l.CreatedAfter.UnixMicro(), l.CreatedBefore.UnixMicro(), l.DiedAfter.UnixMicro()))
	return sum[:8]
}
