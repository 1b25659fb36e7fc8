package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
)

// invitation is what a request says of calling back.
type invitation struct {
	Job      struct{ ID, Attempt int64 }
	Callback struct{ URL, Token string }
}

// promises starts a receiver that answers that it will call back, a server of the API
// and a push worker, and returns how the next job comes.
func (w *world) promises(timeout string) (env []string, base string, push *process, next func(attempt int) invitation) {
	w.t.Helper()
	k := newHook(w.t, func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Rookery-Async", "true")
		rw.WriteHeader(http.StatusAccepted)
	})
	_, base = w.serve()
	env = append(w.pushing(k), "ROOKERY_CALLBACK_URL="+base)
	w.webhooks(env, "set", queue, "--url", k.URL, "--timeout", timeout)
	push = w.rookery("push --http 127.0.0.1:0", env...)
	seen := 0
	return env, base, push, func(attempt int) (i invitation) {
		w.t.Helper()
		devtest.Until(w.t, patience, "the job to arrive", func() (bool, error) { return len(k.ids()) > seen, nil })
		k.mu.Lock()
		defer k.mu.Unlock()
		if err := json.Unmarshal([]byte(k.body[seen]), &i); err != nil {
			w.t.Fatal(err)
		}
		if got := k.got[seen].Header.Get("Rookery-Attempt"); got != fmt.Sprint(attempt) {
			w.t.Errorf("Rookery-Attempt is %s, want %d", got, attempt)
		}
		seen++
		return i
	}
}

// says calls back, and returns the status.
func (i invitation) says(t *testing.T, verb, body string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, i.Callback.URL+"/"+verb, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+i.Callback.Token)
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// A receiver answers at once and says later that the job is done, or that it has failed.
// It is not asked again meanwhile, and the worker counts what it said.
func TestPushCallback_Settles(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	_, _, push, next := w.promises("10m")
	ids := w.insert(1, `{}`)
	one := next(1)
	// Open for longer than a lease: the worker renews it.
	w.until(patience, "the attempt to be open for two leases", `SELECT status = 'running' AND started_at < now() - interval '6 seconds' FROM outbox.jobs WHERE id = $1`, ids[0])
	if got := push.metric("rookery_push_open", ""); got != 1 {
		t.Errorf("rookery_push_open is %g, want 1", got)
	}
	if got := one.says(t, "fail", `{"error":{"message":"not yet"},"retry_in":"0s"}`); got != http.StatusOK {
		t.Errorf("fail = %d, want 200", got)
	}
	again := next(2)
	if got := one.says(t, "complete", `{}`); got != http.StatusConflict {
		t.Errorf("complete of the attempt before = %d, want 409", got)
	}
	if got := again.says(t, "complete", `{}`); got != http.StatusOK {
		t.Errorf("complete = %d, want 200", got)
	}
	w.untilStatus(patience, "completed", ids)
	for outcome, want := range map[string]float64{"completed": 1, "failed": 1, "stale": 0} {
		devtest.Until(t, patience, outcome+" to be counted", func() (bool, error) {
			return push.metric("rookery_worker_attempts_total", `outcome="`+outcome+`"`) == want, nil
		})
	}
	f := w.rest(30 * time.Second)
	if j := f.jobs[ids[0]]; j.Attempts != 2 || j.Failures != 1 || j.Losses != 0 {
		t.Errorf("the job has attempt_count %d, failure_count %d, lost_count %d, want 2, 1, 0", j.Attempts, j.Failures, j.Losses)
	}
}

