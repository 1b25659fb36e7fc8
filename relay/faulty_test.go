package relay_test

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/penguinmails/rookery/db"
	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/relay"
)

// faultyStore is the real store with something between it and the relay.
type faultyStore struct {
	*db.Store
	claim  func(job.Claim) error  // before each claim; an error is its answer
	survey func()                 // before each survey
	skips  func(skipped []string) // before each survey

	promotedBeforeClaim atomic.Int64
	claimed             atomic.Bool
}

func (f *faultyStore) Claim(ctx context.Context, c job.Claim) (job.Batch, error) {
	f.claimed.Store(true)
	if f.claim != nil {
		if err := f.claim(c); err != nil {
			return job.Batch{}, err
		}
	}
	return f.Store.Claim(ctx, c)
}

func (f *faultyStore) Survey(ctx context.Context, from time.Time, skipped []string) (job.Survey, error) {
	if f.survey != nil {
		f.survey()
	}
	if f.skips != nil {
		f.skips(skipped)
	}
	return f.Store.Survey(ctx, from, skipped)
}

func (f *faultyStore) Promote(ctx context.Context, from time.Time) (int64, time.Time, error) {
	if !f.claimed.Load() {
		f.promotedBeforeClaim.Add(1)
	}
	return f.Store.Promote(ctx, from)
}

// faultyRedis is a Redis with something between it and the relay.
type faultyRedis struct {
	relay.Redis
	push   func(p job.Push, next func() (job.Pushed, error)) (job.Pushed, error)
	census func(c job.Census) error
	pushes atomic.Int64
}

func (f *faultyRedis) Push(ctx context.Context, p job.Push) (job.Pushed, error) {
	f.pushes.Add(1)
	next := func() (job.Pushed, error) { return f.Redis.Push(ctx, p) }
	if f.push == nil {
		return next()
	}
	return f.push(p, next)
}

func (f *faultyRedis) Census(ctx context.Context, c job.Census) (job.Window, error) {
	if f.census != nil {
		if err := f.census(c); err != nil {
			return job.Window{}, err
		}
	}
	return f.Redis.Census(ctx, c)
}

// noRecovery is a store whose relay recovers nothing: another one is always faster.
type noRecovery struct{ *db.Store }

func (*noRecovery) TakeOver(context.Context, string, []string) ([]job.Batch, error) { return nil, nil }
