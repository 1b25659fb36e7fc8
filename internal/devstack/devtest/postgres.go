package devtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver that goose uses
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"

	"github.com/penguinmails/rookery/db/migrations"
	"github.com/penguinmails/rookery/internal/devstack"
)

// limit bounds everything devtest does with Postgres, an installation excepted.
const limit = 5 * time.Minute

// template is the migrated database that others are copies of.
const template = "rookery_template"

// databases counts the databases made, to name them.
var databases atomic.Int64

// Postgres returns the URL of a database of the test's own that has Rookery's
// migrations, on a server that all tests of the process share. The database goes,
// with every connection to it, when the test ends. The user is a superuser.
func Postgres(t testing.TB) string {
	t.Helper()
	server := sharedPostgres(t)
	makeTemplate(t, server)
	return createDatabase(t, server, template)
}

// EmptyPostgres is [Postgres] without the migrations.
func EmptyPostgres(t testing.TB) string {
	t.Helper()
	return createDatabase(t, sharedPostgres(t), "template0")
}

// PostgresServer starts a server of the test's own, to kill and to restart, with
// the given settings (which may be nil) and no migrations. Its database is called
// postgres. It stops when the test ends.
func PostgresServer(t testing.TB, settings map[string]string) *devstack.Postgres {
	t.Helper()
	install(t, context.Background())
	server, err := devstack.StartPostgres(context.Background(), devstack.PostgresOptions{Settings: settings})
	if err != nil {
		t.Fatalf("devtest: %v", err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Errorf("devtest: %v", err)
		}
	})
	return server
}

// Migrate brings the database at url to the newest migration, for tests with a
// [PostgresServer].
func Migrate(t testing.TB, url string) {
	t.Helper()
	if err := migrate(url); err != nil {
		t.Fatalf("devtest: %v", err)
	}
}

func sharedPostgres(t testing.TB) *devstack.Postgres {
	t.Helper()
	servers.mu.Lock()
	defer servers.mu.Unlock()
	if servers.postgres != nil {
		return servers.postgres
	}
	install(t, context.Background())
	server, err := devstack.StartPostgres(context.Background(), devstack.PostgresOptions{})
	if err != nil {
		t.Fatalf("devtest: %v", err)
	}
	servers.postgres = server
	return server
}

// makeTemplate makes the template database, once per process, and closes it: a
// database that somebody is connected to cannot be copied.
func makeTemplate(t testing.TB, server *devstack.Postgres) {
	t.Helper()
	servers.mu.Lock()
	defer servers.mu.Unlock()
	if servers.template {
		return
	}
	// A test that failed half-way through this must not be in the next one's way.
	must(t, execute(server, "DROP DATABASE IF EXISTS "+template+" WITH (FORCE)"))
	must(t, execute(server, "CREATE DATABASE "+template+" TEMPLATE template0"))
	must(t, migrate(server.URL(template)))
	must(t, execute(server, "ALTER DATABASE "+template+" WITH ALLOW_CONNECTIONS false"))
	servers.template = true
}

func createDatabase(t testing.TB, server *devstack.Postgres, from string) string {
	t.Helper()
	name := fmt.Sprintf("test_%d", databases.Add(1))
	must(t, execute(server, "CREATE DATABASE "+name+" TEMPLATE "+from))
	t.Cleanup(func() {
		if err := execute(server, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Errorf("devtest: %v", err)
		}
	})
	return server.URL(name)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("devtest: %v", err)
	}
}

// execute runs one statement in the server's database postgres.
func execute(server *devstack.Postgres, statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	conn, err := pgx.Connect(ctx, server.URL("postgres"))
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, statement)
	if err := errors.Join(err, conn.Close(ctx)); err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return nil
}

// migrate runs goose. Its version table is Rookery's own, in schema public: a Down
// that drops schema outbox would take it along.
func migrate(url string) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	sqlDB, err := sql.Open("pgx", url)
	if err != nil {
		return err
	}
	store, err := database.NewStore(database.DialectPostgres, "public.rookery_migrations")
	if err != nil {
		return errors.Join(err, sqlDB.Close())
	}
	provider, err := goose.NewProvider("", sqlDB, migrations.FS, goose.WithStore(store), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return errors.Join(err, sqlDB.Close())
	}
	_, err = provider.Up(ctx)
	if err := errors.Join(err, provider.Close()); err != nil { // closes sqlDB too
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}