// A receiver that does not call back in time has failed; one that has asked for more
// time has it.
func TestPushCallback_NeverComes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	_, _, _, next := w.promises("8s")
	ids := w.ids(`INSERT INTO outbox.jobs (queue_name, max_attempts) VALUES ($1, 2) RETURNING id`, queue)
	one := next(1)
	w.until(patience, "the attempt to fail", `SELECT failure_count = 1 AND last_error LIKE '%call back%' FROM outbox.jobs WHERE id = $1`, ids[0])
	for _, verb := range []string{"complete", "extend"} {
		if got := one.says(t, verb, map[string]string{"complete": `{}`, "extend": `{"lease":"10s"}`}[verb]); got != http.StatusConflict {
			t.Errorf("%s of an attempt that is over = %d, want 409", verb, got)
		}
	}
	again := next(2)
	if got := again.says(t, "extend", `{"lease":"1h"}`); got != http.StatusOK {
		t.Errorf("extend = %d, want 200", got)
	}
	w.until(patience, "the attempt to outlive its timeout", `SELECT status = 'running' AND started_at < now() - interval '10 seconds' FROM outbox.jobs WHERE id = $1`, ids[0])
	if got := again.says(t, "complete", ""); got != http.StatusOK {
		t.Errorf("complete after the timeout, extended = %d, want 200", got)
	}
	w.untilStatus(patience, "completed", ids)
	w.rest(30 * time.Second)
}

// The push worker is killed with an attempt open: the job is taken back and comes again,
// and what the receiver says of the first attempt then is refused.
func TestPushCallback_WorkerKilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	env, _, push, next := w.promises("10m")
	ids := w.insert(1, `{}`)
	one := next(1)
	devtest.Until(t, patience, "the attempt to be open", func() (bool, error) { return push.metric("rookery_push_open", "") == 1, nil })
	push.kill()
	w.rookery("push", env...)
	again := next(2)
	for verb, body := range map[string]string{"complete": `{}`, "fail": `{"error":{"message":"m"}}`, "extend": `{"lease":"10s"}`} {
		if got := one.says(t, verb, body); got != http.StatusConflict {
			t.Errorf("%s of the killed worker's attempt = %d, want 409", verb, got)
		}
	}
	if got := again.says(t, "complete", `{}`); got != http.StatusOK {
		t.Errorf("complete = %d, want 200", got)
	}
	w.untilStatus(patience, "completed", ids)
	f := w.rest(30 * time.Second)
	if j := f.jobs[ids[0]]; j.Attempts != 2 || j.Failures != 0 || j.Losses != 1 {
		t.Errorf("the job has attempt_count %d, failure_count %d, lost_count %d, want 2, 0, 1", j.Attempts, j.Failures, j.Losses)
	}
}

// Redis goes while an attempt is open: its worker holds it in Postgres, under another
// fence, and the receiver's token goes on.
func TestPushCallback_RedisAway(t *testing.T) {
	t.Parallel()
	slow(t)
	w := newWorld(t, worldOptions{})
	_, _, push, next := w.promises("10m")
	ids := w.insert(1, `{}`)
	one := next(1)
	devtest.Until(t, patience, "the attempt to be open", func() (bool, error) { return push.metric("rookery_push_open", "") == 1, nil })
	fence := w.count(`SELECT dispatch_id FROM outbox.jobs WHERE id = $1`, ids[0])
	if err := w.redis.Signal(os.Kill); err != nil {
		t.Fatal(err)
	}
	w.until(patience, "the attempt to be held in Postgres", `SELECT dispatch_id <> $2 AND status = 'running' FROM outbox.jobs WHERE id = $1`, ids[0], fence)
	devtest.Until(t, patience, "the callback to be taken", func() (bool, error) {
		got := one.says(t, "complete", `{}`)
		if got != http.StatusOK && got != http.StatusServiceUnavailable {
			return false, fmt.Errorf("complete = %d, want 200, or 503 until the worker has told its fence", got)
		}
		return got == http.StatusOK, nil
	})
	w.untilStatus(patience, "completed", ids)
	w.until(patience, "the ledger to forget it", `SELECT NOT EXISTS (SELECT FROM outbox.dispatches WHERE $1::bigint = ANY (job_ids))`, ids[0])
	if got := one.says(t, "complete", `{}`); got != http.StatusOK {
		t.Errorf("complete, sent again = %d, want 200", got)
	}
	if got := one.says(t, "fail", `{"error":{"message":"no"}}`); got != http.StatusConflict {
		t.Errorf("fail after it = %d, want 409", got)
	}
	devtest.Until(t, patience, "the worker to hear of it", func() (bool, error) { return push.metric("rookery_push_open", "") == 0, nil })
}
