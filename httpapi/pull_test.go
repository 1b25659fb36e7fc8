package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/penguinmails/rookery/job"
)

// fakePull answers with what it is told to, and keeps what it was asked.
type fakePull struct {
	err    error
	asked  []job.LeaseRequest
	ops    []job.LeaseOp
	beaten []job.LeaseKey
	by     job.Caller
}

func (f *fakePull) Run(ctx context.Context) error { <-ctx.Done(); return nil }

func (f *fakePull) Lease(_ context.Context, r job.LeaseRequest) ([]job.LeasedJob, error) {
	f.asked = append(f.asked, r)
	if f.err != nil {
		return nil, f.err
	}
	return []job.LeasedJob{{ID: 1, QueueName: r.QueueName, Payload: json.RawMessage(`{"a":1}`), LeaseID: leaseOf(r.QueueName), LeaseToken: "t"}}, nil
}

func (f *fakePull) Settle(_ context.Context, op job.LeaseOp) (job.LeaseResult, error) {
	f.ops = append(f.ops, op)
	return job.LeaseResult{Status: job.Completed}, f.err
}

func (f *fakePull) Beat(_ context.Context, by job.Caller, leases []job.LeaseKey) (job.LeaseReport, error) {
	f.beaten, f.by = leases, by
	return job.LeaseReport{Quiet: true, Cancelled: []string{}, Lost: []string{}, Elsewhere: []string{}}, f.err
}

func leaseOf(queue string) string {
	return job.LeaseName{QueueName: queue, Ref: job.Ref{ID: 1, DispatchID: 2}, Length: job.MinLeaseTime}.ID()
}

func TestPull_ReadsRequests(t *testing.T) {
	t.Parallel()
	f, id := &fakePull{}, leaseOf("q")
	s := newServer(t, &fakeJobs{}, Options{Pull: f})
	for _, c := range []struct{ path, body, want string }{
		{"/v1/queues/q/lease", `{"worker_id":"w","max":7,"wait":"20s","lease":"1m"}`, `{"jobs":[{"id":1`},
		{"/v1/queues/q/lease", `{"worker_id":"w"}`, `{"jobs":[{"id":1`},
		{"/v1/leases/" + id + "/ack", `{"lease_token":"t"}`, `{"status":"completed"}`},
		{"/v1/leases/" + id + "/nack", `{"lease_token":"t","error":{"type":"E","message":"m"},"retry_in":"5s","dead":false}`, `{"status":"completed"}`},
		{"/v1/leases/" + id + "/extend", `{"lease_token":"t","lease":"30s"}`, `{"status":"completed"}`},
		{"/v1/leases/" + id + "/release", `{"lease_token":"t"}`, `{"status":"completed"}`},
		{"/v1/leases/batch", `{"ops":[{"op":"ack","lease_id":"` + id + `","lease_token":"t"},{"op":"ack","lease_id":"x","lease_token":"t"}]}`, `{"results":[{"lease_id":"` + id + `","status":"completed"},{"lease_id":"x","code":"lease_not_found"`},
		{"/v1/workers/w%201/heartbeat", `{"leases":[{"lease_id":"` + id + `","lease_token":"t"}]}`, `{"cancelled":[],"lost":[],"quiet":true,"elsewhere":[]}`},
	} {
		if w := post(s, c.path, c.body); w.Code != http.StatusOK || !strings.HasPrefix(w.Body.String(), c.want) {
			t.Errorf("POST %s %s = %d %s, want 200 %s", c.path, c.body, w.Code, w.Body, c.want)
		}
	}
	wait, caller := 5*time.Second, job.Caller{WorkerID: "w", Principal: "local", Address: "192.0.2.1"}
	key := job.LeaseKey{ID: id, Token: "t"}
	if diff := cmp.Diff([]job.LeaseRequest{{QueueName: "q", Caller: caller, Max: 7, Wait: 20 * time.Second, Lease: time.Minute}, {QueueName: "q", Caller: caller, Max: 1, Lease: 20 * time.Second}}, f.asked); diff != "" {
		t.Errorf("asked for (-want +got):\n%s", diff)
	}
	ops := []job.LeaseOp{{Verb: job.LeaseAck, LeaseKey: key}, {Verb: job.LeaseNack, LeaseKey: key, Error: "E: m", RetryIn: &wait}, {Verb: job.LeaseExtend, LeaseKey: key, Lease: 30 * time.Second}, {Verb: job.LeaseRelease, LeaseKey: key}, {Verb: job.LeaseAck, LeaseKey: key}}
	if diff := cmp.Diff(ops, f.ops); diff != "" {
		t.Errorf("settled (-want +got):\n%s", diff)
	}
	if want := (job.Caller{WorkerID: "w 1", Principal: caller.Principal, Address: caller.Address}); f.by != want {
		t.Errorf("beaten by %+v, want %+v", f.by, want)
	}
	if diff := cmp.Diff([]job.LeaseKey{key}, f.beaten); diff != "" {
		t.Errorf("beaten (-want +got):\n%s", diff)
	}
}

