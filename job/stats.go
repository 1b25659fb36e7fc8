package job

import "time"

// Stat is what one process did for one queue in one minute, as outbox.stats keeps it.
// The minute is of the process's own clock: for charts, and nothing is decided by it.
type Stat struct {
	Minute    time.Time
	QueueName string

	// Counted by relays.
	Dispatched int64 // handed to Redis
	Lost       int64 // attempts whose lease ended

	// Counted by workers, except the dead ones that relays count: poison pills.
	Completed, Failed, Dead, Cancelled, Snoozed int64

	// Of attempts that ran.
	Ran, Waited         time.Duration // sums: from start to the handler's return, from due to start
	RunTimes, WaitTimes Histogram
}

// StatPoint is what all processes did in one step of a chart.
type StatPoint struct {
	At         time.Time `json:"at"` // when the step begins
	Dispatched int64     `json:"dispatched"`
	Completed  int64     `json:"completed"`
	Failed     int64     `json:"failed"` // and to be tried again
	Dead       int64     `json:"dead"`
	Cancelled  int64     `json:"cancelled"`
	Snoozed    int64     `json:"snoozed"`
	Lost       int64     `json:"lost"`
	Run        Times     `json:"run"`  // of handlers
	Wait       Times     `json:"wait"` // from due to start
}

// Times sums up how long something took.
type Times struct {
	Count   int64   `json:"count"`
	Seconds float64 `json:"seconds"` // all of them together
	P50     float64 `json:"p50"`     // seconds; to within the bounds of a [Histogram]
	P95     float64 `json:"p95"`
}

// Depth is what waited in one queue at one moment, as outbox.depths keeps it.
type Depth struct {
	At        time.Time     `json:"at"` // the minute
	QueueName string        `json:"queue_name"`
	Paused    bool          `json:"paused"`
	Ready     int64         `json:"ready"`     // due, waiting in Postgres; counted up to StatsCap
	Scheduled int64         `json:"scheduled"` // run_at in the future; among the first StatsCap of all queues
	Out       int64         `json:"out"`       // dispatched or running, as the ledger has it
	Workers   int64         `json:"workers"`   // worker processes that take from it
	Oldest    time.Duration `json:"-"`         // how long the oldest of the first hundred due jobs had been due; 0: none was
	Rate      Rate          `json:"-"`         // of when it was sampled; not kept
}

// The limits of a chart.
const (
	StatStep   = time.Minute        // the shortest step
	StatKept   = 8 * 24 * time.Hour // how long figures are kept, and how far a chart reaches
	StatPoints = 1500               // the most points of one chart: a day by the minute, 8 days by ten
)

// StatRange says which figures a chart shows.
type StatRange struct {
	QueueName string    // "": all queues together
	From, To  time.Time // To is not part of it
	Step      time.Duration
}

// Check returns a [*FieldError] unless r is within the limits of a chart.
func (r StatRange) Check() error {
	if r.QueueName != "" {
		if err := CheckQueueName(r.QueueName); err != nil {
			return err
		}
	}
	length := r.To.Sub(r.From)
	switch {
	case r.Step < StatStep || r.Step%time.Minute != 0:
		return &FieldError{Field: "step", Problem: "is " + r.Step.String() + ", must be a minute or a multiple of it"}
	case length <= 0:
		return &FieldError{Field: "from", Problem: "must be before to"}
	case length > StatKept:
		return &FieldError{Field: "from", Problem: "lies more than 8 days before to"}
	case length > StatPoints*r.Step:
		return &FieldError{Field: "step", Problem: "is " + r.Step.String() + ", which makes more than 1500 points"}
	}
	return nil
}
