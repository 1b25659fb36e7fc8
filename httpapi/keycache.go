package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/penguinmails/rookery/job"
)

// KeyStore knows the keys that people made: Postgres.
type KeyStore interface {
	// APIKey returns a key that is good at this moment, or [job.ErrNotFound].
	APIKey(ctx context.Context, id string) (job.KnownKey, error)
	// TouchAPIKeys notes that keys were used just now.
	TouchAPIKeys(ctx context.Context, ids []string) error
}

const (
	keyFresh   = 5 * time.Second  // how long an answer is good, and so a revoked key at most
	keyGrace   = 15 * time.Minute // how long a key stays good while nobody answers
	keyPause   = time.Second      // between two questions about a key while nobody answers
	keyTimeout = 2 * time.Second  // of a question
	keyTouch   = time.Minute      // between two notes of which keys were used
	strangers  = 2                // keys not in the cache that are asked about at once
)

// keyCache spares Postgres a question for each request. A key is asked about again when
// the answer is 5 s old: so long a revoked key may go on. While Postgres does not
// answer, keys that were good when it last did stay so for 15 minutes, unless they
// expire; a key that is not in the cache then cannot be told from a false one. Ages are
// by the monotonic clock, from before the question.
//
// Only good keys are remembered, so a flood of invented ids takes no memory; and no more
// than two ids at a time that are not remembered are asked about, so it leaves Postgres'
// connections to others.
type keyCache struct {
	store KeyStore
	log   *slog.Logger
	slots chan struct{} // holds a token for each stranger that is asked about

	mu      sync.Mutex
	entries map[string]*keyEntry
	used    map[string]bool // keys that were used since the last note
}

// keyEntry is what is known of one key. Its lock is held while Postgres is asked, so
// that of many requests one asks.
type keyEntry struct {
	mu        sync.Mutex
	key       job.KnownKey
	good      bool      // Postgres had it when it last answered
	confirmed time.Time // when Postgres was asked and answered; zero: never
	asked     time.Time // when it was asked
	err       error     // why it did not answer
}

func newKeyCache(store KeyStore, log *slog.Logger) *keyCache {
	return &keyCache{store: store, log: log, slots: make(chan struct{}, strangers), entries: map[string]*keyEntry{}, used: map[string]bool{}}
}

// find returns a good key, [job.ErrNotFound], or an error when nobody knows.
func (c *keyCache) find(ctx context.Context, id string, now time.Time) (job.KnownKey, error) {
	e := c.entry(id)
	e.mu.Lock()
	defer e.mu.Unlock()
	pause := keyFresh
	if e.err != nil {
		pause = keyPause
	}
	if e.asked.IsZero() || now.Sub(e.asked) >= pause {
		c.askLocked(ctx, id, e, now)
	}
	age := now.Sub(e.confirmed)
	switch {
	case e.err != nil && (!e.good || age >= keyGrace):
		return job.KnownKey{}, e.err
	case !e.good, e.key.Left >= 0 && age >= e.key.Left:
		return job.KnownKey{}, job.ErrNotFound
	}
	return e.key, nil
}

// askLocked asks Postgres about a key. The client may hang up; others wait for the
// answer too.
func (c *keyCache) askLocked(ctx context.Context, id string, e *keyEntry, now time.Time) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keyTimeout)
	defer cancel()
	e.asked = now
	var key job.KnownKey
	if key, e.err = c.ask(ctx, id, e.good); e.err == nil {
		e.key, e.good, e.confirmed = key, true, now
	} else if errors.Is(e.err, job.ErrNotFound) {
		e.good, e.err, e.confirmed = false, nil, now
	}
	if !e.good {
		c.forget(id, e)
	}
}

func (c *keyCache) ask(ctx context.Context, id string, remembered bool) (job.KnownKey, error) {
	if !remembered {
		select {
		case c.slots <- struct{}{}:
			defer func() { <-c.slots }()
		case <-ctx.Done():
			return job.KnownKey{}, fmt.Errorf("%w: too many unknown keys are asked about", job.ErrUnavailable)
		}
	}
	return c.store.APIKey(ctx, id)
}

func (c *keyCache) entry(id string) *keyEntry {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[id]
	if e == nil {
		e = &keyEntry{}
		c.entries[id] = e
	}
	return e
}

// remembers reports whether a key was good when it was last asked about, or is being
// asked about.
func (c *keyCache) remembers(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.entries[id] != nil
}

func (c *keyCache) forget(id string, e *keyEntry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries[id] == e {
		delete(c.entries, id)
	}
}

// note remembers that a key was used.
func (c *keyCache) note(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.used[id] = true
}

// touch tells Postgres which keys were used. What it does not take is told the next
// time.
func (c *keyCache) touch(ctx context.Context) error {
	c.mu.Lock()
	ids := slices.Sorted(maps.Keys(c.used))
	clear(c.used)
	c.mu.Unlock()
	if len(ids) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keyTimeout)
	defer cancel()
	err := c.store.TouchAPIKeys(ctx, ids)
	if err != nil {
		for _, id := range ids {
			c.note(id)
		}
	}
	return err
}

// run tells Postgres once a minute which keys were used, and once more in the end.
func (c *keyCache) run(ctx context.Context) {
	pause := time.NewTicker(keyTouch)
	defer pause.Stop()
	for ended := false; !ended; {
		select {
		case <-ctx.Done():
			ended = true
		case <-pause.C:
		}
		if err := c.touch(ctx); err != nil {
			c.log.DebugContext(ctx, "use of keys not noted for now", logError, err)
		}
	}
}
