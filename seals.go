package rookery

import (
	"context"
	"errors"
	"fmt"

	"github.com/penguinmails/rookery/db"
	"github.com/penguinmails/rookery/job"
)

// Seals lists the keys that envelopes are sealed with, without their secrets, the
// oldest first.
func Seals(ctx context.Context, url string) (seals []db.Seal, err error) {
	err = withStore(ctx, url, func(s *db.Store) error { seals, err = s.Seals(ctx); return err })
	return seals, err
}

// RotateSeals makes a new seal key, as the schema's owner, and returns its id.
// Relays sign with it a minute later, and workers go on opening what older keys have
// sealed.
func RotateSeals(ctx context.Context, url string) (id int32, err error) {
	err = withStore(ctx, url, func(s *db.Store) error {
		id, err = s.RotateSeals(ctx, AtTheCommandLine())
		return err
	})
	return id, err
}

// RetireSeal forgets a seal key, as the schema's owner. It refuses while Redis may
// hold what the key has sealed. force is for a key that has leaked: what it sealed is
// refused like any forged entry, and the audit brings those jobs back.
func RetireSeal(ctx context.Context, url string, id int32, force bool) error {
	err := withStore(ctx, url, func(s *db.Store) error {
		return s.RetireSeal(ctx, AtTheCommandLine(), id, force)
	})
	if errors.Is(err, job.ErrState) {
		return fmt.Errorf("seal key %d is retired, the only one, or not three minutes behind its successor, or jobs that it has sealed are not finished", id)
	}
	return err
}

func withStore(ctx context.Context, url string, do func(*db.Store) error) error {
	if url == "" {
		return errors.New("DATABASE_URL is not set, e.g. postgres://user:password@host:5432/database")
	}
	s, err := db.Open(ctx, url, db.Options{MaxConns: 1})
	if err != nil {
		return err
	}
	defer s.Close()
	return do(s)
}
