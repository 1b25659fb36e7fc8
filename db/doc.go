// Package db is the truth: everything Rookery reads from and writes to Postgres
// goes through its [Store], its [Listener] and its [Migrator].
//
// It keeps two promises for the rest of the house. Every change of a job is one
// guarded statement of queries/*.sql, and what that statement returns is the
// verdict; and no other package sees a SQLSTATE: errors come out as the sentinels
// of package job.
//
// The statements of relays and workers run on pools whose plans are pinned by
// startup parameters. Prepared on empty tables, as at every first start, they
// would otherwise flip to plans that take 15 s a claim at 200,000 rows.
//
// sqlc's output stays inside, in internal/query.
package db
