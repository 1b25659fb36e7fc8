package db_test

import (
	"errors"
	"log/slog"
	"net/url"
	"testing"
	"time"

	"github.com/penguinmails/rookery/db"
	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
)

// A Postgres that is gone without a word answers no packet, not even with a refusal.
func TestStore_GivesUpOnAPostgresThatIsSilent(t *testing.T) {
	t.Parallel()
	u, err := url.Parse(devtest.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	c := newCord(t, u.Host)
	u.Host = c.addr()
	s, err := db.Open(t.Context(), u.String(), db.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if err := s.Ping(t.Context()); err != nil {
		t.Fatalf("Ping: %v", err)
	}
	s.LimitCalls(time.Second) // of calls that nobody answers
	c.freeze()
	for name, call := range map[string]func() error{
		"a row":              func() error { return s.Ping(t.Context()) },
		"rows":               func() error { _, err := s.Verify(t.Context(), []job.Ref{{ID: 1, DispatchID: 1}}); return err },
		"no rows":            func() error { return s.Record(t.Context(), nil) },
		"on one connection":  func() error { _, _, _, err := s.Queues(t.Context()); return err },
		"on the other pool":  func() error { _, err := s.Job(t.Context(), 1); return err },
		"a new connection":   func() error { return s.Ping(t.Context()) },
		"more than the pool": func() error { return s.Ping(t.Context()) },
	} {
		done := make(chan error, 1)
		go func() { done <- call() }()
		select {
		case err := <-done:
			if !errors.Is(err, job.ErrUnavailable) {
				t.Errorf("%s: %v, want job.ErrUnavailable", name, err)
			}
		case <-time.After(patience):
			t.Errorf("%s: no answer after %s", name, patience)
		}
	}
	c.thaw()
	s.LimitCalls(patience)
	devtest.Until(t, patience, "Postgres to be used again", func() (bool, error) { return s.Ping(t.Context()) == nil, nil })
}
