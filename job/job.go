package job

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"strconv"
	"time"
)

// Job is the whole truth about one job, as its row in outbox.jobs has it.
type Job struct {
	ID           int64           `json:"id"`
	QueueName    string          `json:"queue_name"`
	Kind         string          `json:"kind"`
	Payload      json.RawMessage `json:"payload,omitempty"`
	Headers      json.RawMessage `json:"headers,omitempty"`
	Priority     int16           `json:"priority"`
	Status       Status          `json:"status"`
	DispatchID   int64           `json:"dispatch_id,omitempty"`
	AttemptCount int32           `json:"attempt_count"`
	FailureCount int16           `json:"failure_count"`
	LostCount    int16           `json:"lost_count"`
	MaxAttempts  int16           `json:"max_attempts"`
	RunAt        time.Time       `json:"run_at"`
	CreatedAt    time.Time       `json:"created_at"`
	DispatchedAt *time.Time      `json:"dispatched_at,omitempty"`
	StartedAt    *time.Time      `json:"started_at,omitempty"`
	FinishedAt   *time.Time      `json:"finished_at,omitempty"`
	WorkerID     string          `json:"worker_id,omitempty"`
	LastError    string          `json:"last_error,omitempty"`
}

// Attempt is one run of a job that did not simply succeed, as outbox.attempts
// keeps it.
type Attempt struct {
	JobID        int64           `json:"job_id"`
	AttemptCount int32           `json:"attempt_count"`
	WorkerID     string          `json:"worker_id,omitempty"`
	StartedAt    *time.Time      `json:"started_at,omitempty"`
	FinishedAt   time.Time       `json:"finished_at"`
	Outcome      string          `json:"outcome"`
	Error        json.RawMessage `json:"error,omitempty"`
}

// Ref names one attempt: a job and the dispatch it was handed out under. It is
// the fence of every write after dispatch, and, as text, the member under which
// Redis keeps the attempt's lease.
type Ref struct {
	ID         int64 `json:"id"`
	DispatchID int64 `json:"dispatch_id"`
}

// String returns "id:dispatch_id", the lease member.
func (r Ref) String() string {
	return string(r.Append(make([]byte, 0, 40)))
}

// Append appends the lease member to b.
func (r Ref) Append(b []byte) []byte {
	b = strconv.AppendInt(b, r.ID, 10)
	b = append(b, ':')
	return strconv.AppendInt(b, r.DispatchID, 10)
}

// NewDispatchID draws the fencing token of one batch: 53 random bits from the
// system's source, never 0, so that JavaScript reads it exactly and nothing that
// Postgres or Redis may forget can issue it twice. Two of a million live batches
// share one with a probability of 6e-5; the ledger's primary key refuses the
// second, and the claim is drawn again.
func NewDispatchID() int64 {
	var b [8]byte
	for {
		rand.Read(b[:]) // never fails: crypto/rand ends the program instead
		if id := int64(binary.LittleEndian.Uint64(b[:]) >> 11); id != 0 {
			return id
		}
	}
}

// Batch is what one ledger row entrusts to Redis: jobs of one queue that share a
// dispatch id, in the order in which they are to be taken.
type Batch struct {
	QueueName  string
	DispatchID int64
	Epoch      int64
	Jobs       []Envelope
}

// Refs returns the attempts of the batch in its order.
func (b Batch) Refs() []Ref {
	refs := make([]Ref, len(b.Jobs))
	for i := range b.Jobs {
		refs[i] = b.Jobs[i].Ref()
	}
	return refs
}

// Queue is what outbox.queues knows of one queue.
type Queue struct {
	Name       string `json:"name"`
	Paused     bool   `json:"paused"`
	WindowSize int    `json:"window_size"` // most undelivered jobs in Redis
	KeepFor
	Epoch    int64         `json:"epoch"` // number of the present filling of the window; 0: never opened
	Life     string        `json:"-"`     // the Postgres system identifier and timeline the epoch belongs to
	EpochAge time.Duration `json:"-"`     // how long ago the epoch began, by Postgres' clock
}
