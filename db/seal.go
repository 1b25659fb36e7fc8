package db

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/penguinmails/rookery/db/internal/query"
	"github.com/penguinmails/rookery/job"
)

// SealKeys returns the keys that envelopes are sealed with, secrets and all. One
// signs; a key that was made less than a minute ago does not yet, so whoever reads
// the keys more often than that knows every key before it meets it. The error wraps
// [job.ErrUnavailable] when Postgres is away, and says so when the user may not read
// them: that takes rookery_server.
func (s *Store) SealKeys(ctx context.Context) ([]job.SealKey, error) {
	var keys []job.SealKey
	err := s.do(ctx, "read seal keys", func(q *query.Queries) error {
		rows, err := q.SealKeys(ctx)
		for _, row := range rows {
			keys = append(keys, job.SealKey{ID: row.ID, Secret: row.Secret, Signs: row.Signs})
		}
		return err
	})
	return keys, err
}

// Seal is a seal key as people see it: without its secret.
type Seal struct {
	ID        int32      `json:"id"`
	CreatedAt time.Time  `json:"created_at"`
	RetiredAt *time.Time `json:"retired_at,omitempty"`
}

// Seals lists all seal keys, the oldest first, the retired ones too.
func (s *Store) Seals(ctx context.Context) ([]Seal, error) {
	var seals []Seal
	err := s.seeing(ctx, "list seals", func(q *query.Queries) error {
		rows, err := q.ListSeals(ctx)
		for _, row := range rows {
			seals = append(seals, Seal(row))
		}
		return err
	})
	return seals, err
}

// RotateSeals makes a new seal key, records who did, and returns its id. It signs a
// minute later; the keys before it go on opening what they have sealed. It takes the
// schema's owner.
func (s *Store) RotateSeals(ctx context.Context, by job.Actor) (id int32, err error) {
	err = s.changing(ctx, "rotate seals", func(q *query.Queries) (_ job.Change, _ bool, err error) {
		id, err = q.RotateSeals(ctx)
		return by.Did("seal.rotate", strconv.Itoa(int(id)), "", nil), true, err
	})
	return id, err
}

// RetireSeal forgets a key for good, and records who did: what it has sealed is not run
// any more. Without forced the error wraps [job.ErrState] while something of it may be under way, and
// always when it is the only one, or retired already.
func (s *Store) RetireSeal(ctx context.Context, by job.Actor, id int32, forced bool) error {
	var n int64
	err := s.changing(ctx, "retire seal", func(q *query.Queries) (_ job.Change, _ bool, err error) {
		n, err = q.RetireSeal(ctx, query.RetireSealParams{ID: id, Forced: forced})
		return by.Did("seal.retire", strconv.Itoa(int(id)), "", map[string]bool{"forced": forced}), n > 0, err
	})
	if err == nil && n == 0 {
		return fmt.Errorf("retire seal key %d: %w", id, job.ErrState)
	}
	return err
}
