package httpapi

import (
	"slices"
	"time"

	"github.com/penguinmails/rookery/job"
)

// step is a point of a job's way, by Postgres' clock but for those of workers.
type step struct {
	At       time.Time `json:"at"`
	Event    string    `json:"event"` // inserted, due, dispatched, started, an outcome, or the status that ended it
	Attempt  int32     `json:"attempt_count,omitempty"`
	WorkerID string    `json:"worker_id,omitempty"`
	Seconds  *float64  `json:"seconds"` // since the step before; null: it is the first
}

// timelineOf puts in order what is known of a job's way. The row knows its latest attempt
// only, and the attempts are those that did not simply succeed: a step may be missing,
// none is invented.
func timelineOf(j job.Job, attempts []job.Attempt) []step {
	steps := []step{{At: j.CreatedAt, Event: "inserted"}}
	add := func(at *time.Time, event string, attempt int32, worker string) {
		if at != nil {
			steps = append(steps, step{At: at.UTC(), Event: event, Attempt: attempt, WorkerID: worker})
		}
	}
	if j.Status == job.Queued && j.RunAt.After(j.CreatedAt) {
		add(&j.RunAt, "due", 0, "")
	}
	recorded := false
	for _, a := range attempts {
		recorded = recorded || a.AttemptCount == j.AttemptCount
		add(a.StartedAt, "started", a.AttemptCount, a.WorkerID)
		add(&a.FinishedAt, a.Outcome, a.AttemptCount, a.WorkerID)
	}
	add(j.DispatchedAt, "dispatched", j.AttemptCount, "")
	if !recorded {
		add(j.StartedAt, "started", j.AttemptCount, j.WorkerID)
	}
	add(j.FinishedAt, string(j.Status), j.AttemptCount, j.WorkerID)
	slices.SortStableFunc(steps, func(a, b step) int { return a.At.Compare(b.At) })
	for i := 1; i < len(steps); i++ {
		d := steps[i].At.Sub(steps[i-1].At).Seconds()
		steps[i].Seconds = &d
	}
	return steps
}
