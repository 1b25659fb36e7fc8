package rookery_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
)

// patience bounds every wait. Nothing is concluded from how long one took.
const patience = 2 * time.Minute

// pullServer runs what rookery serve runs, and returns its address and how to stop it.
func pullServer(t *testing.T, c rookery.Config) (base string, stop func()) {
	t.Helper()
	c.HTTPAddr = "127.0.0.1:0"
	svc, err := rookery.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	r, err := svc.Relay()
	if err != nil {
		t.Fatal(err)
	}
	api, err := svc.API(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if err := api.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2) // one of each
	go func() { ended <- r.Run(ctx) }()
	go func() { ended <- api.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		for range 2 {
			if err := <-ended; err != nil {
				t.Errorf("server ended with %v", err)
			}
		}
		_ = svc.Close()
	}
	t.Cleanup(stop)
	return "http://" + api.Addr(), stop
}

func call(t *testing.T, url string, body any) (status int, answer map[string]any) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(url, "application/json", bytes.NewReader(text)) //nolint:noctx // a test's
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err = io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return resp.StatusCode, answer
}

// lease inserts a job and leases it.
func lease(t *testing.T, url string) (id int64, path string, token map[string]any) {
	t.Helper()
	if status, a := call(t, url+"/v1/jobs", map[string]any{"queue_name": "pull", "kind": "k", "payload": map[string]int{"n": 1}}); status != 201 {
		t.Fatalf("insert = %d %v", status, a)
	}
	for range 5 {
		_, a := call(t, url+"/v1/queues/pull/lease", map[string]any{"worker_id": "w", "max": 5, "wait": "30s", "lease": "1m"})
		if jobs, _ := a["jobs"].([]any); len(jobs) == 1 {
			j := jobs[0].(map[string]any)
			return int64(j["id"].(float64)), "/v1/leases/" + j["lease_id"].(string), map[string]any{"lease_token": j["lease_token"]}
		}
	}
	t.Fatal("no job was leased")
	return 0, "", nil
}

// Any server takes an ack, once; a wrong token and a second verb are refused.
func TestPull_TwoServers(t *testing.T) {
	t.Parallel()
	c := rookery.Config{DatabaseURL: devtest.Postgres(t), RedisURL: devtest.Redis(t)}
	one, stop := pullServer(t, c)
	two, _ := pullServer(t, c)
	want := func(url string, body any, status int, field, value string) {
		t.Helper()
		if got, a := call(t, url, body); got != status || a[field] != value {
			t.Errorf("POST %s = %d %v, want %d with %s %s", url, got, a, status, field, value)
		}
	}

	_, path, token := lease(t, one)
	want(one+path+"/ack", map[string]string{"lease_token": "AAAAAAAAAAAAAAAAAAAAAA"}, 409, "code", "lease_lost")
	want(one+path+"/ack", token, 200, "status", string(job.Completed))
	want(one+path+"/ack", token, 200, "status", string(job.Completed)) // sent again
	want(two+path+"/ack", token, 200, "status", string(job.Completed))
	want(two+path+"/nack", map[string]any{"lease_token": token["lease_token"], "error": map[string]string{"message": "m"}}, 409, "code", "lease_lost")

	_, path, token = lease(t, one)
	want(two+path+"/nack", map[string]any{"lease_token": token["lease_token"], "error": map[string]string{"message": "m"}, "dead": true}, 200, "status", string(job.Dead))
	want(one+path+"/ack", token, 409, "code", "lease_lost") // stale

	_, path, token = lease(t, one)
	want(one+path+"/release", token, 200, "status", string(job.Queued))
	_, a := call(t, one+"/v1/queues/pull/lease", map[string]any{"worker_id": "w", "wait": "30s"})
	if jobs, _ := a["jobs"].([]any); len(jobs) != 1 {
		t.Fatalf("leased %v after a release, want the job", a)
	}
	want(two+path+"/ack", token, 409, "code", "lease_lost") // its fence has moved

	stop() // what is leased goes back
	devtest.Until(t, patience, "the job of a server that stopped to come back", func() (bool, error) {
		_, a := call(t, two+"/v1/queues/pull/lease", map[string]any{"worker_id": "v", "wait": "10s"})
		jobs, _ := a["jobs"].([]any)
		return len(jobs) == 1, nil
	})
}