func TestPull_RefusesBadInput(t *testing.T) {
	t.Parallel()
	id := leaseOf("q")
	s := newServer(t, &fakeJobs{}, Options{Pull: &fakePull{}})
	many := strings.Repeat(`{"op":"ack","lease_id":"x","lease_token":"t"},`, 500) + `{"op":"ack","lease_id":"x","lease_token":"t"}`
	for _, c := range []struct {
		path, body string
		status     int
		want       string
	}{
		{"/v1/queues/q/lease", `{}`, 422, `worker_id is missing`},
		{"/v1/queues/q/lease", `{"worker_id":""}`, 422, `worker_id must be 1 to 200 bytes`},
		{"/v1/queues/q/lease", `{"worker_id":"w","max":0}`, 422, `max is 0, must be 1 to 100`},
		{"/v1/queues/q/lease", `{"worker_id":"w","max":101}`, 422, `max is 101, must be 1 to 100`},
		{"/v1/queues/q/lease", `{"worker_id":"w","wait":"31s"}`, 422, `wait is 31s, must be 0s to 30s`},
		{"/v1/queues/q/lease", `{"worker_id":"w","lease":"9s"}`, 422, `lease is 9s, must be 10s to 1h0m0s`},
		{"/v1/queues/q/lease", `{"worker_id":"w","lease":30}`, 422, `lease must be a string, is a number`},
		{"/v1/queues/q/lease", `{"worker_id":"w","wait":"soon"}`, 422, `wait must be a duration such as 30s`},
		{"/v1/queues/q/lease", `{"worker_id":"w","kinds":[]}`, 422, `kinds is not a field of a lease`},
		{"/v1/queues/a%2Fb/lease", `{"worker_id":"w"}`, 400, `name must be a queue's`},
		{"/v1/leases/x/ack", `{"lease_token":"t"}`, 404, `lease_not_found`},
		{"/v1/leases/" + id + "/ack", `{}`, 422, `lease_token is missing`},
		{"/v1/leases/" + id + "/ack", `{"lease_token":"t","lease":"10s"}`, 422, `lease is not a field of an ack`},
		{"/v1/leases/" + id + "/nack", `{"lease_token":"t"}`, 422, `error is missing`},
		{"/v1/leases/" + id + "/nack", `{"lease_token":"t","error":"no"}`, 422, `error must be an object with message and, if wanted, type, both strings"`},
		{"/v1/leases/" + id + "/nack", `{"lease_token":"t","error":{"message":1}}`, 422, `both strings: message must be a string, is a number`},
		{"/v1/leases/" + id + "/nack", `{"lease_token":"t","error":{"message":"m"},"retry_in":"-1s"}`, 422, `retry_in is -1s, must be 0s to 8760h0m0s`},
		{"/v1/leases/" + id + "/nack", `{"lease_token":"t","error":{"message":"m"},"dead":1}`, 422, `dead must be true or false`},
		{"/v1/leases/" + id + "/ack", fmt.Sprintf(`{"lease_token":%q}`, strings.Repeat("t", 101)), 422, `lease_token has 101 bytes`},
		{"/v1/leases/batch", `{"ops":[` + many + `]}`, 422, `ops has 501 entries, must have at most 500`},
		{"/v1/leases/batch", `{"ops":[{"op":"eat","lease_id":"x","lease_token":"t"}]}`, 422, `op must be ack, nack, extend or release`},
		{"/v1/leases/batch", `{"ops":[{"op":"nack","lease_id":"x","lease_token":"t"}]}`, 422, `error is missing`},
		{"/v1/leases/batch", `{}`, 422, `ops is missing`},
		{"/v1/workers/w/heartbeat", `{"leases":[{"lease_id":"x"}]}`, 422, `lease_token is missing`},
	} {
		if w := post(s, c.path, c.body); w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("POST %s %.100s = %d %s, want %d %s", c.path, c.body, w.Code, w.Body, c.status, c.want)
		}
	}
}

