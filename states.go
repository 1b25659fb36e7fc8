package rookery

import (
	"context"
	"fmt"
	"time"

	"github.com/penguinmails/rookery/db"
	"github.com/penguinmails/rookery/httpapi"
	"github.com/penguinmails/rookery/workers"
)

// What a process does without one of the servers, as /readyz and doctor tell it.

// withoutRelays is what goes on when a relay does not reach Redis.
func withoutRelays() string { return "away: workers take jobs from Postgres" }

// withoutWorker is what w does while it does not reach Redis.
func withoutWorker(w *workers.Worker) string {
	s := w.Status()
	direct := 0
	for _, q := range s.Queues {
		if q.Direct {
			direct++
		}
	}
	return fmt.Sprintf("away: %d attempts held in Postgres, jobs of %d queues taken from it", s.Holding, direct)
}

// unlessHeld makes a probe of Redis: a process whose work is jobs is ready without it.
// going says what it does then.
func unlessHeld(ping func(context.Context) error, going func() string) func(context.Context) error {
	return func(ctx context.Context) error {
		err := ping(ctx)
		if err == nil {
			return nil
		}
		return &httpapi.DegradedError{Detail: going(), Err: err}
	}
}

// silence is for how long nobody may have reached Redis, and no relay have beaten,
// before doctor says so: as long as relays wait before they give a window up.
const silence = 20 * time.Second

// doctorState finds what is wrong with the processes that stand in Postgres' list.
// Whoever may not read it learns that elsewhere.
func doctorState(ctx context.Context, url string) (out []Finding) {
	s, err := db.DiagnoseState(ctx, url)
	if err != nil {
		return nil
	}
	if s.Relays == 0 && s.Waiting {
		out = append(out, Finding{Subject: "relay", Problem: "jobs are due, and no relay has said for 20 s that it lives: nobody hands them out", Remedy: "run `rookery relay` or `rookery serve`"})
	}
	if s.Relays+s.Workers > 0 && s.RedisSilent > silence {
		out = append(out, Finding{Subject: "redis",
			Problem: fmt.Sprintf("no process has reached Redis for %s: workers hold what they run in Postgres (%d attempts) and take jobs from it", s.RedisSilent.Round(time.Second), s.Held),
			Remedy:  "start Redis, or correct the REDIS_URL of relays and workers; they go back to it by themselves"})
	}
	return out
}
