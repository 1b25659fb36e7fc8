package db_test

import (
	"errors"
	"log/slog"
	"testing"

	"github.com/penguinmails/rookery/db"
	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
)

// Each part can see how far the schema is, which decides whether it may start.
func TestSchemaVersion(t *testing.T) {
	t.Parallel()
	migrated := devtest.Postgres(t)
	for _, role := range []string{db.RelayRole, db.WorkerRole, db.APIRole, "rookery_server", "rookery_readonly"} {
		if got, err := schemaVersion(t, devtest.Login(t, migrated, role)); err != nil || got != db.NewestMigration() {
			t.Errorf("SchemaVersion as %s = %d, %v, want %d", role, got, err, db.NewestMigration())
		}
	}
	if _, err := schemaVersion(t, devtest.Login(t, migrated, "rookery_producer")); err == nil {
		t.Error("SchemaVersion as rookery_producer = nil, want a refusal")
	}

	empty := devtest.EmptyPostgres(t)
	if _, err := schemaVersion(t, empty); !errors.Is(err, job.ErrNoSchema) {
		t.Errorf("SchemaVersion of an empty database = %v, want %v", err, job.ErrNoSchema)
	}
	m := migrator(t, empty)
	if _, err := m.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Down(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if got, err := schemaVersion(t, empty); err != nil || got >= db.NewestMigration() || got == 0 {
		t.Errorf("SchemaVersion after one step down = %d, %v, want less than %d", got, err, db.NewestMigration())
	}
}

func schemaVersion(t *testing.T, url string) (int64, error) {
	t.Helper()
	s, err := db.Open(t.Context(), url, db.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	return s.SchemaVersion(t.Context())
}
