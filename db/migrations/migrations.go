// Package migrations carries the goose migrations of schema outbox, in the order
// of their numbers. The same files serve the goose command line, with
// -table rookery_migrations.
package migrations

import "embed"

// FS holds the .sql files of this folder.
//
//go:embed *.sql
var FS embed.FS
