package job

import "time"

// How long finished jobs are kept unless somebody says otherwise: completed and
// cancelled ones, and dead ones, for which a person may come back.
const (
	Retention     = 7 * 24 * time.Hour
	RetentionDead = 30 * 24 * time.Hour
)

// MaxPrune is how many jobs one slice of pruning reads at most.
const MaxPrune = 1000

// Prune asks to delete, of the next [MaxPrune] jobs with ids above AfterID and up to
// UpToID, those that have been finished for as long as they are kept. Durations are
// exact to a millisecond; a negative one means for ever.
type Prune struct {
	AfterID, UpToID int64
	Keep, KeepDead  time.Duration
	Young           time.Duration // stop before jobs that were inserted within it; 0: do not
}

// Pruned is what one slice did.
type Pruned struct {
	Got           bool // false: somebody else is pruning, and nothing was done
	Seen, Deleted int64
	NextID        int64 // read on from here
	Ended         bool  // behind NextID there are only young jobs, or none
}
