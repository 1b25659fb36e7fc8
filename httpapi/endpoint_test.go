package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/penguinmails/rookery/job"
)

// fakeEndpoints keeps endpoints in memory, and notes who changed them.
type fakeEndpoints struct {
	mu    sync.Mutex
	known map[string]job.Endpoint
	calls []string
	err   error
}

const fakeSecret = "whsec_canary"

func (f *fakeEndpoints) SetEndpoint(_ context.Context, by job.Actor, e job.Endpoint) (job.Endpoint, string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e = e.Filled()
	if err := e.Check(); err != nil {
		return e, "", fmt.Errorf("set endpoint: %w", err)
	}
	_, there := f.known[e.QueueName]
	if f.known == nil {
		f.known = map[string]job.Endpoint{}
	}
	f.known[e.QueueName] = e
	f.calls = append(f.calls, by.Principal+" sets "+e.QueueName)
	if there {
		return e, "", f.err
	}
	return e, fakeSecret, f.err
}

func (f *fakeEndpoints) Endpoint(_ context.Context, queue string) (job.Endpoint, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e, there := f.known[queue]
	if !there {
		return e, job.ErrNotFound
	}
	e.Secrets = []string{fakeSecret}
	return e, f.err
}

func (f *fakeEndpoints) RotateEndpoint(ctx context.Context, by job.Actor, queue string, keep time.Duration) (string, error) {
	if _, err := f.Endpoint(ctx, queue); err != nil {
		return "", err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, fmt.Sprintf("%s rotates %s and keeps %s", by.Principal, queue, keep))
	return fakeSecret, nil
}

func (f *fakeEndpoints) DeleteEndpoint(_ context.Context, by job.Actor, queue string) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, there := f.known[queue]
	delete(f.known, queue)
	f.calls = append(f.calls, by.Principal+" deletes "+queue)
	return there, f.err
}

func (f *fakeEndpoints) TestEndpoint(ctx context.Context, by job.Actor, queue string) (job.EndpointTest, error) {
	_, err := f.Endpoint(ctx, queue)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, by.Principal+" tries "+queue)
	return job.EndpointTest{Status: 403, TookMS: 7, Problem: "receiver answered 403 Forbidden"}, err
}

// put sends a body to the endpoint of a queue, as key unless that is "".
func put(s *Server, key, queue, body string) *httptest.ResponseRecorder {
	r := newRequestTo(http.MethodPut, "/v1/queues/"+queue+"/endpoint", body)
	r.Header.Set("Content-Type", "application/json")
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	return do(s, r)
}

func TestEndpoint_OnItsWay(t *testing.T) {
	t.Parallel()
	f := &fakeEndpoints{}
	s := newServer(t, &fakeJobs{}, Options{Endpoints: f})
	const at = "/v1/queues/mail:out/endpoint"
	made := decodeInto[map[string]any](t, put(s, "", "mail:out", `{"url":"https://a.example/x","rate_per_second":2.5}`), http.StatusCreated)
	if made["secret"] != fakeSecret || made["queue_name"] != "mail:out" || made["timeout_ms"] != 30000.0 || made["max_in_flight"] != 10.0 || made["rate_per_second"] != 2.5 || made["disabled_at"] != nil {
		t.Errorf("PUT = %v, want it with its secret and defaults", made)
	}
	for _, w := range []*httptest.ResponseRecorder{put(s, "", "mail:out", `{"url":"https://b.example","timeout_ms":1000,"max_in_flight":1}`), get(s, at)} {
		again := decodeInto[map[string]any](t, w, http.StatusOK)
		if again["url"] != "https://b.example" || again["max_in_flight"] != 1.0 || strings.Contains(w.Body.String(), "canary") {
			t.Errorf("answer = %s, want what was set and no secret", w.Body)
		}
	}
	if rotated := decodeInto[map[string]any](t, post(s, at+"/rotate?keep_old_seconds=0", ""), http.StatusOK); rotated["secret"] != fakeSecret {
		t.Errorf("rotate = %v, want a secret", rotated)
	}
	decodeInto[map[string]any](t, post(s, at+"/rotate", "{}"), http.StatusOK)
	if came := decodeInto[map[string]any](t, post(s, at+"/test", ""), http.StatusOK); came["delivered"] != false || came["status"] != 403.0 || came["problem"] == "" {
		t.Errorf("test = %v, want what came of it", came)
	}
	if w := do(s, newRequestTo(http.MethodDelete, at, "")); w.Code != http.StatusNoContent {
		t.Errorf("DELETE = %d %s, want 204", w.Code, w.Body)
	}
	for _, w := range []*httptest.ResponseRecorder{get(s, at), do(s, newRequestTo(http.MethodDelete, at, "")), post(s, at+"/test", ""), post(s, at+"/rotate", "")} {
		wantProblem(t, w, http.StatusNotFound, codeEndpointNotFound)
	}
	want := "[local sets mail:out local sets mail:out local rotates mail:out and keeps 0s local rotates mail:out and keeps 24h0m0s local tries mail:out local deletes mail:out local deletes mail:out local tries mail:out]"
	if got := fmt.Sprint(f.calls); got != want {
		t.Errorf("calls = %s\nwant    %s", got, want)
	}
}

