package rookery

import (
	"context"
	"fmt"
	"time"

	"github.com/penguinmails/rookery/db"
)

// CheckSchema refuses a database whose schema is older than this build, which would
// fail at its first statement, and says what to type. One that is newer is fine: the
// release before works on the schema of the one after (docs/upgrade.md). A Postgres
// that does not answer within two seconds, or does not tell this user, is let through:
// processes start while it is away.
func (s *Service) CheckSchema(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	has, err := s.store.SchemaVersion(ctx)
	if needs := db.NewestMigration(); err == nil && has < needs {
		return fmt.Errorf("the schema is at migration %d, and this build needs %d: run `rookery migrate up` as the schema's owner, before the new processes (docs/upgrade.md)", has, needs)
	}
	return nil
}
