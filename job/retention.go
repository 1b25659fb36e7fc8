package job

import (
	"fmt"
	"time"
)

// How long finished jobs are kept unless somebody says otherwise: completed and
// cancelled ones, and dead ones, for which a person may come back.
const (
	Retention           = 7 * 24 * time.Hour
	RetentionDead       = 30 * 24 * time.Hour
	RetentionOperations = 30 * 24 * time.Hour // of what people did to many at once, from its end
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

// KeepFor is how long a queue's finished jobs are kept, where that is not what the relays
// say: seconds, from [MinKeepFor] to [MaxKeepFor]; 0: for ever; nil: as the relays say.
type KeepFor struct {
	Retention     *int64 `json:"retention_seconds"`      // completed and cancelled ones
	RetentionDead *int64 `json:"retention_dead_seconds"` // dead ones
}

// KeepForChange is a [KeepFor] of which only what is to be set counts.
type KeepForChange struct {
	KeepFor
	SetRetention, SetRetentionDead bool
}

// QueueChange is what is to be changed of a queue, all of it or nothing. The zero value
// changes nothing.
type QueueChange struct {
	Window int // how many undelivered jobs may sit in Redis, 1 to [MaxWindow]; 0: as it is
	Keep   KeepForChange
}

// Check returns a [*FieldError] for the first field that breaks a limit.
func (c QueueChange) Check() error {
	if c.Window < 0 || c.Window > MaxWindow {
		return &FieldError{Field: "window_size", Problem: fmt.Sprintf("is %d, must be 1 to %d", c.Window, MaxWindow)}
	}
	return c.Keep.Check()
}

// The limits of [KeepFor], in seconds.
const (
	MinKeepFor = 60
	MaxKeepFor = 10 * 365 * 24 * 3600
)

// Check returns a [*FieldError] for the first field that breaks a limit.
func (k KeepFor) Check() error {
	for _, f := range []struct {
		name string
		n    *int64
	}{{"retention_seconds", k.Retention}, {"retention_dead_seconds", k.RetentionDead}} {
		if n := f.n; n != nil && *n != 0 && (*n < MinKeepFor || *n > MaxKeepFor) {
			return &FieldError{Field: f.name, Problem: fmt.Sprintf("is %d, must be 0 for ever, or %d to %d seconds", *n, MinKeepFor, MaxKeepFor)}
		}
	}
	return nil
}

// Shortest returns the shortest time that any finished job of the queue is kept by its own
// word; ok is false when it has none, or for ever.
func (k KeepFor) Shortest() (shortest time.Duration, ok bool) {
	for _, n := range []*int64{k.Retention, k.RetentionDead} {
		if n == nil || *n == 0 {
			continue
		}
		if d := time.Duration(*n) * time.Second; !ok || d < shortest {
			shortest, ok = d, true
		}
	}
	return shortest, ok
}
