package rookery_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
)

// unheard is the server at base for clients that hear none of its answers: each request is
// done, and then its connection breaks.
func unheard(t *testing.T, base string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		out, err := http.NewRequestWithContext(r.Context(), r.Method, base+r.URL.Path, r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		out.Header = r.Header.Clone()
		resp, err := http.DefaultClient.Do(out)
		if err != nil {
			t.Error(err)
			return
		}
		if text, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
			t.Errorf("%s = %d %s, want it done", r.URL.Path, resp.StatusCode, text)
		}
		_ = resp.Body.Close()
		panic(http.ErrAbortHandler)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// leasing is a client of pull workers.
type leasing struct{ t *testing.T }

// leasedJob is what it has.
type leasedJob struct {
	ID      int64  `json:"id"`
	Attempt int    `json:"attempt_count"`
	LeaseID string `json:"lease_id"`
	Token   string `json:"lease_token"`
}

// insert inserts a job.
func (c leasing) insert(base string, maxAttempts int) {
	c.t.Helper()
	if status, a := call(c.t, base+"/v1/jobs", map[string]any{"queue_name": "pull", "kind": "k", "max_attempts": maxAttempts}); status != 201 {
		c.t.Fatalf("insert = %d %v", status, a)
	}
}

// lease leases the job that is due next.
func (c leasing) lease(base, length string) (j leasedJob) {
	c.t.Helper()
	devtest.Until(c.t, time.Minute, "a job to be leased", func() (bool, error) {
		text, _ := json.Marshal(map[string]any{"worker_id": "w", "wait": "10s", "lease": length})
		resp, err := http.Post(base+"/v1/queues/pull/lease", "application/json", bytes.NewReader(text)) //nolint:noctx // a test's
		if err != nil {
			return false, err
		}
		defer resp.Body.Close()
		var got struct{ Jobs []leasedJob }
		if err := json.NewDecoder(resp.Body).Decode(&got); err != nil || len(got.Jobs) == 0 {
			return false, err
		}
		j = got.Jobs[0]
		return true, nil
	})
	return j
}

const (
	nackSoon = `"error":{"type":"E","message":"no"},"retry_in":"0s"`
	nackLate = `"error":{"type":"E","message":"no"},"retry_in":"1h"`
	nackDead = `"error":{"type":"E","message":"no"},"dead":true`
)

// says says verb of j at base; more are members of the body.
func (j leasedJob) says(t *testing.T, base, verb, more string, status int, field, value string) {
	t.Helper()
	if more != "" {
		more = "," + more
	}
	if got, a := call(t, base+"/v1/leases/"+j.LeaseID+"/"+verb, json.RawMessage(`{"lease_token":"`+j.Token+`"`+more+`}`)); got != status || a[field] != value {
		t.Errorf("%s%s of attempt %d of job %d at %s = %d %v, want %d with %s %s", verb, more, j.Attempt, j.ID, base, got, a, status, field, value)
	}
}

// saysInVain says it without hearing the answer.
func (j leasedJob) saysInVain(t *testing.T, base, verb, more string) {
	t.Helper()
	if more != "" {
		more = "," + more
	}
	resp, err := http.Post(base+"/v1/leases/"+j.LeaseID+"/"+verb, "application/json", bytes.NewReader([]byte(`{"lease_token":"`+j.Token+`"`+more+`}`))) //nolint:noctx // a test's
	if err == nil {
		_ = resp.Body.Close()
		t.Errorf("%s was answered with %s, want no answer", verb, resp.Status)
	}
}

// A client that has not heard the answer says the same again, at another server, when the
// job has gone on: it counts as said before. Anything else does not, and what is not the
// job's attempt any more without having ended by that is lost.
func TestSaidAgain_Pull(t *testing.T) {
	t.Parallel()
	cfg := rookery.Config{DatabaseURL: devtest.Postgres(t), RedisURL: devtest.Redis(t)}
	one, _ := pullServer(t, cfg)
	two, _ := pullServer(t, cfg)
	deaf := unheard(t, one)
	c := leasing{t}

	c.insert(one, 5)
	j := c.lease(one, "10m")
	j.saysInVain(t, deaf, "ack", "")
	for _, base := range []string{two, one} {
		j.says(t, base, "ack", "", 200, "status", "completed")
		j.says(t, base, "nack", nackLate, 409, "code", "lease_lost")
		j.says(t, base, "nack", nackDead, 409, "code", "lease_lost")
		j.says(t, base, "release", "", 409, "code", "lease_lost")
	}

	c.insert(one, 5)
	first := c.lease(one, "10m")
	first.saysInVain(t, deaf, "nack", nackSoon)
	second := c.lease(two, "10m") // it has gone on
	if second.ID != first.ID || second.Attempt != 2 {
		t.Fatalf("leased attempt %d of job %d, want the second of %d", second.Attempt, second.ID, first.ID)
	}
	again := func(j leasedJob) {
		t.Helper()
		for _, base := range []string{two, one} {
			j.says(t, base, "nack", nackSoon, 200, "status", "queued")
			j.says(t, base, "nack", nackDead, 409, "code", "lease_lost")
			j.says(t, base, "ack", "", 409, "code", "lease_lost")
		}
	}
	again(first)
	if status, a := get(t, one+"/v1/jobs/"+jsonOf(first.ID)); status != 200 || a["failure_count"] != 1.0 {
		t.Errorf("the job is %v, want one failure", a)
	}
	second.saysInVain(t, deaf, "ack", "")
	second.says(t, two, "ack", "", 200, "status", "completed")
	second.says(t, two, "nack", nackSoon, 409, "code", "lease_lost")
	again(first)

	c.insert(one, 1)
	j = c.lease(one, "10m")
	j.saysInVain(t, deaf, "nack", nackSoon)
	j.says(t, two, "nack", nackSoon, 200, "status", "dead") // it had no attempts left
	j.says(t, two, "nack", nackDead, 409, "code", "lease_lost")

	c.insert(one, 5)
	j = c.lease(one, "10m")
	j.saysInVain(t, deaf, "nack", nackDead)
	for _, base := range []string{two, one} {
		j.says(t, base, "nack", nackDead, 200, "status", "dead")
		j.says(t, base, "nack", nackSoon, 409, "code", "lease_lost")
		j.says(t, base, "ack", "", 409, "code", "lease_lost")
	}

	// Silent for too long: others have the job, and have failed it.
	c.insert(one, 5)
	lost := c.lease(one, "10s")
	next := c.lease(two, "10m")
	if next.ID != lost.ID {
		t.Fatalf("leased job %d, want %d, whose client is silent", next.ID, lost.ID)
	}
	next.says(t, two, "nack", nackLate, 200, "status", "queued")
	for _, base := range []string{two, one} {
		lost.says(t, base, "ack", "", 409, "code", "lease_lost")
		lost.says(t, base, "nack", nackLate, 409, "code", "lease_lost")
	}
}

// The same of attempts that their server holds in Postgres, with Redis away, under another
// fence: also when the ledger's row that said so is gone.
func TestSaidAgain_OfWhatIsHeld(t *testing.T) {
	t.Parallel()
	redis := devtest.RedisServer(t)
	cfg := rookery.Config{DatabaseURL: devtest.Postgres(t), RedisURL: redis.URL()}
	one, _ := pullServer(t, cfg)
	two, _ := pullServer(t, cfg)
	conn, err := pgx.Connect(t.Context(), cfg.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	until := func(what, sql string, args ...any) {
		t.Helper()
		devtest.Until(t, time.Minute, what, func() (yes bool, err error) {
			err = conn.QueryRow(t.Context(), sql, args...).Scan(&yes)
			return yes, err
		})
	}
	c := leasing{t}
	var leased []leasedJob
	var fences []int64
	for range 3 {
		c.insert(one, 5)
		j := c.lease(one, "10m")
		var fence int64
		if err := conn.QueryRow(t.Context(), "SELECT dispatch_id FROM outbox.jobs WHERE id = $1", j.ID).Scan(&fence); err != nil {
			t.Fatal(err)
		}
		leased, fences = append(leased, j), append(fences, fence)
	}
	if err := redis.Signal(os.Kill); err != nil {
		t.Fatal(err)
	}
	for i, j := range leased {
		until("the attempt to be held", "SELECT dispatch_id <> $2 FROM outbox.jobs WHERE id = $1", j.ID, fences[i])
	}
	acked, failed, retried := leased[0], leased[1], leased[2]
	deaf := unheard(t, two)
	acked.saysInVain(t, deaf, "ack", "")
	failed.saysInVain(t, deaf, "nack", nackLate)
	retried.saysInVain(t, deaf, "nack", nackSoon)
	until("the ledger to forget them", "SELECT NOT EXISTS (SELECT FROM outbox.dispatches WHERE job_ids && $1)", []int64{acked.ID, failed.ID})
	next := c.lease(two, "10m")
	if next.ID != retried.ID {
		t.Fatalf("leased job %d, want %d, which has failed", next.ID, retried.ID)
	}
	three, _ := pullServer(t, cfg) // one that remembers nothing
	for _, base := range []string{three, two, one} {
		acked.says(t, base, "ack", "", 200, "status", string(job.Completed))
		acked.says(t, base, "nack", nackLate, 409, "code", "lease_lost")
		failed.says(t, base, "nack", nackLate, 200, "status", string(job.Queued))
		failed.says(t, base, "ack", "", 409, "code", "lease_lost")
		retried.says(t, base, "nack", nackSoon, 200, "status", string(job.Queued))
		retried.says(t, base, "ack", "", 409, "code", "lease_lost")
	}
	next.says(t, three, "ack", "", 200, "status", string(job.Completed))
}

// jsonOf writes a number.
func jsonOf(v int64) string {
	text, _ := json.Marshal(v)
	return string(text)
}
