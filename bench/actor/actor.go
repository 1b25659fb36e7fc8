// Package actor holds the two programs by which every system is measured: produce
// inserts jobs, work runs them. README.md says what they are told and what they
// answer; here is the half that all systems written in Go share.
package actor

import (
	"context"
	"time"
)

// System is a job queue under test, set up as its authors recommend. It is used by
// one actor process; the servers are private and empty before Setup.
type System interface {
	// Setup makes the schema. It is called once for all processes.
	Setup(ctx context.Context, s Servers) error
	// Producer connects one who inserts. It is used by o.Producers goroutines.
	Producer(ctx context.Context, s Servers, o ProduceOptions) (Producer, error)
	// Work runs jobs until ctx ends, then stops in good order. It calls ready when it
	// takes jobs, and handle for each attempt; a handler's error fails the attempt,
	// which is to be tried again after RetryAfter.
	Work(ctx context.Context, s Servers, o WorkOptions, ready func(), handle Handler) error
	// Left counts the jobs that the system's own store does not record as completed.
	Left(ctx context.Context, s Servers) (int64, error)
	// Settings says how the system is set up, and by whose advice.
	Settings() string
}

// Producer inserts jobs. It is safe for concurrent use.
type Producer interface {
	// Insert makes jobs in one transaction, with one row of bench_orders beside them
	// when business is asked for, and returns when they are safe.
	Insert(ctx context.Context, jobs []Job) error
	Close()
}

// Handler runs one attempt of the job with this payload.
type Handler func(ctx context.Context, payload []byte) error

// Servers says where a system's servers are.
type Servers struct {
	DatabaseURL string
	RedisURL    string // redis://host:port
}

// Job is one job to insert.
type Job struct {
	Number  int64
	Queue   string
	Payload []byte    // JSON
	RunAt   time.Time // zero: now
}

// RetryAfter is how long after its failure an attempt is tried again, in all systems.
const RetryAfter = time.Second

// BusinessSQL inserts the row that stands for what an application writes in the same
// transaction. BusinessTable makes its table.
const (
	BusinessTable = `CREATE TABLE bench_orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer text NOT NULL, total numeric NOT NULL, note text, placed_at timestamptz NOT NULL DEFAULT now())`
	BusinessSQL   = `INSERT INTO bench_orders (customer, total, note) VALUES ('Ada Lovelace', 12.50, 'two stamps and an envelope')`
)

// ProduceOptions are the flags of produce.
type ProduceOptions struct {
	System             string
	Jobs, First        int64
	Producers, PerTx   int
	Payload            int
	Rate               float64
	Business           bool
	Queue              string
	Queues, QueueFirst int
	DelayFrom, DelayTo time.Duration
	Record             string
}

// WorkOptions are the flags of work.
type WorkOptions struct {
	System      string
	Queue       []string
	Concurrency int // 0: what the authors recommend
	Sleep       time.Duration
	FailEvery   int64
	Record      string
}
