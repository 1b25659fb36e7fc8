package job

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"time"
)

// Limits of what a worker may ask for over HTTP.
const (
	MaxLeaseJobs = 100              // jobs of one request
	MaxLeaseWait = 30 * time.Second // how long it may be kept waiting
	MinLeaseTime = 10 * time.Second
	MaxLeaseTime = time.Hour
	MaxLeaseOps  = 500 // operations, or leases, of one request
)

// What whoever asks about a lease may be told, beside [ErrLeaseLost].
var (
	// ErrLeaseUnknown: this is no id of a lease.
	ErrLeaseUnknown = errors.New("no such lease")
	// ErrLeaseElsewhere: another server keeps the lease alive, or did.
	ErrLeaseElsewhere = errors.New("another server has the lease")
	// ErrTooManyWaiters: so many wait for jobs already, of the queue or of the server.
	ErrTooManyWaiters = errors.New("too many wait for jobs")
	// ErrTooManyLeases: the server keeps as many leases alive as it may.
	ErrTooManyLeases = errors.New("too many leases")
	// ErrTooManyQueues: the server hands out jobs of as many queues as it may.
	ErrTooManyQueues = errors.New("too many queues")
)

// LeaseRequest asks for jobs of a queue.
type LeaseRequest struct {
	QueueName string
	WorkerID  string        // who asks, for people
	Max       int           // jobs, 1 to MaxLeaseJobs
	Wait      time.Duration // for the first of them
	Lease     time.Duration // how long the client may be silent
}

// LeasedJob is a job that a client may run until ExpiresAt. Its JSON is the answer over
// HTTP.
type LeasedJob struct {
	ID           int64           `json:"id"`
	QueueName    string          `json:"queue_name"`
	Kind         string          `json:"kind"`
	Payload      json.RawMessage `json:"payload"`
	Headers      json.RawMessage `json:"headers"` // an object, or null
	Priority     int16           `json:"priority"`
	AttemptCount int32           `json:"attempt_count"`
	FailureCount int16           `json:"failure_count"`
	MaxAttempts  int16           `json:"max_attempts"`
	Alone        bool            `json:"alone"` // it may be a poison pill: run nothing beside it
	RunAt        time.Time       `json:"run_at"`
	CreatedAt    time.Time       `json:"created_at"`
	LeaseID      string          `json:"lease_id"`
	LeaseToken   string          `json:"lease_token"` // a secret: whoever has it may end the lease
	ExpiresAt    time.Time       `json:"lease_expires_at"`
}

// LeaseKey is what a client names a lease by.
type LeaseKey struct{ ID, Token string }

// LeaseVerb is what a client may do with a lease.
type LeaseVerb string

// The verbs. All but LeaseExtend end the lease.
const (
	LeaseAck     LeaseVerb = "ack"     // the job is done
	LeaseNack    LeaseVerb = "nack"    // the attempt has failed
	LeaseRelease LeaseVerb = "release" // back to its queue, no failure is counted
	LeaseExtend  LeaseVerb = "extend"  // silent for another while
)

// LeaseOp is one thing that a client does with a lease.
type LeaseOp struct {
	Verb LeaseVerb
	LeaseKey

	Error   string         // of a nack
	RetryIn *time.Duration // of a nack; nil: the backoff of the queue
	Dead    bool           // of a nack: never again
	Lease   time.Duration  // of an extend; 0: as long as it was asked for
}

// LeaseResult is what came of a [LeaseOp].
type LeaseResult struct {
	Status    Status    // of the job; "" after an extend
	ExpiresAt time.Time // of the lease, after an extend
}

// LeaseReport answers a heartbeat: the ids of leases that are over, each in one list.
// All others were extended.
type LeaseReport struct {
	Cancelled []string `json:"cancelled"` // somebody called the job off
	Lost      []string `json:"lost"`
	Elsewhere []string `json:"elsewhere"` // see ErrLeaseElsewhere
}

const leaseVersion = 1

// NewLeaseID names the lease of an attempt. It is not secret: it says which attempt of
// which queue it is about, so that every server can read it.
func NewLeaseID(queue string, ref Ref) string {
	b := make([]byte, 0, 17+len(queue))
	b = append(b, leaseVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(ref.ID))
	b = binary.BigEndian.AppendUint64(b, uint64(ref.DispatchID))
	return base64.RawURLEncoding.EncodeToString(append(b, queue...))
}

// ParseLeaseID reads what [NewLeaseID] has made. The error is [ErrLeaseUnknown].
func ParseLeaseID(id string) (queue string, ref Ref, err error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(id)
	if err != nil || len(b) < 18 || b[0] != leaseVersion {
		return "", Ref{}, ErrLeaseUnknown
	}
	ref = Ref{ID: int64(binary.BigEndian.Uint64(b[1:])), DispatchID: int64(binary.BigEndian.Uint64(b[9:]))}
	queue = string(b[17:])
	if CheckQueueName(queue) != nil || ref.ID <= 0 || ref.DispatchID <= 0 {
		return "", Ref{}, ErrLeaseUnknown
	}
	return queue, ref, nil
}
