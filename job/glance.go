package job

import "time"

// How far a page for people counts, so that it is as quick with ten million jobs as
// with ten.
const (
	QueueCap  = 2_000  // due jobs that are counted of one queue, and scheduled ones of all
	GlanceCap = 10_000 // dead jobs that are counted, and due ones that are claimed before another
	GroupCap  = 1_000  // dead jobs that are grouped by how they died
)

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
