package devtest

import (
	"bytes"
	"context"

	"github.com/penguinmails/rookery/job"
)

// SealKeys returns one key, always the same, for tests of Redis that have no
// Postgres to read keys from.
func SealKeys(context.Context) ([]job.SealKey, error) {
	return []job.SealKey{{ID: 1, Secret: bytes.Repeat([]byte{1}, 32), Signs: true}}, nil
}
