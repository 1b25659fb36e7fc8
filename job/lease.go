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

	DefaultLeaseTime = 2 * MinLeaseTime // for who does not say how long
)

// What whoever asks about a lease may be told, beside [ErrLeaseLost].
var (
	// ErrLeaseUnknown: this is no id of a lease.
	ErrLeaseUnknown = errors.New("no such lease")
	// ErrLeaseElsewhere: another server holds the attempt in Postgres, because Redis is away;
	// that one alone can extend its lease.
	ErrLeaseElsewhere = errors.New("another server has the lease")
	// ErrNotRun: nobody runs the server, so it hands out no jobs.
	ErrNotRun = errors.New("the server is not run")
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
	Caller
	Max   int           // jobs, 1 to MaxLeaseJobs
	Wait  time.Duration // for the first of them
	Lease time.Duration // how long the client may be silent
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
	Quiet     bool     `json:"quiet"`     // the client is to lease no more, and to finish what it has
	Elsewhere []string `json:"elsewhere"` // neither extended nor known to be over: see ErrLeaseElsewhere, ErrUnavailable
}

// LeaseName is what a lease's id says: the attempt of which queue it is of, and how long
// the client asked to be silent. It is not secret, and every server can read it.
type LeaseName struct {
	QueueName string
	Ref
	Length time.Duration // whole seconds
}

// The versions of ids. One of the first has no length: it is of a lease that was given
// before servers could take over those of others.
const (
	leaseUnmeasured = 1
	leaseMeasured   = 2
)

// ID returns the lease's id.
func (n LeaseName) ID() string {
	b := make([]byte, 0, 19+len(n.QueueName))
	b = append(b, leaseMeasured)
	b = binary.BigEndian.AppendUint64(b, uint64(n.Ref.ID))
	b = binary.BigEndian.AppendUint64(b, uint64(n.DispatchID))
	b = binary.BigEndian.AppendUint16(b, uint16((n.Length+time.Second-1)/time.Second))
	return base64.RawURLEncoding.EncodeToString(append(b, n.QueueName...))
}

// ParseLeaseID reads what [LeaseName.ID] has made. The error is [ErrLeaseUnknown].
func ParseLeaseID(id string) (LeaseName, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(id)
	if err != nil || len(b) < 18 {
		return LeaseName{}, ErrLeaseUnknown
	}
	n := LeaseName{Ref: Ref{ID: int64(binary.BigEndian.Uint64(b[1:])), DispatchID: int64(binary.BigEndian.Uint64(b[9:]))}}
	rest := b[17:]
	switch b[0] {
	case leaseUnmeasured:
		n.Length = DefaultLeaseTime
	case leaseMeasured:
		if len(rest) < 3 {
			return LeaseName{}, ErrLeaseUnknown
		}
		n.Length = time.Duration(binary.BigEndian.Uint16(rest)) * time.Second
		rest = rest[2:]
	default:
		return LeaseName{}, ErrLeaseUnknown
	}
	n.QueueName = string(rest)
	if CheckQueueName(n.QueueName) != nil || n.Ref.ID <= 0 || n.DispatchID <= 0 || n.Length < MinLeaseTime || n.Length > MaxLeaseTime {
		return LeaseName{}, ErrLeaseUnknown
	}
	return n, nil
}

// LeaseStanding is what Postgres says of the attempt that a lease is of.
type LeaseStanding struct {
	Job   Job  // without payload and headers
	Ours  bool // the job's dispatch is still the attempt's: it is under way, or has ended by it
	Moved bool // to a dispatch of the worker that holds it in Postgres, with Redis away

	Outcome OutcomeKind // what it is recorded to have ended by; "": nothing, or nobody can tell any more
}

// Current reports whether the attempt is under way.
func (s LeaseStanding) Current() bool {
	return s.Ours && (s.Job.Status == Dispatched || s.Job.Status == Running)
}

// Made returns what an outcome has made of the job, if the attempt has ended by that
// very kind: its text and delay are those that came first.
func (s LeaseStanding) Made(kind OutcomeKind) (now Status, ok bool) {
	if kind != s.Outcome {
		return "", false
	}
	switch kind {
	case Succeeded:
		return Completed, true
	case Discarded:
		return Dead, true
	case Failed:
		if s.Ours && s.Job.Status == Dead {
			return Dead, true // it was the last that the job was allowed
		}
		return Queued, true
	case Started, Snoozed, CalledOff: // these leave no record, or are no client's
	}
	return "", false
}
