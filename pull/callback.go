package pull

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/penguinmails/rookery/job"
)

// CallbackStore is Postgres, for what receivers of push workers say later.
type CallbackStore interface {
	// ExtendCallback keeps an attempt open for d from now, or returns [job.ErrLeaseLost].
	ExtendCallback(ctx context.Context, issued job.Ref, d time.Duration) (time.Time, error)
}

// Callbacks settles attempts that a push worker holds, wherever that runs, as
// [Hub.Settle] does those of leases that another server gave: the token proves that a
// push worker asked, and the fence decides. Its methods may be called at once from many
// goroutines.
type Callbacks struct {
	hub    *Hub
	store  CallbackStore
	places chan struct{} // holds one for each that is settled now
}

// callbacksAtOnce is fewer than Postgres has connections for the API: whoever has many
// tokens may keep other receivers waiting, and nobody else.
const callbacksAtOnce = 2

// NewCallbacks returns what takes callbacks; hub need not run.
func NewCallbacks(hub *Hub, store CallbackStore) *Callbacks {
	return &Callbacks{hub, store, make(chan struct{}, callbacksAtOnce)}
}

// Open reads a token. Errors: [job.ErrCallbackToken], and that of Postgres, when tokens
// cannot be read without it.
func (c *Callbacks) Open(ctx context.Context, token string) (job.Callback, error) {
	if !job.IsCallbackToken(token) {
		return job.Callback{}, job.ErrCallbackToken // a stranger's: no question of Postgres'
	}
	keys, err := c.hub.keys.get(ctx)
	if err != nil {
		return job.Callback{}, fmt.Errorf("open callback: %w", err)
	}
	return job.OpenCallback(keys, token, time.Now())
}

// Settle does what a receiver wants with its attempt, and returns when Postgres has it.
// [job.ErrLeaseLost]: the attempt is over, and not by the same being said before.
// [job.ErrUnavailable]: the same may be asked again.
func (c *Callbacks) Settle(ctx context.Context, back job.Callback, op job.LeaseOp) (job.LeaseResult, error) {
	select {
	case c.places <- struct{}{}:
		defer func() { <-c.places }()
	case <-ctx.Done():
		return job.LeaseResult{}, fmt.Errorf("settle callback: %w: so many are settled already", job.ErrUnavailable)
	}
	r, err := c.settle(ctx, back, op)
	switch {
	case err == nil:
		c.hub.m.callbacks.WithLabelValues(string(op.Verb), "accepted").Inc()
	case errors.Is(err, job.ErrLeaseLost):
		c.hub.m.callbacks.WithLabelValues(string(op.Verb), "refused").Inc()
	}
	return r, err
}

func (c *Callbacks) settle(ctx context.Context, back job.Callback, op job.LeaseOp) (job.LeaseResult, error) {
	if op.Verb != job.LeaseExtend {
		return c.hub.tell(ctx, back.Ref, op)
	}
	// No longer than the token is good for: later nobody could say what became of it.
	d := min(op.Lease, time.Until(back.ExpiresAt))
	until, err := c.store.ExtendCallback(ctx, back.Ref, d)
	if err != nil {
		return job.LeaseResult{}, fmt.Errorf("extend callback: %w", err)
	}
	return job.LeaseResult{ExpiresAt: until.UTC()}, nil
}
