package job

// Status says where a job is on its way. Its text is what Postgres stores.
type Status string

// The statuses a job can have.
const (
	Queued     Status = "queued"     // waits in Postgres: due, or for its run_at
	Dispatched Status = "dispatched" // handed to Redis, or taken by a worker within the last 250 ms
	Running    Status = "running"    // its handler has been running for 250 ms or more
	Completed  Status = "completed"  // terminal: the handler returned nil
	Dead       Status = "dead"       // terminal until redriven: it failed for good
	Cancelled  Status = "cancelled"  // terminal until redriven: somebody called it off
)

// Statuses lists every Status once, in the order of a job's way.
func Statuses() []Status {
	return []Status{Queued, Dispatched, Running, Completed, Dead, Cancelled}
}

// Terminal reports whether nothing but a redrive moves a job out of s.
func (s Status) Terminal() bool {
	switch s {
	case Completed, Dead, Cancelled:
		return true
	case Queued, Dispatched, Running:
		return false
	}
	return false
}

// Event is something that happens to a job and may change its Status.
type Event string

// The events of a job's way; doc.go draws where each leads.
const (
	EventDispatch Event = "dispatch"
	EventStart    Event = "start"
	EventComplete Event = "complete"
	EventFail     Event = "fail"
	EventExhaust  Event = "exhaust"
	EventDiscard  Event = "discard"
	EventSnooze   Event = "snooze"
	EventLose     Event = "lose"
	EventPoison   Event = "poison"
	EventMissing  Event = "missing"
	EventRefuse   Event = "refuse"
	EventCancel   Event = "cancel"
	EventRedrive  Event = "redrive"
)

// Transition is one row of the status table: from each of From, Event leads to To.
type Transition struct {
	From  []Status
	Event Event
	To    Status
}

// Transitions returns the whole status table, in the order doc.go draws it.
func Transitions() []Transition {
	out := []Status{Dispatched, Running}
	return []Transition{
		{[]Status{Queued}, EventDispatch, Dispatched},
		{[]Status{Dispatched}, EventStart, Running},
		{out, EventComplete, Completed},
		{out, EventFail, Queued},
		{out, EventExhaust, Dead},
		{out, EventDiscard, Dead},
		{out, EventSnooze, Queued},
		{out, EventLose, Queued},
		{out, EventPoison, Dead},
		{out, EventMissing, Queued},
		{[]Status{Queued, Dispatched}, EventRefuse, Dead},
		{[]Status{Queued, Dispatched, Running}, EventCancel, Cancelled},
		{[]Status{Dead, Cancelled, Completed}, EventRedrive, Queued},
	}
}

// Next returns the status that event leads to from status s, and false when the
// event cannot happen to a job in s.
func Next(s Status, event Event) (Status, bool) {
	for _, t := range Transitions() {
		if t.Event != event {
			continue
		}
		for _, from := range t.From {
			if from == s {
				return t.To, true
			}
		}
	}
	return "", false
}
