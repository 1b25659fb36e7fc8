package redisq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/penguinmails/rookery/job"
)

const (
	// sealsFresh is how old the keys grow before they are read again: half of the
	// minute for which a new key waits before it signs, so that whoever opens knows
	// it first.
	sealsFresh = 30 * time.Second
	// sealsPause is the least time between two readings: a thousand envelopes that
	// name keys nobody has, put into a window by hand, cost one a second.
	sealsPause = time.Second
	// sealsLimit bounds a reading that nobody waits for.
	sealsLimit = 15 * time.Second
)

// errNoKeys: this client was opened to look, not to push or take.
var errNoKeys = errors.New("the client was opened without seal keys")

// seals keeps the keys that envelopes are sealed with. Until they were read once,
// nothing is pushed or taken; from then on those that were read last serve until
// others can be.
type seals struct {
	read func(context.Context) ([]job.SealKey, error)
	log  *slog.Logger

	reading chan struct{} // holds a token while somebody reads
	running sync.WaitGroup

	mu     sync.Mutex
	known  *job.Seals
	since  time.Time          // when the reading began that brought known
	tried  time.Time          // when the last reading began
	err    error              // why the last reading failed
	cancel context.CancelFunc // of the reading nobody waits for
	closed bool
}

func newSeals(read func(context.Context) ([]job.SealKey, error), log *slog.Logger) *seals {
	return &seals{read: read, log: log, reading: make(chan struct{}, 1)}
}

// keys returns what to seal and to open with. Only the first reading is waited for.
// The error wraps [job.ErrUnavailable]: nothing is wrong with any job.
func (s *seals) keys(ctx context.Context) (*job.Seals, error) {
	if s.read == nil {
		return nil, errNoKeys
	}
	now := time.Now()
	s.mu.Lock()
	known, old := s.known, now.Sub(s.since) > sealsFresh && now.Sub(s.tried) > sealsPause
	s.mu.Unlock()
	if known == nil {
		return s.newer(ctx, nil)
	}
	if old {
		s.refresh(ctx)
	}
	return known, nil
}

// newer reads the keys and returns them, unless others than known have been read
// meanwhile, or known itself within the last second: what it does not have, nobody
// has. The error wraps [job.ErrUnavailable].
func (s *seals) newer(ctx context.Context, known *job.Seals) (*job.Seals, error) {
	select {
	case s.reading <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: read seal keys: %w", job.ErrUnavailable, ctx.Err())
	}
	defer func() { <-s.reading }()
	s.mu.Lock()
	now, err, again := s.known, s.err, time.Since(s.tried) < sealsPause
	s.mu.Unlock()
	if now != known {
		return now, nil
	}
	if again {
		return now, err
	}
	return s.ask(ctx)
}

// refresh reads the keys without keeping anybody waiting.
func (s *seals) refresh(ctx context.Context) {
	select {
	case s.reading <- struct{}{}:
	default:
		return // somebody is at it
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		<-s.reading
		return
	}
	ctx, s.cancel = context.WithTimeout(context.WithoutCancel(ctx), sealsLimit) // others need it as well
	s.running.Add(1)
	go func() {
		defer s.running.Done()
		defer func() { <-s.reading }()
		defer s.cancel()
		_, _ = s.ask(ctx) // it has logged, and the keys that are known serve on
	}()
}

// ask reads the keys; the caller holds the token.
func (s *seals) ask(ctx context.Context) (*job.Seals, error) {
	began := time.Now()
	keys, err := s.read(ctx)
	var known *job.Seals
	if err == nil {
		known, err = job.NewSeals(keys)
	}
	if err != nil && !errors.Is(err, job.ErrUnavailable) {
		// A missing right, or a table that somebody has emptied. No job is to blame,
		// and whoever mends it should not have to start anything again.
		err = fmt.Errorf("%w: seal keys: %w", job.ErrUnavailable, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	failed := s.err != nil
	s.tried, s.err = began, err
	switch {
	case err != nil && !failed && s.known != nil && !s.closed:
		s.log.WarnContext(ctx, "seal keys cannot be read, those that are known serve on", "error", err)
	case err == nil && failed && s.known != nil:
		s.log.InfoContext(ctx, "seal keys can be read again")
	}
	if err != nil {
		return nil, err
	}
	s.known, s.since = known, began
	return known, nil
}

// close ends a reading that nobody waits for, and waits until it has ended.
func (s *seals) close() {
	s.mu.Lock()
	s.closed = true
	if s.cancel != nil {
		s.cancel()
	}
	s.mu.Unlock()
	s.running.Wait()
}
