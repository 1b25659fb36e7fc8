package httpapi

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/penguinmails/rookery/job"
)

// KeyAdmin makes and revokes keys, and records who did in the same transaction.
type KeyAdmin interface {
	// CreateAPIKey keeps a key by the hash of its secret. What breaks a limit is a
	// [*job.FieldError].
	CreateAPIKey(ctx context.Context, by job.Actor, k job.APIKey, hash [sha256.Size]byte) (job.APIKey, error)
	// APIKeys lists keys by their ids, the revoked ones too: up to limit behind after.
	APIKeys(ctx context.Context, after string, limit int) ([]job.APIKey, error)
	// RevokeAPIKey revokes a key for good; false: it was already. [job.ErrNotFound]:
	// there is none.
	RevokeAPIKey(ctx context.Context, by job.Actor, id string) (bool, error)
}

// keyDocument is a key as the API shows it. Key, the only copy of the text that a
// client sends, is in the answer to POST /v1/keys and never again.
type keyDocument struct {
	job.APIKey
	Key string `json:"key,omitempty"`
}

// createKey answers POST /v1/keys.
func (s *Server) createKey(ctx context.Context, r request) (answer, error) {
	if err := r.allow(); err != nil {
		return answer{}, err
	}
	k, err := decodeKey(r.body)
	if err != nil {
		return answer{}, err
	}
	work, cancel := context.WithTimeout(context.WithoutCancel(ctx), queryTimeout)
	defer cancel()
	text, id, hash := job.NewKey()
	k.ID = id
	if k, err = s.o.KeyAdmin.CreateAPIKey(work, s.actor(ctx), k, hash); err != nil {
		var data *job.DataError
		if errors.As(err, &data) {
			return answer{}, invalidKey([]fault{{Code: faultUnstorable, Detail: "Postgres refused a value (SQLSTATE " + data.SQLState + ")"}})
		}
		return answer{}, fmt.Errorf("create key: %w", err)
	}
	return answer{status: http.StatusCreated, body: keyDocument{APIKey: keyInUTC(k), Key: text}}, nil
}

// listKeys answers GET /v1/keys.
func (s *Server) listKeys(ctx context.Context, r request) (answer, error) {
	p, err := cursorPageOf(r)
	if err != nil {
		return answer{}, err
	}
	if p.cursor != "" && !job.IsKeyID(p.cursor) {
		return answer{}, invalidParameter("cursor", "must be a next_cursor of this route")
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	known, err := s.o.KeyAdmin.APIKeys(ctx, p.cursor, p.limit+1)
	if err != nil {
		return answer{}, fmt.Errorf("list keys: %w", err)
	}
	body := struct {
		Keys       []keyDocument `json:"keys"`
		NextCursor *string       `json:"next_cursor"` // null: these were the last
	}{Keys: []keyDocument{}}
	for i, k := range known {
		if i == p.limit {
			body.NextCursor = &known[i-1].ID
			break
		}
		body.Keys = append(body.Keys, keyDocument{APIKey: keyInUTC(k)})
	}
	return answer{status: http.StatusOK, body: body}, nil
}

// revokeKey answers DELETE /v1/keys/{id}: the same however often it is sent.
func (s *Server) revokeKey(ctx context.Context, r request) (answer, error) {
	if err := r.allow(); err != nil {
		return answer{}, err
	}
	if !job.IsKeyID(r.id) {
		return answer{}, invalidParameter("id", "must be the id of a key, 13 of a to z and 2 to 7")
	}
	work, cancel := context.WithTimeout(context.WithoutCancel(ctx), queryTimeout)
	defer cancel()
	_, err := s.o.KeyAdmin.RevokeAPIKey(work, s.actor(ctx), r.id)
	switch {
	case errors.Is(err, job.ErrNotFound):
		return answer{}, newProblem(http.StatusNotFound, codeKeyNotFound, "there is no key with this id")
	case err != nil:
		return answer{}, fmt.Errorf("revoke key: %w", err)
	}
	return answer{status: http.StatusOK, body: struct {
		ID      string `json:"id"`
		Revoked bool   `json:"revoked"`
	}{r.id, true}}, nil
}

// decodeKey reads the body of POST /v1/keys: name and scopes, and if wanted queues and
// expires_at.
func decodeKey(body []byte) (job.APIKey, error) {
	d, p := newDocument(body)
	if p != nil {
		return job.APIKey{}, p
	}
	var k job.APIKey
	if d.is('{') {
		d.object(func(name string) { d.keyMember(name, &k) })
	}
	if len(d.faults) > 0 {
		return k, invalidKey(d.faults)
	}
	var field *job.FieldError
	if errors.As(k.Check(), &field) {
		d.faultOf(field.Field, faultInvalid, "%s", field.Problem)
		return k, invalidKey(d.faults)
	}
	return k, nil
}

func (d *document) keyMember(name string, k *job.APIKey) {
	known := len(d.faults)
	raw := d.raw()
	if len(d.faults) > known {
		return
	}
	var err error
	switch name {
	case "name":
		k.Name, err = text(raw)
	case "scopes":
		k.Scopes, err = listOf[job.Scope](raw, len(job.Scopes()))
	case "queues":
		k.Queues, err = listOf[string](raw, job.MaxQueuePatterns)
	case "expires_at":
		t, wrong := moment(raw)
		k.ExpiresAt, err = &t, wrong
	default:
		err = &wrongValueError{faultUnknown, "is not a field of a key"}
	}
	d.refuse(name, err)
}

// listOf reads an array of at most so many strings.
func listOf[S ~string](raw []byte, most int) ([]S, error) {
	if raw[0] != '[' {
		return nil, wrongType("an array of strings", raw)
	}
	var pointers []*S // nil for a null, which would be read as ""
	if json.Unmarshal(raw, &pointers) != nil {
		return nil, &wrongValueError{faultType, "must have only strings"}
	}
	if len(pointers) > most {
		return nil, &wrongValueError{faultRange, fmt.Sprintf("has %d values, must have at most %d", len(pointers), most)}
	}
	out := make([]S, len(pointers))
	for i, p := range pointers {
		if p == nil {
			return nil, &wrongValueError{faultNull, "must have only strings, has null"}
		}
		out[i] = *p
	}
	return out, nil
}

func invalidKey(faults []fault) *problem {
	p := newProblem(http.StatusUnprocessableEntity, codeInvalidKey, faults[0].Detail)
	p.Errors = faults
	return p
}

func keyInUTC(k job.APIKey) job.APIKey {
	if k.Queues == nil {
		k.Queues = []string{} // never null
	}
	k.CreatedAt = k.CreatedAt.UTC()
	k.ExpiresAt, k.RevokedAt, k.LastUsedAt = utc(k.ExpiresAt), utc(k.RevokedAt), utc(k.LastUsedAt)
	return k
}