func TestPull_ErrorsAreProblems(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err    error
		status int
		code   string
	}{
		{job.ErrLeaseLost, 409, codeLeaseLost}, {job.ErrLeaseElsewhere, 409, codeLeaseElsewhere}, {job.ErrLeaseUnknown, 404, codeLeaseNotFound},
		{job.ErrTooManyWaiters, 429, codeTooManyWaiters}, {job.ErrTooManyLeases, 429, codeTooManyLeases}, {job.ErrTooManyQueues, 429, codeTooManyQueues},
		{job.ErrUnavailable, 503, codeUnavailable}, {job.ErrNotRun, 503, codeNotRun},
	} {
		s := newServer(t, &fakeJobs{}, Options{Pull: &fakePull{err: fmt.Errorf("settle: %w", c.err)}})
		for path, body := range map[string]string{"/v1/leases/" + leaseOf("q") + "/ack": `{"lease_token":"t"}`, "/v1/queues/q/lease": `{"worker_id":"w"}`} {
			w := post(s, path, body)
			if w.Code != c.status || !strings.Contains(w.Body.String(), `"`+c.code+`"`) || (w.Header().Get("Retry-After") != "") != (c.status == 429 || c.status == 503) {
				t.Errorf("POST %s with %v = %d %s, want %d %s", path, c.err, w.Code, w.Body, c.status, c.code)
			}
		}
	}
}

// A key for some queues neither leases from another nor learns of its leases.
func TestPull_KeysOfSomeQueues(t *testing.T) {
	t.Parallel()
	f, keys := &fakePull{}, &fakeKeys{}
	s := newServer(t, &fakeJobs{}, Options{RequireKey: true, KeyStore: keys, Pull: f})
	key, _ := keys.give([]job.Scope{job.ScopeWorker}, "mine")
	mine, other := leaseOf("mine"), leaseOf("other")
	for _, c := range []struct {
		path, body string
		status     int
		want       string
	}{
		{"/v1/queues/mine/lease", `{"worker_id":"w"}`, 200, `"jobs"`},
		{"/v1/queues/other/lease", `{"worker_id":"w"}`, 403, `forbidden`},
		{"/v1/leases/" + mine + "/ack", `{"lease_token":"t"}`, 200, `completed`},
		{"/v1/leases/" + other + "/ack", `{"lease_token":"t"}`, 404, `lease_not_found`},
		{"/v1/leases/batch", `{"ops":[{"op":"ack","lease_id":"` + other + `","lease_token":"t"}]}`, 200, `lease_not_found`},
		{"/v1/workers/w/heartbeat", `{"leases":[{"lease_id":"` + other + `","lease_token":"t"},{"lease_id":"` + mine + `","lease_token":"t"}]}`, 200, `"lost":["` + other + `"]`},
	} {
		if w := asKey(s, key, http.MethodPost, c.path, c.body); w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("POST %s = %d %s, want %d %s", c.path, w.Code, w.Body, c.status, c.want)
		}
	}
	for _, op := range f.ops {
		if op.ID == other {
			t.Errorf("%s of another's lease went through", op.Verb)
		}
	}
	if len(f.beaten) != 1 || len(f.asked) != 1 {
		t.Errorf("beaten %v, asked %v, want the key's own queue alone", f.beaten, f.asked)
	}
}
