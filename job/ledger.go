package job

import "time"

// What a relay asks of Postgres, and is answered. As in window.go, these are the
// words that relay and db share without knowing each other.

// Survey says where there is work.
type Survey struct {
	Queues []string      // that have due jobs
	NextIn time.Duration // until the next scheduled job is due; 0 or less: now; Never: there is none
}

// Never is a duration that stands for "no such moment".
const Never = time.Duration(1<<63 - 1)

// Span is a part of one queue's due jobs, in the order of the claim: above
// (LoPriority, LoID), up to and including HiPriority. HiID, when not 0, leaves out of that
// the jobs with higher ids: it is what a part of a single job needs.
type Span struct {
	LoPriority int16
	LoID       int64
	HiPriority int16
	HiID       int64
}

// LostPriority is the place in outbox.ready of a job whose worker was lost: ahead
// of all others.
const LostPriority = -1

// Claim asks for a batch of due jobs: step D1.
type Claim struct {
	QueueName  string
	Epoch      int64
	RelayID    string
	DispatchID int64
	Limit      int        // jobs; 1 to MaxBatch
	Spans      []Span     // the most urgent first
	Pushed     []Recorded // D3 of earlier batches, recorded by the same statement
	SkipLocked bool       // pass by jobs that others have locked; else they are waited for, and it is quicker
	// For a worker that claims for itself, because Redis is away:
	WorkerID string        // who holds the batch; "": it goes to Redis
	Lease    time.Duration // for which it is held
	Again    bool          // the same claim had no answer: its batch, if there is one, is the answer
}

// Hold asks Postgres to keep a worker's right to attempts of one queue, while Redis
// cannot: they move to a ledger row of the worker's own.
type Hold struct {
	QueueName  string
	WorkerID   string
	DispatchID int64         // their new fencing token; the same again asks for the same
	Lease      time.Duration // for which they are held
	Refs       []Ref         // at most MaxBatch
}

// Recorded says that Redis has accepted a batch, and as which.
type Recorded struct {
	DispatchID int64
	Seq        int64
}

// Requeue asks to take attempts of one queue back, as far as they are current and
// the epoch is still the queue's.
type Requeue struct {
	QueueName string
	Epoch     int64
	Attempts  []LostAttempt // at most MaxBatch
}

// Unsettled is a page of attempts that ended epochs left behind.
type Unsettled struct {
	Refs []Ref
	Next Cursor
	More bool
}

// Cursor is a place in the ledger, in the order of age. The zero Cursor is its start.
type Cursor struct {
	CreatedAt time.Time
	ID        int64
}

// Sweep is what one step of sweeping the ledger did.
type Sweep struct {
	Seen, Swept, Shortened int64
	Next                   Cursor
}

// Walk is what one step of the slow walk over all jobs found. It must find nothing.
type Walk struct {
	Seen    int64
	LastID  int64
	Strays  []int64 // were queued, and stood where no claim looks
	Orphans []int64 // were out, and no ledger row knew of them
}

// CancelOrder is a cancel on its way to Redis.
type CancelOrder struct {
	QueueName string
	Ref       Ref
}
