package db

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/penguinmails/rookery/db/internal/query"
	"github.com/penguinmails/rookery/job"
)

// APIKey returns a key that is good at this moment, or [job.ErrNotFound] for one that
// is unknown, was revoked or has expired by Postgres' clock.
func (s *Store) APIKey(ctx context.Context, id string) (job.KnownKey, error) {
	out := job.KnownKey{ID: id}
	err := s.seeing(ctx, "look up key", func(q *query.Queries) error {
		row, err := q.GetAPIKey(ctx, id)
		if err != nil {
			return err
		}
		if copy(out.Hash[:], row.Hash) != sha256.Size {
			return fmt.Errorf("the hash of key %s has %d bytes", id, len(row.Hash))
		}
		out.Name, out.Scopes, out.Queues, out.Left = row.Name, scopesOf(row.Scopes), row.QueuePatterns, time.Duration(row.LeftMs)*time.Millisecond
		return nil
	})
	return out, err
}

// APIKeys lists keys without their hashes, the revoked ones too: up to limit whose ids
// come behind after, "" meaning from the start. Ids are drawn, so their order means
// nothing.
func (s *Store) APIKeys(ctx context.Context, after string, limit int) ([]job.APIKey, error) {
	out := []job.APIKey{}
	err := s.seeing(ctx, "list keys", func(q *query.Queries) error {
		rows, err := q.ListAPIKeys(ctx, query.ListAPIKeysParams{AfterID: after, MaxKeys: int32(min(max(limit, 1), 1000))})
		for _, r := range rows {
			out = append(out, job.APIKey{
				ID: r.ID, Name: r.Name, Scopes: scopesOf(r.Scopes), Queues: r.QueuePatterns, CreatedAt: r.CreatedAt, CreatedBy: r.CreatedBy,
				ExpiresAt: r.ExpiresAt, RevokedAt: r.RevokedAt, LastUsedAt: r.LastUsedAt,
			})
		}
		return err
	})
	return out, err
}

// CreateAPIKey keeps a key by the hash of its secret, records who made it, and returns
// it as it is kept. What breaks a limit is a [*job.FieldError].
func (s *Store) CreateAPIKey(ctx context.Context, by job.Actor, k job.APIKey, hash [sha256.Size]byte) (job.APIKey, error) {
	if err := k.Check(); err != nil {
		return job.APIKey{}, fmt.Errorf("create key: %w", err)
	}
	if k.Queues == nil {
		k.Queues = []string{} // NULL is no array
	}
	k.CreatedBy = by.Principal
	err := s.changing(ctx, "create key", func(q *query.Queries) (_ job.Change, _ bool, err error) {
		k.CreatedAt, err = q.InsertAPIKey(ctx, query.InsertAPIKeyParams{
			ID: k.ID, Name: k.Name, Hash: hash[:], Scopes: wordsOf(k.Scopes), QueuePatterns: k.Queues, CreatedBy: k.CreatedBy, ExpiresAt: k.ExpiresAt,
		})
		return by.Did("key.create", k.ID, "", map[string]any{"name": k.Name, "scopes": k.Scopes, "expires_at": k.ExpiresAt}), true, err
	})
	return k, err
}

// RevokeAPIKey revokes a key for good and records who did; false: it was revoked
// already. [job.ErrNotFound]: there is no such key.
func (s *Store) RevokeAPIKey(ctx context.Context, by job.Actor, id string) (revoked bool, err error) {
	err = s.changing(ctx, "revoke key", func(q *query.Queries) (job.Change, bool, error) {
		row, err := q.RevokeAPIKey(ctx, id)
		revoked = row.Revoked
		return by.Did("key.revoke", id, "", map[string]any{"name": row.Name}), row.Revoked, err
	})
	return revoked, err
}

// TouchAPIKeys notes that keys were used just now.
func (s *Store) TouchAPIKeys(ctx context.Context, ids []string) error {
	return s.seeing(ctx, "note keys' use", func(q *query.Queries) error { return q.TouchAPIKeys(ctx, ids) })
}

func scopesOf(words []string) []job.Scope {
	out := make([]job.Scope, len(words))
	for i, w := range words {
		out[i] = job.Scope(w)
	}
	return out
}

func wordsOf(scopes []job.Scope) []string {
	out := make([]string, len(scopes))
	for i, s := range scopes {
		out[i] = string(s)
	}
	return out
}
