package job

import (
	"context"
	"sync"
	"time"
)

// How long a [Keyring] uses keys before it reads them again: shorter than the minute in
// which a new one does not sign yet.
const keysFor = 20 * time.Second

const (
	keyringPause = time.Second     // after an error, in which it has the same answer for all
	keyringLimit = 5 * time.Second // of one reading
)

// Keyring keeps seal keys, and asks for them seldom, whoever asks it: strangers can, with
// tokens that have yet to be looked at. One reads at a time, and nobody within a second of
// an error. The zero value has none yet. Its methods may be called at once from many
// goroutines.
type Keyring struct {
	mu      sync.Mutex
	keys    []SealKey
	readAt  time.Time     // when keys were; zero: never
	err     error         // of the last reading
	endedAt time.Time     // of that
	reading chan struct{} // closed when who reads has ended; nil: nobody does
}

// Get returns the keys, which read reads. While it fails the ones from before go on; the
// error is that of read when there are none, or that of ctx.
func (k *Keyring) Get(ctx context.Context, read func(context.Context) ([]SealKey, error)) ([]SealKey, error) {
	for {
		k.mu.Lock()
		keys, known, reading := k.keys, !k.readAt.IsZero(), k.reading
		fresh := known && time.Since(k.readAt) < keysFor
		paused := k.err != nil && time.Since(k.endedAt) < keyringPause
		err := k.err
		if reading == nil && !fresh && !paused {
			k.reading = make(chan struct{})
			k.mu.Unlock()
			k.read(ctx, read)
			continue
		}
		k.mu.Unlock()
		switch {
		case known:
			return keys, nil
		case reading == nil:
			return nil, err
		}
		select {
		case <-reading:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// read reads for all. Who asked may hang up; others wait for the answer too.
func (k *Keyring) read(ctx context.Context, read func(context.Context) ([]SealKey, error)) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keyringLimit)
	defer cancel()
	keys, err := []SealKey(nil), ErrUnavailable // if it panics
	defer func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.err, k.endedAt = err, time.Now()
		if err == nil {
			k.keys, k.readAt = keys, k.endedAt
		}
		close(k.reading)
		k.reading = nil
	}()
	keys, err = read(ctx)
}
