package dashboard

import (
	"slices"
	"time"

	"github.com/penguinmails/rookery/job"
)

// step is one point of a job's way.
type step struct {
	What   string
	Tone   string // good, bad or none
	At     time.Time
	After  string // since the step before; "": it is the first, or the clocks disagree
	Worker string
	Detail string
}

// timeline puts what is known of a job's way in order. The row knows the last attempt
// only, outbox.attempts those that did not simply succeed; so a step may be missing,
// but none is invented.
func timeline(j job.Job, attempts []job.Attempt) []step {
	steps := []step{{What: "inserted", At: j.CreatedAt}}
	recorded := map[int32]bool{}
	for _, a := range attempts {
		recorded[a.AttemptCount] = true
		if a.StartedAt != nil {
			steps = append(steps, step{What: "attempt " + number(a.AttemptCount) + " started", At: *a.StartedAt, Worker: a.WorkerID})
		}
		steps = append(steps, step{What: "attempt " + number(a.AttemptCount) + ": " + outcomeWord(a.Outcome), Tone: outcomeTone(a.Outcome), At: a.FinishedAt, Worker: a.WorkerID, Detail: messageOf(a.Error)})
	}
	if j.DispatchedAt != nil {
		steps = append(steps, step{What: "handed to Redis, attempt " + number(j.AttemptCount), At: *j.DispatchedAt})
	}
	if j.StartedAt != nil && !recorded[j.AttemptCount] {
		steps = append(steps, step{What: "attempt " + number(j.AttemptCount) + " started", At: *j.StartedAt, Worker: j.WorkerID})
	}
	if j.FinishedAt != nil {
		tone := "good"
		if j.Status != job.Completed {
			tone = "bad"
		}
		steps = append(steps, step{What: string(j.Status), Tone: tone, At: *j.FinishedAt, Worker: j.WorkerID})
	}
	if j.Status == job.Queued {
		what := "due"
		if j.FailureCount > 0 {
			what = "tried again"
		}
		if j.RunAt.Sub(j.CreatedAt) > time.Millisecond {
			steps = append(steps, step{What: what, At: j.RunAt})
		}
	}
	slices.SortStableFunc(steps, func(a, b step) int { return a.At.Compare(b.At) })
	for i := 1; i < len(steps); i++ {
		if d := steps[i].At.Sub(steps[i-1].At); d >= 0 {
			steps[i].After = span(d)
		}
	}
	return steps
}

// outcomeWord is what people call an outcome of outbox.attempts.
func outcomeWord(outcome string) string {
	switch outcome {
	case "fail":
		return "failed"
	case "exhaust":
		return "failed, the last one allowed"
	case "discard":
		return "discarded"
	case "snooze":
		return "snoozed"
	case "cancel":
		return "cancelled"
	case "lose":
		return "lost with its worker"
	case "poison":
		return "lost with its worker once too often"
	case "missing":
		return "left behind by Redis"
	case "refuse":
		return "could not be handed out"
	}
	return outcome
}

func outcomeTone(outcome string) string {
	switch outcome {
	case "snooze", "missing", "cancel":
		return ""
	}
	return "bad"
}
