package db

import (
	"context"

	"github.com/pressly/goose/v3"

	"github.com/penguinmails/rookery/db/migrations"
)

// NewestMigration is the number of the newest migration that this build knows, and
// therefore needs.
func NewestMigration() int64 {
	files, err := migrations.FS.ReadDir(".")
	if err != nil {
		return 0 // never: the folder is part of the binary
	}
	var newest int64
	for _, f := range files {
		if n, err := goose.NumericComponent(f.Name()); err == nil {
			newest = max(newest, n)
		}
	}
	return newest
}

// SchemaVersion returns the number of the newest migration that is applied. The error
// wraps [job.ErrNoSchema] when none has ever been, or when the table of migrations is
// not on the user's search_path.
func (s *Store) SchemaVersion(ctx context.Context) (version int64, err error) {
	const sql = "SELECT coalesce(max(version_id), 0) FROM " + MigrationsTable + " WHERE is_applied"
	pool := limited{s.look, s.limit}
	err = pool.QueryRow(ctx, sql).Scan(&version)
	if err != nil && s.refusedPins(ctx, err) {
		err = pool.QueryRow(ctx, sql).Scan(&version)
	}
	return version, translate("schema version", err)
}
