package dashboard

import (
	"context"
	"sync"
	"time"
)

// How long answers that cost something are good for everybody who asks.
const (
	groupsKept = 2 * time.Second
	keptMost   = 64 // keys of one kind; then all make room
)

// kept is figures by key, each read at most once in a while however many people look.
// Its methods may be called concurrently.
type kept[T any] struct {
	length time.Duration
	read   func(ctx context.Context, key string) (T, error)

	mu    sync.Mutex
	known map[string]*keptOne[T]
}

type keptOne[T any] struct {
	mu    sync.Mutex // held while it is read: others wait for that answer
	value T
	err   error
	until time.Time // by the monotonic clock
}

// look returns what was read for the key not long ago, or reads it. The error of a
// reading is kept as well: Postgres is not asked again at once. Others may wait for the
// answer, so it does not end with the context of the one who asked.
func (k *kept[T]) look(ctx context.Context, key string) (T, error) {
	one := k.of(key)
	one.mu.Lock()
	defer one.mu.Unlock()
	if time.Now().Before(one.until) {
		return one.value, one.err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
	defer cancel()
	one.value, one.err = k.read(ctx, key)
	one.until = time.Now().Add(k.length)
	return one.value, one.err
}

// of returns the place of a key.
func (k *kept[T]) of(key string) *keptOne[T] {
	k.mu.Lock()
	defer k.mu.Unlock()
	if one, ok := k.known[key]; ok {
		return one
	}
	if k.known == nil || len(k.known) >= keptMost {
		k.known = map[string]*keptOne[T]{} // whoever reads an old one now keeps it to himself
	}
	one := &keptOne[T]{}
	k.known[key] = one
	return one
}

// forget has every key read anew.
func (k *kept[T]) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.known = nil
}
