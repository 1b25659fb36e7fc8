package job

import "time"

// How far a look at many jobs reaches. They keep a page as quick with ten million
// jobs as with ten.
const (
	BrowseMost = 20_000 // jobs by id that one page of [Browse] looks through
	GlanceCap  = 10_000 // jobs that are counted of one queue, and dead ones
	GroupCap   = 2_000  // dead jobs that are grouped by how they died
	JoinCap    = 5_000  // jobs of another list that one page looks through, each a row to be found
)

// The lists that [Browse] shows. The empty one has all jobs.
const (
	ListReady     = "ready"     // due, in the order of the claim
	ListScheduled = "scheduled" // not due, and has not failed
	ListRetrying  = "retrying"  // not due, and has failed before
	ListOut       = "out"       // dispatched or running
	ListRunning   = "running"
	ListCompleted = "completed"
	ListCancelled = "cancelled"
	ListDead      = "dead"
)

// Browse asks for a page of jobs. Its zero value asks for the newest of all.
type Browse struct {
	List  string      // one of the lists
	Queue string      // "": all
	Kind  string      // "": all; ends in * : all kinds that begin so
	Since time.Time   // inserted, or for [ListDead] died, no earlier; zero: whenever
	After BrowsePlace // where the page before ended; zero: from the start
	Limit int         // 1 to 200
}

// BrowsePlace is where a page of [Browse] ended: the last job it showed, or looked at.
type BrowsePlace struct {
	ID    int64
	Queue string    // for [ListReady]
	Rank  int16     // for [ListReady]: its place in the order of the claim
	At    time.Time // for [ListScheduled], [ListRetrying] and [ListDead]
}

// BrowsePage is an answer to [Browse].
type BrowsePage struct {
	Jobs []Job       // without payload and headers, errors cut at 300 characters
	Next BrowsePlace // zero: there is no more
	// Capped says that the look ended before the page was full: behind Next there
	// may be more.
	Capped bool
}

// DeadGroup is dead jobs that died alike.
type DeadGroup struct {
	QueueName string
	Kind      string
	Reason    string
	Error     string // the first line, numbers left out
	Jobs      int64
	FirstAt   time.Time
	LastAt    time.Time
	ExampleID int64
}

// Seen is a [Process] and when it was last heard of, by Postgres' clock.
type Seen struct {
	Process
	BeatAge  time.Duration // since it last reached Postgres; -1: Postgres does not know it
	RedisAge time.Duration // since it last said that it reached Redis; -1: it has not
}

// Alive is how long a process may be silent before people are told that it is gone.
const Alive = 20 * time.Second

// Alive reports whether it was heard of within [Alive].
func (b Seen) Alive() bool { return b.BeatAge >= 0 && b.BeatAge < Alive }