func TestEndpoint_Refused(t *testing.T) {
	t.Parallel()
	f := &fakeEndpoints{}
	s := newServer(t, &fakeJobs{}, Options{Endpoints: f})
	for _, tt := range []struct{ body, field, code string }{
		{`[]`, "", faultType},
		{`{}`, "url", faultRequired},
		{`{"url":null}`, "url", faultNull},
		{`{"url":1}`, "url", faultType},
		{`{"url":"ftp://a.example"}`, "url", faultInvalid},
		{`{"url":"https://user:canary@a.example"}`, "url", faultInvalid},
		{`{"url":"https://a.example","timeout_ms":999}`, "timeout_ms", faultRange},
		{`{"url":"https://a.example","timeout_ms":1e4}`, "timeout_ms", faultType},
		{`{"url":"https://a.example","max_in_flight":0}`, "max_in_flight", faultRange},
		{`{"url":"https://a.example","rate_per_second":"1"}`, "rate_per_second", faultType},
		{`{"url":"https://a.example","rate_per_second":-1}`, "rate_per_second", faultInvalid},
		{`{"url":"https://a.example","rate_per_second":1e999}`, "rate_per_second", faultRange},
		{`{"url":"https://a.example","url":"https://b.example"}`, "url", faultDuplicate},
		{`{"url":"https://a.example","secret":"x"}`, "secret", faultUnknown},
	} {
		w := put(s, "", "mail", tt.body)
		p := wantProblem(t, w, 422, codeInvalidEndpoint)
		if len(p.Errors) == 0 || p.Errors[0].Field != tt.field || p.Errors[0].Code != tt.code || strings.Contains(w.Body.String(), "canary") {
			t.Errorf("PUT %s: %s, want %s of %q", tt.body, w.Body, tt.code, tt.field)
		}
	}
	for _, target := range []string{"/v1/queues/a%7Bb/endpoint", "/v1/queues/mail/endpoint?x=1"} {
		wantProblem(t, get(s, target), 400, codeInvalidParameter)
	}
	for _, query := range []string{"-1", "604801", "1.5", "", "1&keep_old_seconds=2"} {
		wantProblem(t, post(s, "/v1/queues/mail/endpoint/rotate?keep_old_seconds="+query, ""), 400, codeInvalidParameter)
	}
	if len(f.calls) != 0 {
		t.Errorf("refused requests have changed something: %q", f.calls)
	}
	f.err = job.ErrUnavailable
	wantProblem(t, put(s, "", "mail", `{"url":"https://a.example"}`), 503, codeUnavailable)
}

// A key that is for some queues changes the endpoints of these alone.
func TestEndpoint_KeysOfSomeQueues(t *testing.T) {
	t.Parallel()
	keys, f := &fakeKeys{}, &fakeEndpoints{}
	s := newServer(t, &fakeJobs{}, Options{RequireKey: true, KeyStore: keys, Endpoints: f})
	key, _ := keys.give([]job.Scope{job.ScopeQueuesAdmin}, "mail.*")
	if w := put(s, key, "mail.out", `{"url":"https://a.example"}`); w.Code != http.StatusCreated {
		t.Errorf("PUT of its own queue = %d %s, want 201", w.Code, w.Body)
	}
	const bills = "/v1/queues/bills/endpoint"
	for _, w := range []*httptest.ResponseRecorder{
		put(s, key, "bills", `{"url":"https://a.example"}`), asKey(s, key, "GET", bills, ""), asKey(s, key, "DELETE", bills, ""),
		asKey(s, key, "POST", bills+"/test", ""), asKey(s, key, "POST", bills+"/rotate", ""),
	} {
		wantProblem(t, w, http.StatusForbidden, codeForbidden)
	}
	if len(f.calls) != 1 {
		t.Errorf("calls = %q, want one", f.calls)
	}
	reader := newServer(t, &fakeJobs{}, Options{Endpoints: f, ReadOnly: true})
	wantProblem(t, post(reader, bills+"/test", ""), 403, codeReadOnly)
	wantProblem(t, put(reader, "", "bills", `{}`), 403, codeReadOnly)
}
