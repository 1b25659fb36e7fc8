package job

import (
	"fmt"
	"slices"
	"time"
)

// How much is done to many jobs at once.
const (
	MaxBulk              = 1000             // ids of one request
	BulkBatch            = 500              // jobs that one transaction changes
	MaxRunningOperations = 100              // at a time
	OperationLease       = 15 * time.Second // after which another process goes on with an operation
	PreviewExamples      = 10               // jobs that a [Preview] shows
	OperationCount       = 100_000          // places that are looked at to know an operation's total
)

// Action is what is done to many jobs at once.
type Action string

// The actions. Jobs in other statuses than those of [Action.Takes] are left alone.
const (
	ActionCancel  Action = "cancel"
	ActionRedrive Action = "redrive"
	ActionDelete  Action = "delete"
	// ActionPurge cancels what waits: in Postgres, or in Redis for a worker. When it has
	// completed, no job of the queue that had been committed when it began waits that has not
	// begun to run since. What Postgres knows to run, when the purge comes by, runs on; a job
	// that a worker has only just taken, and that has not been noted as running (250 ms), counts as
	// waiting: its handler is told. Jobs of transactions that began later are left alone;
	// those of transactions that were under way may be cancelled or not. What was
	// cancelled can be redriven for as long as it is kept.
	ActionPurge Action = "purge"
)

// Takes reports whether the action does anything to a job in status s.
func (a Action) Takes(s Status) bool {
	switch a {
	case ActionCancel:
		return !s.Terminal()
	case ActionRedrive, ActionDelete:
		return s.Terminal()
	case ActionPurge:
		return s == Queued || s == Dispatched
	}
	return false
}

// takesAny reports whether the action does anything to a job that status, one of
// [Filters], finds.
func (a Action) takesAny(status string) bool {
	switch status {
	case "":
		return true
	case FilterReady, FilterScheduled, FilterRetrying:
		return a.Takes(Queued)
	case FilterOut:
		return a.Takes(Dispatched) || a.Takes(Running)
	}
	return a.Takes(Status(status))
}

// CheckBulk returns a [*FieldError] when l is not what action can be done to: a filter
// that names no status would redrive what has been completed, mails sent twice.
func CheckBulk(action Action, l Listing) error {
	l.Limit = 1
	if err := l.Check(); err != nil {
		return err
	}
	if action == ActionRedrive && l.Status == "" {
		return &FieldError{Field: "status", Problem: "is missing: to redrive say which, dead, cancelled or completed"}
	}
	if !action.takesAny(l.Status) {
		return &FieldError{Field: "status", Problem: fmt.Sprintf("is %s, and no such job can be changed by %s", l.Status, action)}
	}
	return nil
}

// Lists returns the lists that an action goes through to find what l asks for, one
// after the other, as words of [Listing].Status. They are the narrow ones where no job
// slips from one to another that has been gone through already, without being handed
// out meanwhile; "" is all jobs by id, which no job slips through.
func (a Action) Lists(l Listing) []string {
	switch {
	case a == ActionPurge:
		return []string{FilterScheduled, FilterReady, string(Dispatched)}
	case l.Status == string(Queued):
		return []string{FilterScheduled, FilterReady}
	}
	return []string{l.Status}
}

// Operation is an action on all jobs that a filter finds, a batch at a time. It touches
// no job that is inserted after it began.
type Operation struct {
	ID         int64           `json:"id"`
	Action     Action          `json:"action"`
	Filter     Listing         `json:"filter"`
	Status     OperationStatus `json:"status"`
	Principal  string          `json:"actor"`       // who began it, as outbox.audit names them
	StartedAt  time.Time       `json:"started_at"`  // by Postgres' clock
	FinishedAt *time.Time      `json:"finished_at"` // nil while it runs
	Error      string          `json:"error"`       // of a failed one
	Matched    int64           `json:"matched"`     // jobs found so far
	Done       int64           `json:"done"`        // of those, changed
	Failed     int64           `json:"failed"`      // of those, left: somebody changed them first

	// Total is how many jobs matched when it began; nil: to count them would
	// have taken too long.
	Total *int64 `json:"total"`
	// Share is how much has been gone through, 0 to 1: by Total, or by ids where the
	// operation goes by id; nil: nobody can say.
	Share *float64 `json:"share"`
}

// OperationFilter says which operations a page is to show.
type OperationFilter struct {
	Queues []string // only those that are [Listing.Within] these; none: all
	Before int64    // only those with ids below; 0 means from the newest
	Limit  int      // up to so many
}

// OperationsCap is how many operations one page looks at.
const OperationsCap = 2000

// OperationPage is a part of the list of operations, the newest first.
type OperationPage struct {
	Operations []Operation
	// Next is the id to go on below; 0: there is no more. A page may be short, or empty,
	// and have one: it ended after [OperationsCap].
	Next int64
}

// OperationStatus says how far an operation is.
type OperationStatus string

// The statuses of operations. What one has done stays done, whatever it comes to.
const (
	OperationRunning   OperationStatus = "running"
	OperationCompleted OperationStatus = "completed"
	OperationCancelled OperationStatus = "cancelled"
	OperationFailed    OperationStatus = "failed"
)

// Turn is one batch of an operation, by the process that holds it.
type Turn struct {
	ID     int64
	Holder string
	// Found is called when the batch has found its jobs and locked none; nil: nothing.
	Found func()
	// BeforeCommit is called when all is written and nothing committed; nil: nothing.
	BeforeCommit func()
}

// Changed is what became of one job of many.
type Changed struct {
	ID     int64
	Done   bool   // by this call
	Status Status // "": there is no such job any more
}

// Preview is what an action would do.
type Preview struct {
	Matched  int64 // jobs found
	Capped   bool  // the look ended after [BrowseCap] places: there may be more
	Examples []Job // the first [PreviewExamples], without payloads and headers
}

// SortedIDs returns ids in their order, each once.
func SortedIDs(ids []int64) []int64 {
	return slices.Compact(slices.Sorted(slices.Values(ids)))
}
