package job

import (
	"encoding/json"
	"time"
)

// The requests to and answers from a queue's window in Redis. They stand here, in
// the leaf package, because relay and workers speak of them without knowing who
// implements them.

// Push asks Redis to accept one batch: step D2.
type Push struct {
	Batch
	// Deadline is a moment on Redis' clock, in ms since 1970, after which the push
	// must be refused as [ErrLate].
	Deadline int64
	// KnownSeq is the highest count of accepted batches the relay has seen in this
	// epoch; a Redis that knows less answers [ErrBehind].
	KnownSeq int64
	// Forget names batches whose seq was recorded a minute ago or longer.
	Forget []int64
}

// NoDeadline is a moment on Redis' clock that does not come: in ms, and exact as a
// double.
const NoDeadline = int64(1)<<53 - 1

// Pushed is what Redis answers to an accepted Push.
type Pushed struct {
	Seq   int64 // the batch's number in this epoch; of the first time when Dup
	Depth int64 // undelivered jobs of the queue, this batch included
	Now   int64 // Redis' clock, ms since 1970
	Dup   bool  // the batch was in already; nothing was added
}

// Take asks for jobs of one queue.
type Take struct {
	QueueName string
	Epoch     int64 // 0: not known yet
	WorkerID  string
	Token     string        // the same token again gets the same jobs, as far as they are still leased
	Limit     int           // 1 to MaxBatch
	Lease     time.Duration // how long the taker may be silent
	// TokenEpoch is the epoch in which the token was drawn; 0: Epoch. What was taken
	// then, and has not been heard of, was sealed for that epoch's window.
	TokenEpoch int64
}

// Taken is what a Take hands over, leased.
type Taken struct {
	Jobs   []Envelope // in the order in which they are to run
	Broken []Ref      // leased likewise, but their envelopes cannot be read
	Forged []Ref      // leased likewise, but no relay of ours has signed their envelopes: not to be run
	More   bool       // jobs were left behind in the window
}

// Window describes what one queue has in Redis.
type Window struct {
	Epoch     int64
	Seq       int64    // batches accepted in this epoch
	Waiting   [3]int64 // undelivered jobs by Band
	Leased    int64    // attempts somebody is running
	Lost      int64    // attempts being taken back
	Paused    bool
	Now       int64 // Redis' clock, ms since 1970
	OldestEnd int64 // the earliest deadline of a lease, ms since 1970; 0: no lease
}

// MarshalJSON writes what people and autoscalers want to know: the depth and its
// bands by name, without the clocks. The epoch is the queue's.
func (w Window) MarshalJSON() ([]byte, error) {
	type bands struct {
		High   int64 `json:"high"`
		Normal int64 `json:"normal"`
		Low    int64 `json:"low"`
	}
	return json.Marshal(struct {
		Depth   int64 `json:"depth"` // undelivered jobs of all bands
		Waiting bands `json:"waiting"`
		Leased  int64 `json:"leased"`
		Lost    int64 `json:"lost"`
		Seq     int64 `json:"seq"`
		Paused  bool  `json:"paused"` // as Redis knows it, up to a second late
	}{w.Depth(), bands{w.Waiting[High], w.Waiting[Normal], w.Waiting[Low]}, w.Leased, w.Lost, w.Seq, w.Paused})
}

// Depth returns how many undelivered jobs the window holds.
func (w Window) Depth() int64 { return w.Waiting[High] + w.Waiting[Normal] + w.Waiting[Low] }

// Census asks for a Window and, on the way, copies what Redis must know.
type Census struct {
	QueueName string
	Epoch     int64
	KnownSeq  int64
	Paused    bool    // what queues.paused says
	Forget    []int64 // as in Push
}

// LostAttempt is an attempt on its way back to Postgres.
type LostAttempt struct {
	Ref Ref
	// Counts tells an ended lease, which counts towards MaxLost, from a copy that
	// was merely missing after Redis had lost its window.
	Counts bool
}

// Process is what a relay or a worker says of itself, in Postgres and, for
// workers, in Redis' registry.
type Process struct {
	ID        string           `json:"id"`
	Role      string           `json:"role"` // relay or worker
	Host      string           `json:"host"`
	PID       int              `json:"pid"`
	StartedAt time.Time        `json:"started_at"`
	Life      int64            `json:"-"` // drawn when it starts: another with the same id has another; 0 for relays
	RedisOK   bool             `json:"-"` // Redis has answered since the last beat
	Epochs    map[string]int64 `json:"epochs,omitempty"`
	Quiet     bool             `json:"quiet,omitempty"` // a worker was told, by a signal, to take no more jobs
	// For workers only:
	Queues  []string `json:"queues,omitempty"`
	Slots   int      `json:"slots,omitempty"`   // attempts it runs at most at once
	Running []Ref    `json:"running,omitempty"` // at most the first 100
	Leaked  int      `json:"leaked,omitempty"`  // slots whose handler ignored its context's end
}

// MaxProcessID is how many bytes the id of a process may have.
const MaxProcessID = 200

// Heard is what Postgres answers to a beat.
type Heard struct {
	Epochs map[string]int64 // of every queue
	Quiet  bool             // the process, a worker, is to take no more jobs
}
