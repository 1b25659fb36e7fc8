package rookery

import (
	"context"
	"errors"

	"github.com/penguinmails/rookery/db"
)

// Migrate brings the schema of the database at url up, and returns what it applied.
// Several may migrate at once: one works, the others wait.
func Migrate(ctx context.Context, url string) ([]db.Migration, error) {
	return migrator(url, func(m *db.Migrator) ([]db.Migration, error) { return m.Up(ctx) })
}

// MigrateDown takes back the newest migration, or all of them. With it goes what
// the tables hold.
func MigrateDown(ctx context.Context, url string, all bool) ([]db.Migration, error) {
	return migrator(url, func(m *db.Migrator) ([]db.Migration, error) { return m.Down(ctx, all) })
}

// MigrationStatus lists all migrations, applied or not.
func MigrationStatus(ctx context.Context, url string) ([]db.Migration, error) {
	return migrator(url, func(m *db.Migrator) ([]db.Migration, error) { return m.Status(ctx) })
}

func migrator(url string, do func(*db.Migrator) ([]db.Migration, error)) ([]db.Migration, error) {
	if url == "" {
		return nil, errors.New("DATABASE_URL is not set, e.g. postgres://user:password@host:5432/database")
	}
	m, err := db.NewMigrator(url)
	if err != nil {
		return nil, err
	}
	done, err := do(m)
	return done, errors.Join(err, m.Close())
}