// A lease is extended at any server, which keeps it too from then on: whatever the client
// says of it counts once, whoever hears it; and what is over is extended nowhere.
func TestPull_ExtendedElsewhere(t *testing.T) {
	t.Parallel()
	c := rookery.Config{DatabaseURL: devtest.Postgres(t), RedisURL: devtest.Redis(t)}
	one, _ := pullServer(t, c)
	two, _ := pullServer(t, c)
	extended := func(base, path string, token map[string]any) {
		t.Helper()
		if status, a := call(t, base+path+"/extend", token); status != 200 || a["lease_expires_at"] == nil {
			t.Fatalf("extend at %s = %d %v, want 200 with lease_expires_at", base, status, a)
		}
	}
	want := func(url string, body any, status int, field, value string) {
		t.Helper()
		if got, a := call(t, url, body); got != status || a[field] != value {
			t.Errorf("POST %s = %d %v, want %d with %s %s", url, got, a, status, field, value)
		}
	}
	beaten := func(base, path string, token map[string]any) map[string]any {
		t.Helper()
		key := map[string]any{"lease_id": strings.TrimPrefix(path, "/v1/leases/"), "lease_token": token["lease_token"]}
		status, a := call(t, base+"/v1/workers/w/heartbeat", map[string]any{"leases": []any{key}})
		if status != 200 {
			t.Fatalf("heartbeat = %d %v", status, a)
		}
		return a
	}
	none := func(a map[string]any) bool {
		return len(a["lost"].([]any))+len(a["cancelled"].([]any))+len(a["elsewhere"].([]any)) == 0
	}

	_, path, token := lease(t, one)
	if a := beaten(two, path, token); !none(a) {
		t.Errorf("heartbeat elsewhere = %v, want it extended", a)
	}
	extended(one, path, token)
	want(two+path+"/ack", token, 200, "status", string(job.Completed))
	want(one+path+"/ack", token, 200, "status", string(job.Completed)) // sent again
	want(two+path+"/extend", token, 409, "code", "lease_lost")
	if a := beaten(one, path, token); len(a["lost"].([]any)) != 1 {
		t.Errorf("heartbeat of a lease that was acked elsewhere = %v, want it lost", a)
	}

	_, path, token = lease(t, one)
	extended(two, path, token)
	want(one+path+"/ack", token, 200, "status", string(job.Completed))
	want(two+path+"/ack", token, 200, "status", string(job.Completed)) // sent again
	nack := map[string]any{"lease_token": token["lease_token"], "error": map[string]string{"message": "m"}}
	want(two+path+"/nack", nack, 409, "code", "lease_lost")

	_, path, token = lease(t, one)
	want(one+path+"/release", token, 200, "status", string(job.Queued))
	want(two+path+"/extend", token, 409, "code", "lease_lost")
	want(two+path+"/extend", map[string]any{"lease_token": "AAAAAAAAAAAAAAAAAAAAAA"}, 409, "code", "lease_lost")

	_, a := call(t, one+"/v1/queues/pull/lease", map[string]any{"worker_id": "w", "wait": "30s", "lease": "1m"})
	jobs, _ := a["jobs"].([]any)
	if len(jobs) != 1 {
		t.Fatalf("leased %v after a release, want the job", a)
	}
	j := jobs[0].(map[string]any)
	path, token = "/v1/leases/"+j["lease_id"].(string), map[string]any{"lease_token": j["lease_token"]}
	want(fmt.Sprintf("%s/v1/jobs/%d/cancel", one, int64(j["id"].(float64))), map[string]any{}, 200, "status", string(job.Cancelled))
	if a := beaten(two, path, token); len(a["cancelled"].([]any)) != 1 {
		t.Errorf("heartbeat elsewhere of a job that was called off = %v, want it cancelled", a)
	}
}

