package httpapi

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/penguinmails/rookery/job"
)

// ErrTooOften: too many unknown keys came from this address of late.
var ErrTooOften = errors.New("too many unknown keys came from this address")

// tooOftenError is an [ErrTooOften] that says how long to wait.
type tooOftenError struct{ wait time.Duration }

// Error says the same.
func (e *tooOftenError) Error() string { return ErrTooOften.Error() }

// Is reports whether target is [ErrTooOften].
func (e *tooOftenError) Is(target error) bool { return target == ErrTooOften }

// Door tells a UI who somebody is: a browser sends no Authorization, so a UI has
// sessions, each begun with a key. It may be used concurrently.
type Door struct{ guard *guard }

// Guest is who has a key.
type Guest struct {
	Principal
	// Seal signs this guest's sessions: secret, the same in every process, and gone with
	// the key.
	Seal [sha256.Size]byte
}

// Locked reports whether nobody passes without a key.
func (d *Door) Locked() bool { return d.guard.closed }

// Enter returns who has a key. [job.ErrNotFound]: nobody. [ErrTooOften] refuses to look;
// [job.ErrUnavailable]: Postgres does not answer.
func (d *Door) Enter(r *http.Request, key string) (Guest, error) {
	if len(key) > MaxKey {
		return Guest{}, job.ErrNotFound
	}
	return d.guard.enter(r.Context(), key, addressOf(r))
}

// Again returns what the guest with a name, who came in before, may now: within 5 s of a
// key's end, [job.ErrNotFound]. The other errors are those of [Door.Enter].
func (d *Door) Again(r *http.Request, name string) (Guest, error) {
	if name == configPrincipal && len(d.guard.keys) > 0 {
		return d.guard.owner(), nil
	}
	id, made := strings.CutPrefix(name, keyPrincipal)
	if !made || !job.IsKeyID(id) {
		return Guest{}, job.ErrNotFound
	}
	return d.guard.known(r.Context(), id, addressOf(r), nil)
}

// Try returns [ErrTooOften] when too many strangers came from this address of late.
func (d *Door) Try(r *http.Request) error {
	if wait := d.guard.unknown.peek(addressOf(r), time.Now()); wait > 0 {
		return &tooOftenError{wait}
	}
	return nil
}

// Strange notes that a stranger came, by another way than with a key.
func (d *Door) Strange(r *http.Request) { d.guard.unknown.take(addressOf(r), time.Now()) }

// enter returns who has a key; from is the address it came from.
func (g *guard) enter(ctx context.Context, key, from string) (Guest, error) {
	if g.configured(key) {
		return g.owner(), nil
	}
	id, hash, ok := job.ParseKey(key)
	if !ok {
		g.unknown.take(from, time.Now())
		return Guest{}, job.ErrNotFound
	}
	return g.known(ctx, id, from, hash[:])
}

// owner is who has a key of the options. Their sessions end when one of those is
// withdrawn.
func (g *guard) owner() Guest {
	out := Guest{Principal: unbound(configPrincipal)}
	sorted := slices.Clone(g.keys)
	slices.SortFunc(sorted, func(a, b [sha256.Size]byte) int { return bytes.Compare(a[:], b[:]) })
	h := hmac.New(sha256.New, []byte("rookery dashboard sessions"))
	for _, key := range sorted {
		h.Write(key[:])
	}
	h.Sum(out.Seal[:0])
	return out
}

// known returns who has the key with an id, if the hash of its secret is the given one;
// without one, the caller has proof of another kind to compare with the Seal.
func (g *guard) known(ctx context.Context, id, from string, hash []byte) (Guest, error) {
	if g.cache != nil && !g.cache.remembers(id) {
		// Good keys that are new here take nothing: behind a proxy all have one address.
		if wait := g.unknown.peek(from, time.Now()); wait > 0 {
			return Guest{}, &tooOftenError{wait}
		}
	}
	known, err := g.made(ctx, id, hash)
	if errors.Is(err, job.ErrNotFound) {
		g.unknown.take(from, time.Now())
	}
	if err != nil {
		return Guest{}, err
	}
	return Guest{Principal{Name: keyPrincipal + known.ID, Scopes: known.Scopes, Queues: known.Queues}, known.Hash}, nil
}
