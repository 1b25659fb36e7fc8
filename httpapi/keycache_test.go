package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
)

// fakeKeys keeps keys in memory; err, when set, is what every call returns.
type fakeKeys struct {
	mu      sync.Mutex
	known   map[string]job.KnownKey
	err     error
	asked   int
	touched []string
	gate    chan struct{} // when set, a look-up waits for it
}

func (f *fakeKeys) APIKey(ctx context.Context, id string) (job.KnownKey, error) {
	if f.gate != nil {
		select {
		case <-f.gate:
		case <-ctx.Done():
			return job.KnownKey{}, ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	k, ok := f.known[id]
	if f.err == nil && !ok {
		return k, job.ErrNotFound
	}
	return k, f.err
}

func (f *fakeKeys) TouchAPIKeys(_ context.Context, ids []string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.touched = append(f.touched, ids...)
	}
	return f.err
}

// set changes what the next call finds.
func (f *fakeKeys) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// give makes a key with scopes for queues, and returns what a client sends.
func (f *fakeKeys) give(scopes []job.Scope, queues ...string) (text, id string) {
	text, id, hash := job.NewKey()
	if f.known == nil {
		f.known = map[string]job.KnownKey{}
	}
	f.known[id] = job.KnownKey{ID: id, Hash: hash, Scopes: scopes, Queues: queues, Left: -1}
	return text, id
}

func TestKeyCache_Ages(t *testing.T) {
	t.Parallel()
	f := &fakeKeys{}
	_, id := f.give(nil)
	c := newKeyCache(f, slog.New(slog.DiscardHandler))
	now := time.Unix(1000, 0)
	step := func(what string, after time.Duration, asked int, want error) {
		t.Helper()
		now = now.Add(after)
		if _, err := c.find(t.Context(), id, now); !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("%s: find() = %v, want %v", what, err, want)
		}
		if f.asked != asked {
			t.Errorf("%s: Postgres was asked %d times, want %d", what, f.asked, asked)
		}
	}
	away := fmt.Errorf("dial: %w", job.ErrUnavailable)
	step("first", 0, 1, nil)
	step("fresh", keyFresh-1, 1, nil)
	step("old", 1, 2, nil)
	f.set(func() { f.err = away })
	step("away", keyFresh, 3, nil)
	step("away, asked just now", keyPause-1, 3, nil)
	step("away, asked again", 1, 4, nil)
	step("the last of the grace", keyGrace-keyFresh-keyPause-1, 5, nil)
	step("no grace", 1, 5, job.ErrUnavailable)
	f.set(func() { f.err = nil })
	step("back", keyPause, 6, nil)
	revoked := f.known[id]
	f.set(func() { delete(f.known, id) })
	step("revoked, not known yet", keyFresh-1, 6, nil)
	step("revoked", 1, 7, job.ErrNotFound)
	if len(c.entries) != 0 {
		t.Errorf("%d keys are remembered, want none that is not good", len(c.entries))
	}
	revoked.Left = 7 * time.Second
	f.set(func() { f.known[id] = revoked })
	step("one that ends", 0, 8, nil)
	f.set(func() { f.err = away })
	step("before its end", keyFresh+2*time.Second-1, 9, nil)
	step("at its end, while Postgres is away", 1, 9, job.ErrNotFound)
}

// An unknown id while Postgres is away is not called false: nobody knows.
func TestKeyCache_UnknownWhileAway(t *testing.T) {
	t.Parallel()
	f := &fakeKeys{err: job.ErrUnavailable}
	c := newKeyCache(f, slog.New(slog.DiscardHandler))
	if _, err := c.find(t.Context(), "a", time.Now()); !errors.Is(err, job.ErrUnavailable) {
		t.Errorf("find() = %v, want ErrUnavailable", err)
	}
	f.set(func() { f.err = nil })
	if _, err := c.find(t.Context(), "a", time.Now()); !errors.Is(err, job.ErrNotFound) {
		t.Errorf("find() when it is back = %v, want ErrNotFound", err)
	}
}

// A flood of invented ids neither fills the memory nor keeps known keys waiting.
func TestKeyCache_Flood(t *testing.T) {
	t.Parallel()
	f := &fakeKeys{}
	_, id := f.give(nil)
	c := newKeyCache(f, slog.New(slog.DiscardHandler))
	now := time.Now()
	if _, err := c.find(t.Context(), id, now); err != nil {
		t.Fatal(err)
	}
	open := make(chan struct{})
	f.gate = open
	var flood sync.WaitGroup
	for i := range 50 {
		flood.Go(func() {
			if _, err := c.find(t.Context(), fmt.Sprint("invented", i), now); err == nil {
				t.Error("an invented id was found")
			}
		})
	}
	devtest.Until(t, patience, "two to be asked about", func() (bool, error) { return len(c.slots) == strangers, nil })
	if _, err := c.find(t.Context(), id, now.Add(time.Second)); err != nil {
		t.Errorf("a known key during the flood = %v, want nil", err)
	}
	close(open)
	flood.Wait()
	if len(c.entries) != 1 {
		t.Errorf("%d keys are remembered, want the good one", len(c.entries))
	}
}

// Of many requests with one key one asks, and its use is noted once.
func TestKeyCache_AsksAndNotesOnce(t *testing.T) {
	t.Parallel()
	f := &fakeKeys{}
	_, id := f.give(nil)
	c := newKeyCache(f, slog.New(slog.DiscardHandler))
	now := time.Now()
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if _, err := c.find(t.Context(), id, now); err != nil {
				t.Errorf("find() = %v", err)
			}
			c.note(id)
		})
	}
	all.Wait()
	if f.asked != 1 {
		t.Errorf("Postgres was asked %d times, want 1", f.asked)
	}
	f.set(func() { f.err = job.ErrUnavailable })
	if err := c.touch(t.Context()); err == nil {
		t.Error("touch() without Postgres = nil")
	}
	f.set(func() { f.err = nil })
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	c.run(ended) // notes what is left
	if len(f.touched) != 1 || f.touched[0] != id {
		t.Errorf("noted %q, want %s once", f.touched, id)
	}
}