// Who leases over HTTP is in the list of workers, with what it has, and takes no more when
// it is told to be quiet, whether it looks at the heartbeat's answer or not.
func TestPull_ClientsAreListedAndQuietened(t *testing.T) {
	t.Parallel()
	base, _ := pullServer(t, rookery.Config{DatabaseURL: devtest.Postgres(t), RedisURL: devtest.Redis(t)})
	id, path, token := lease(t, base)
	beat := func() map[string]any {
		t.Helper()
		key := map[string]any{"lease_id": strings.TrimPrefix(path, "/v1/leases/"), "lease_token": token["lease_token"]}
		status, a := call(t, base+"/v1/workers/w/heartbeat", map[string]any{"leases": []any{key}})
		if status != 200 {
			t.Fatalf("heartbeat = %d %v", status, a)
		}
		return a
	}
	devtest.Until(t, patience, "the client to be listed", func() (bool, error) {
		beat()
		resp, err := http.Get(base + "/v1/workers") //nolint:noctx // a test's
		if err != nil {
			return false, err
		}
		defer resp.Body.Close()
		var list struct {
			Data []job.ProcessState
		}
		if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
			return false, err
		}
		for _, p := range list.Data {
			if p.ID == "w" && p.Role == job.RoleClient {
				return p.Host == "127.0.0.1" && len(p.Queues) == 1 && p.Queues[0] == "pull" && len(p.Running) == 1 && p.Running[0].ID == id, nil
			}
		}
		return false, nil
	})
	quieten := func(quiet bool) {
		t.Helper()
		if status, a := call(t, base+"/v1/workers/w/quiet", map[string]bool{"quiet": quiet}); status != 200 {
			t.Fatalf("quiet = %d %v", status, a)
		}
		devtest.Until(t, patience, "the heartbeat's answer to say so", func() (bool, error) { return beat()["quiet"] == quiet, nil })
	}
	quieten(true)
	if status, a := call(t, base+"/v1/jobs", map[string]any{"queue_name": "pull", "kind": "k", "payload": map[string]int{"n": 1}}); status != 201 {
		t.Fatalf("insert = %d %v", status, a)
	}
	ask := func(worker string) int {
		t.Helper()
		_, a := call(t, base+"/v1/queues/pull/lease", map[string]any{"worker_id": worker, "wait": "2s"})
		jobs, _ := a["jobs"].([]any)
		return len(jobs)
	}
	if n := ask("w"); n != 0 {
		t.Errorf("a quiet client leased %d jobs, want none", n)
	}
	if status, a := call(t, base+path+"/ack", token); status != 200 {
		t.Errorf("ack of a quiet client = %d %v, want it taken", status, a)
	}
	devtest.Until(t, patience, "another client to get the job", func() (bool, error) { return ask("v") == 1, nil })
	quieten(false)
	if status, a := call(t, base+"/v1/jobs", map[string]any{"queue_name": "pull", "kind": "k", "payload": map[string]int{"n": 1}}); status != 201 {
		t.Fatalf("insert = %d %v", status, a)
	}
	devtest.Until(t, patience, "it to lease again", func() (bool, error) { return ask("w") == 1, nil })
}

// The answers about leases are what the document says; TestAPI_AnswersAsItsDocumentSays
// has all others.
func TestPull_AnswersAsItsDocumentSays(t *testing.T) {
	t.Parallel()
	base, _ := pullServer(t, rookery.Config{DatabaseURL: devtest.Postgres(t), RedisURL: devtest.Redis(t)})
	to, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	c := clientOf(t, httputil.NewSingleHostReverseProxy(to))
	const pattern, nack = "/v1/leases/{id}/", `"error":{"type":"E","message":"m"},"retry_in":"1h"`
	for _, end := range []struct{ operation, verb, more string }{{"ackLease", "ack", ""}, {"nackLease", "nack", "," + nack}, {"releaseLease", "release", ""}} {
		_, path, key := lease(t, base)
		id, token := strings.TrimPrefix(path, "/v1/leases/"), fmt.Sprintf(`"lease_token":%q`, key["lease_token"])
		c.call("extendLease", "POST", pattern+"extend", path+"/extend", `{`+token+`,"lease":"1m"}`, 200)
		c.call("beatLeases", "POST", "/v1/workers/{id}/heartbeat", "/v1/workers/w/heartbeat", `{"leases":[{"lease_id":"`+id+`",`+token+`}]}`, 200)
		c.call(end.operation, "POST", pattern+end.verb, path+"/"+end.verb, `{`+token+end.more+`}`, 200)
		c.call("extendLease", "POST", pattern+"extend", path+"/extend", `{`+token+`}`, 409)
	}
	// What was released.
	text := c.call("leaseJobs", "POST", "/v1/queues/{name}/lease", "/v1/queues/pull/lease", `{"worker_id":"w","wait":"30s"}`, 200)
	var got struct {
		Jobs []struct {
			ID    string `json:"lease_id"`
			Token string `json:"lease_token"`
		}
	}
	if err := json.Unmarshal(text, &got); err != nil || len(got.Jobs) != 1 {
		t.Fatalf("leased %s, %v, want a job", text, err)
	}
	op := fmt.Sprintf(`{"op":"ack","lease_id":%q,"lease_token":%q}`, got.Jobs[0].ID, got.Jobs[0].Token)
	c.call("settleLeases", "POST", "/v1/leases/batch", "/v1/leases/batch", `{"ops":[`+op+`,{"op":"ack","lease_id":"x","lease_token":"t"}]}`, 200)
}
