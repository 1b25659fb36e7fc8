package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
)

// A relay dies between claim and push, or between push and record, and another one
// finishes what it began: no job is lost, and none is in Redis twice (G4).
func TestRelay_KilledAtAFailpoint(t *testing.T) {
	slow(t)
	for _, point := range []string{"relay.after_claim", "relay.after_push"} {
		for _, beside := range []bool{true, false} {
			name := point + "/restarted"
			if beside {
				name = point + "/another_present"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, worldOptions{})
				w.worker(20)
				w.insert(100, `{}`) // there is a backlog when it starts
				doomed := w.relay("ROOKERY_FAILPOINT=" + point + ":3")
				if beside {
					w.relay()
				}
				for start := time.Now(); !doomed.ended() && time.Since(start) < time.Minute; {
					w.insert(20, `{}`)
				}
				doomed.waitKilled(time.Second)
				w.insert(100, `{}`)
				if !beside {
					w.relay()
				}
				w.verify(patience, allowance{})
			})
		}
	}
}

// An urgent job's process dies between its insert and its push: the client has no
// answer, and the job, being committed, runs all the same, once.
func TestRelay_KilledInTheExpressLane(t *testing.T) {
	slow(t)
	t.Parallel()
	w := newWorld(t, worldOptions{})
	doomed, base := w.serve("ROOKERY_FAILPOINT=relay.after_express:5")
	w.worker(10)
	w.post(base, job(`"payload": {}`)) // makes the queue known
	devtest.Until(t, patience, "the API to die", func() (bool, error) {
		res, err := http.Post(base+"/v1/jobs", "application/json", strings.NewReader(job(`"priority": 10`)))
		if err != nil {
			return true, nil
		}
		return false, res.Body.Close()
	})
	doomed.waitKilled(30 * time.Second)
	if n := w.count(`SELECT count(*) FROM outbox.jobs WHERE status = 'dispatched' AND priority = 10`); n == 0 {
		t.Error("no urgent job was left behind: it proves nothing")
	}
	w.relay()
	w.verify(patience, allowance{})
}

// A relay that is frozen between claim and record thaws after another has pushed
// its batch: what it pushes then is refused.
func TestRelay_FrozenAndThawed(t *testing.T) {
	slow(t)
	t.Parallel()
	w := newWorld(t, worldOptions{})
	frozen := w.relay()
	w.relay()
	w.worker(20)
	for range 5 {
		w.insert(100, `{"do": "sleep", "ms": 5}`)
		frozen.signal(stop)
		w.insert(100, `{}`)
		// The other one works, and recovers what this one holds after 2 s.
		w.until(patience, "all jobs while one relay is frozen", `SELECT NOT EXISTS (SELECT FROM outbox.jobs WHERE status <> 'completed')`)
		frozen.signal(cont)
	}
	w.verify(patience, allowance{})
}

// The LISTEN session is cut, and so is the notification: the safety poll finds
// what is inserted (hole "NOTIFY lost").
func TestRelay_ListenerCut(t *testing.T) {
	slow(t)
	t.Parallel()
	w := newWorld(t, worldOptions{})
	w.relay()
	w.worker(10)
	w.untilStatus(patience, "completed", w.insert(10, `{}`))
	for range 5 {
		if n := w.count(`SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'rookery listener'`); n == 0 {
			t.Log("no listener at this moment; it is being made again")
		}
		began := time.Now()
		w.untilStatus(patience, "completed", w.insert(20, `{}`))
		t.Logf("found and done after %s", time.Since(began).Round(time.Millisecond))
	}
	w.verify(patience, allowance{})
}

// A job now and then, more often than the LISTEN session is pinged, must not let
// the server take that session for idle: it did, every 3 s, and jobs waited for the
// poll.
func TestRelay_ListenerKeepsItsSession(t *testing.T) {
	slow(t)
	t.Parallel()
	w := newWorld(t, worldOptions{})
	r := w.relay()
	w.worker(10)
	w.untilStatus(patience, "completed", w.insert(1, `{}`))
	next := time.Now()
	end := next.Add(5 * time.Second)
	devtest.Until(t, patience, "5 s of sparse jobs", func() (bool, error) {
		if now := time.Now(); now.After(next) {
			next = now.Add(150 * time.Millisecond)
			w.insert(1, `{}`)
		}
		return time.Now().After(end), nil
	})
	if strings.Contains(r.err.String(), "listener lost its session") {
		t.Error("the listener lost its session, and nobody cut it")
	}
	w.verify(patience, allowance{})
}
