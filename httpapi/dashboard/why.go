package dashboard

import (
	"fmt"
	"time"

	"github.com/penguinmails/rookery/job"
)

// facts are what the answer to "why is it not running yet" is made of.
type facts struct {
	now    time.Time // this process's clock: for words, not for decisions
	glance glance
	ahead  int64     // due jobs that are claimed before it
	live   *job.Live // nil: not known
}

// why says in one sentence where j stands and what it waits for. It goes down the
// way of a job and names the first thing that holds it up.
func why(j job.Job, f facts) string {
	switch j.Status {
	case job.Queued:
		return whyQueued(j, f)
	case job.Dispatched:
		return whyDispatched(j, f)
	case job.Running:
		s := "It is running"
		if j.WorkerID != "" {
			s += " on " + j.WorkerID
		}
		if j.StartedAt != nil {
			s += ", for " + span(f.now.Sub(*j.StartedAt))
		}
		return s + "."
	case job.Completed:
		return "It is done."
	case job.Dead:
		if j.FailureCount >= j.MaxAttempts {
			return fmt.Sprintf("It failed %s, which is all it was allowed, and will not run again unless somebody sends it again.", plural(j.FailureCount, "time", "times"))
		}
		return "It is dead, and will not run again unless somebody sends it again."
	case job.Cancelled:
		return "Somebody called it off; it will not run unless somebody sends it again."
	}
	return ""
}

func whyQueued(j job.Job, f facts) string {
	if j.RunAt.After(f.now) {
		due := span(j.RunAt.Sub(f.now))
		if j.FailureCount > 0 {
			return fmt.Sprintf("It failed %d of %d times and is tried again in %s.", j.FailureCount, j.MaxAttempts, due)
		}
		return fmt.Sprintf("It is due in %s.", due)
	}
	q, known := f.glance.queue(j.QueueName)
	switch {
	case known && q.Paused:
		return "Its queue is paused: nothing is handed out until somebody resumes it."
	case f.glance.alive("relay") == 0:
		return fmt.Sprintf("No relay has said for %s that it lives, so nobody hands jobs out.", span(job.Alive))
	case f.glance.redisAway():
		return "Redis does not answer: workers take jobs from Postgres, as they have room, and it waits for its turn."
	case known && q.Window != nil && q.Window.Depth() >= int64(q.WindowSize):
		return fmt.Sprintf("The window of its queue is full (%s jobs in Redis): it waits in Postgres behind %s.", number(q.Window.Depth()), behind(f.ahead))
	case f.ahead > 0:
		return fmt.Sprintf("It waits in Postgres behind %s.", behind(f.ahead))
	}
	return "It is the next to be handed out, which should take less than a second."
}

func behind(n int64) string {
	if n >= job.GlanceCap {
		return "more than " + plural(job.GlanceCap, "job", "jobs")
	}
	return plural(n, "job", "jobs")
}

func whyDispatched(j job.Job, f facts) string {
	if f.live == nil {
		return "It was handed to Redis, which does not answer now; if Redis has lost it, it is handed out again."
	}
	if f.live.State == "leased" {
		s := "A worker has it"
		if j.WorkerID != "" {
			s = j.WorkerID + " has it"
		}
		return s + ", and has not yet said that it has been running for a while."
	}
	q, known := f.glance.queue(j.QueueName)
	if known && q.Paused {
		return "It waits in Redis, and its queue is paused: workers take nothing until somebody resumes it."
	}
	workers, slots, busy, sure := f.glance.serving(j.QueueName)
	switch {
	case sure && workers == 0:
		return "It waits in Redis, and no live worker serves its queue."
	case sure && slots > 0 && busy >= slots:
		return fmt.Sprintf("It waits in Redis: all %s of %s are busy.", plural(slots, "slot", "slots"), plural(workers, "worker", "workers"))
	case known && q.Window != nil && q.Window.Depth() > 1:
		return fmt.Sprintf("It waits in Redis with %s of its queue.", plural(q.Window.Depth()-1, "other job", "other jobs"))
	}
	return "It waits in Redis for a worker to take it, which should take less than a second."
}
