package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/stdlib" // goose speaks database/sql
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
	"github.com/pressly/goose/v3/lock"

	"github.com/penguinmails/rookery/db/migrations"
)

// MigrationsTable is where goose keeps our versions. It lies outside schema outbox,
// because the first migration makes that schema, and its Down drops it; and it is
// not goose's default table, which belongs to the application.
const MigrationsTable = "rookery_migrations"

// migrationLock is the advisory lock of our migrations: goose's default would make
// us wait for every other user of goose in the database.
const migrationLock int64 = 0x526f6f6b657279 // "Rookery"

// Migrator brings schema outbox up and down. Several may run at once: a lock of the
// session lets one work, and the others find nothing left to do. It needs a direct
// connection, not a pooler in transaction mode.
type Migrator struct {
	pool     *sql.DB
	provider *goose.Provider
	patience patience
	moving   atomic.Bool // Up or Down works: its connections wait for locks with patience
}

// Migration is one step of the schema.
type Migration struct {
	Version   int64     `json:"version"`
	Name      string    `json:"name"`
	Applied   bool      `json:"applied"`
	AppliedAt time.Time `json:"applied_at,omitzero"` // zero when it is not applied
}

// NewMigrator connects to nothing yet.
func NewMigrator(url string) (*Migrator, error) {
	config, err := parse(url)
	if err != nil {
		return nil, err
	}
	m := &Migrator{patience: usualPatience}
	m.pool = stdlib.OpenDB(*config.ConnConfig, stdlib.OptionBeforeConnect(m.beforeConnect))
	m.pool.SetMaxIdleConns(0) // none of before Up is used in it
	store, err := database.NewStore(database.DialectPostgres, MigrationsTable)
	if err != nil {
		return nil, errors.Join(err, m.pool.Close())
	}
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockID(migrationLock), lock.WithLockTimeout(1, 300))
	if err != nil {
		return nil, errors.Join(err, m.pool.Close())
	}
	provider, err := goose.NewProvider("", m.pool, migrations.FS,
		goose.WithStore(store), goose.WithSessionLocker(locker), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return nil, errors.Join(err, m.pool.Close())
	}
	m.provider = provider
	return m, nil
}

// Up applies what is missing and returns it. For a lock it waits 3 s, several times,
// and then the error says who has it; the migration that wanted it was not begun, and the
// ones before it are applied.
func (m *Migrator) Up(ctx context.Context) ([]Migration, error) {
	results, err := m.patiently(ctx, m.provider.Up)
	return applied(results), wrap("migrate up", err)
}

// Down takes back the newest applied migration, or all of them. In production
// migrations go forward; Down is for tests.
func (m *Migrator) Down(ctx context.Context, all bool) ([]Migration, error) {
	results, err := m.patiently(ctx, func(ctx context.Context) ([]*goose.MigrationResult, error) {
		if all {
			return m.provider.DownTo(ctx, 0)
		}
		result, err := m.provider.Down(ctx)
		return []*goose.MigrationResult{result}, err
	})
	return applied(results), wrap("migrate down", err)
}

// Status lists all migrations in their order. It changes nothing: goose would make
// its table, and it would belong to whoever asked first.
func (m *Migrator) Status(ctx context.Context) ([]Migration, error) {
	var out []Migration
	var table *string
	if err := m.pool.QueryRowContext(ctx, "SELECT to_regclass($1)::text", MigrationsTable).Scan(&table); err != nil {
		return nil, translate("migration status", err)
	}
	if table == nil {
		for _, s := range m.provider.ListSources() {
			out = append(out, Migration{Version: s.Version, Name: s.Path})
		}
		return out, nil
	}
	states, err := m.provider.Status(ctx)
	for _, s := range states {
		out = append(out, Migration{Version: s.Source.Version, Name: s.Source.Path, Applied: s.State == goose.StateApplied, AppliedAt: s.AppliedAt})
	}
	return out, wrap("migration status", err)
}

// Close ends the connections.
func (m *Migrator) Close() error { return m.provider.Close() }

func applied(results []*goose.MigrationResult) []Migration {
	var out []Migration
	for _, r := range results {
		if r != nil && r.Source != nil {
			out = append(out, Migration{Version: r.Source.Version, Name: r.Source.Path, Applied: r.Direction == "up"})
		}
	}
	return out
}

func wrap(verb string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", verb, err)
}
