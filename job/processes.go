package job

import "time"

// ProcessState is what Postgres knows of a relay or worker, and what a worker says of
// itself in Redis.
type ProcessState struct {
	ID        string           `json:"id"`
	Role      string           `json:"role"` // relay, worker or client
	Host      string           `json:"host"`
	PID       int              `json:"pid"`
	StartedAt time.Time        `json:"started_at"`
	BeatAt    time.Time        `json:"beat_at"`  // when it last said that it lives
	RedisAt   *time.Time       `json:"redis_at"` // when it last said that Redis answers; nil: never
	BeatAge   time.Duration    `json:"-"`        // since BeatAt, by Postgres' clock
	RedisAge  time.Duration    `json:"-"`        // since RedisAt; -1: never
	Epochs    map[string]int64 `json:"epochs"`   // of each queue it knows
	Quiet     bool             `json:"quiet"`    // it takes no new jobs, or will not from its next beat on

	// As in [Process], of workers; empty when Redis does not answer.
	Queues  []string `json:"queues,omitempty"`
	Slots   int      `json:"slots,omitempty"`
	Running []Ref    `json:"running,omitempty"`
	Leaked  int      `json:"leaked,omitempty"`
}

// MaxProcesses is how many processes are listed at most.
const MaxProcesses = 1000

// Alive is how long a process may be silent before people are told that it is gone.
const Alive = 20 * time.Second

// Alive reports whether it was heard of within [Alive].
func (p ProcessState) Alive() bool { return p.BeatAge < Alive }
