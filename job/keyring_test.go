package job_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penguinmails/rookery/job"
)

var errAway = errors.New("away")

// keyStore counts who reads.
type keyStore struct {
	reads, at, most atomic.Int32
	away            atomic.Bool
	ended           error // of the last reader's context
}

func (s *keyStore) read(ctx context.Context) ([]job.SealKey, error) {
	s.reads.Add(1)
	if now := s.at.Add(1); now > s.most.Load() {
		s.most.Store(now)
	}
	defer s.at.Add(-1)
	<-time.After(100 * time.Millisecond) // in a bubble: while everybody else has their say
	if s.ended = ctx.Err(); s.ended != nil {
		return nil, s.ended
	}
	if s.away.Load() {
		return nil, errAway
	}
	return []job.SealKey{{ID: 1, Signs: true}}, nil
}

// crowd asks from many goroutines, and returns how many had keys.
func crowd(ctx context.Context, t *testing.T, k *job.Keyring, s *keyStore) (had int32) {
	t.Helper()
	var all sync.WaitGroup
	var n atomic.Int32
	for range 100 {
		all.Go(func() {
			switch keys, err := k.Get(ctx, s.read); {
			case err == nil && len(keys) == 1:
				n.Add(1)
			case !errors.Is(err, errAway) || keys != nil:
				t.Errorf("Get = %v, %v, want a key or %v", keys, err, errAway)
			}
		})
	}
	all.Wait()
	return n.Load()
}

func TestKeyring_AsksSeldom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k, s := &job.Keyring{}, &keyStore{}
		step := func(what string, wait time.Duration, away bool, had, reads int32) {
			t.Helper()
			<-time.After(wait)
			s.away.Store(away)
			if got := crowd(t.Context(), t, k, s); got != had || s.reads.Load() != reads {
				t.Errorf("%s: %d had keys after %d readings, want %d and %d", what, got, s.reads.Load(), had, reads)
			}
		}
		step("away", 0, true, 0, 1)
		step("away, within the pause", 900*time.Millisecond, true, 0, 1)
		step("away, after the pause", 200*time.Millisecond, true, 0, 2)
		step("there again", time.Second, false, 100, 3)
		step("fresh", 19*time.Second, true, 100, 3)
		step("old, and away", 2*time.Second, true, 100, 4)
		step("old, within the pause", 800*time.Millisecond, true, 100, 4)
		step("old, after the pause", time.Second, true, 100, 5)
		step("old, and there", time.Second, false, 100, 6)
		if s.most.Load() != 1 {
			t.Errorf("%d read at once, want 1", s.most.Load())
		}
	})
}

// Who hangs up neither ends the reading for others nor waits for it.
func TestKeyring_OutlivesWhoAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k, s := &job.Keyring{}, &keyStore{}
		gone, hangUp := context.WithCancel(t.Context())
		var all sync.WaitGroup
		defer all.Wait()
		all.Go(func() { _, _ = k.Get(gone, s.read) })
		synctest.Wait()
		all.Go(func() {
			if _, err := k.Get(gone, s.read); !errors.Is(err, context.Canceled) {
				t.Errorf("Get of one who hung up while another reads = %v, want %v", err, context.Canceled)
			}
		})
		synctest.Wait()
		hangUp()
		if got := crowd(t.Context(), t, k, s); got != 100 || s.ended != nil || s.reads.Load() != 1 {
			t.Errorf("%d of 100 had keys after %d readings, the last with %v", got, s.reads.Load(), s.ended)
		}
	})
}
