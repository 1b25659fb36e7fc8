package relay_test

import (
	"strings"
	"testing"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
)

// A fault is one line in the log, its end another, and the next fault one again.
func TestTrouble_ExpressFailsTwice(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.exec(t, `INSERT INTO outbox.queues (name) VALUES ('q')`)
	fails := false
	f := &faultyRedis{Redis: h.redis, push: func(_ job.Push, next func() (job.Pushed, error)) (job.Pushed, error) {
		if fails {
			return job.Pushed{}, job.ErrLate
		}
		return next()
	}}
	a := h.auditor(t, wiring{redis: f})
	express := func() {
		devtest.Until(t, patience, "a job handed over by the express lane", func() (bool, error) {
			_, handled, err := a.Express(t.Context(), job.Spec{QueueName: "q", Payload: []byte(`{}`)})
			return handled, err
		})
	}
	for _, fails = range []bool{true, true, false, true} {
		express()
	}
	for line, want := range map[string]int{"duty fails, trying again": 2, "duty works again": 1} {
		if got := strings.Count(a.log.String(), line); got != want {
			t.Errorf("%q stands in the log %d times, want %d:\n%s", line, got, want, a.log)
		}
	}
}
