package job

import "time"

// Storage is what jobs take in Postgres and in Redis, for people.
type Storage struct {
	Tables []TableSize // the largest first
	Ledger int64       // batches entrusted to Redis or held by workers
	Oldest time.Duration
	Redis  *RedisFacts // nil: it does not answer
}

// TableSize is one table with its indexes.
type TableSize struct {
	Name     string
	Bytes    int64
	Rows     int64      // about
	Dead     int64      // row versions that wait for a vacuum, about
	VacuumAt *time.Time // when one was last finished; nil: never
}

// RedisFacts is what a Redis says of itself.
type RedisFacts struct {
	Version        string
	EvictionPolicy string
	AppendOnly     bool
	Used, Max      int64 // bytes; Max 0: no limit
}
