package rookery_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
)

// promised is what a receiver that will call back has got.
type promised struct {
	Job      struct{ ID int64 }
	Callback struct{ URL, Token string }
}

// calledBack runs a server that pushes queue "push" to a receiver that answers 202, and
// returns how to get a job to it, and what comes then.
func calledBack(t *testing.T, c rookery.Config) (base string, next, arrives func() promised) {
	t.Helper()
	got := make(chan promised, 10)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var p promised
		if err := json.Unmarshal(body, &p); err != nil {
			t.Error(err)
		}
		w.Header().Set("Rookery-Async", "true")
		w.WriteHeader(http.StatusAccepted)
		got <- p
	}))
	t.Cleanup(hook.Close)
	c.Push = rookery.Push{AllowHTTP: true, Ports: []uint16{netip.MustParseAddrPort(strings.TrimPrefix(hook.URL, "http://")).Port()}, Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	base, _ = pullServer(t, c)
	c.Push.CallbackURL = base
	svc, err := rookery.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	p, err := svc.Push()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- p.Run(t.Context()) }()
	t.Cleanup(func() {
		if err := <-ended; err != nil {
			t.Error(err)
		}
		_ = svc.Close()
	})
	if _, _, err := rookery.SetEndpoint(t.Context(), c, job.Endpoint{QueueName: "push", URL: hook.URL}); err != nil {
		t.Fatal(err)
	}
	arrives = func() promised {
		t.Helper()
		select {
		case p := <-got:
			return p
		case <-time.After(patience):
			t.Fatal("the job does not arrive")
			return promised{}
		}
	}
	return base, func() promised {
		t.Helper()
		if status, a := call(t, base+"/v1/jobs", map[string]any{"queue_name": "push", "kind": "k", "max_attempts": 5}); status != 201 {
			t.Fatalf("insert = %d %v", status, a)
		}
		return arrives()
	}, arrives
}

// callBack tells the API at base about p.
func callBack(t *testing.T, base, verb string, p promised, body string) (status int, answer map[string]any) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/v1/callback/"+verb, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+p.Callback.Token)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return resp.StatusCode, answer
}

// Any server takes what a receiver says later, once, under the attempt's fence.
func TestCallback_TwoServers(t *testing.T) {
	t.Parallel()
	c := rookery.Config{DatabaseURL: devtest.Postgres(t), RedisURL: devtest.Redis(t)}
	one, next, arrives := calledBack(t, c)
	two, _ := pullServer(t, c)
	want := func(base, verb string, p promised, body string, status int, field, value string) {
		t.Helper()
		if got, a := callBack(t, base, verb, p, body); got != status || a[field] != value {
			t.Errorf("%s = %d %v, want %d with %s %s", verb, got, a, status, field, value)
		}
	}
	const failed = `{"error":{"type":"E","message":"no"},"retry_in":"1h"}`

	p := next()
	if p.Callback.URL != one+"/v1/callback" {
		t.Errorf("the receiver is to call %s, want %s", p.Callback.URL, one)
	}
	if status, a := callBack(t, two, "extend", p, `{"lease":"1m"}`); status != 200 || a["lease_expires_at"] == nil {
		t.Errorf("extend = %d %v", status, a)
	}
	want(two, "complete", p, "", 200, "status", "completed")
	want(one, "complete", p, "{}", 200, "status", "completed") // sent again
	want(one, "fail", p, failed, 409, "code", "lease_lost")
	want(one, "extend", p, `{"lease":"1m"}`, 409, "code", "lease_lost")

	p = next()
	want(one, "fail", p, failed, 200, "status", "queued")
	want(two, "fail", p, failed, 200, "status", "queued") // sent again
	want(two, "fail", p, `{"error":{"message":"never"},"dead":true}`, 409, "code", "lease_lost")
	want(two, "complete", p, "", 409, "code", "lease_lost")
	if status, a := get(t, fmt.Sprintf("%s/v1/jobs/%d", one, p.Job.ID)); status != 200 || a["failure_count"] != 1.0 || a["last_error"] != "E: no" {
		t.Errorf("the job is %v, want one failure", a)
	}

	p = next()
	want(two, "fail", p, `{"error":{"message":"again"},"retry_in":"0s"}`, 200, "status", "queued")
	again := arrives()
	if again.Job.ID != p.Job.ID || again.Callback.Token == p.Callback.Token {
		t.Fatalf("job %d arrives after %d, with another token %t", again.Job.ID, p.Job.ID, again.Callback.Token != p.Callback.Token)
	}
	want(one, "extend", p, `{"lease":"1m"}`, 409, "code", "lease_lost")
	want(one, "complete", p, "", 409, "code", "lease_lost") // of an attempt before
	want(one, "fail", p, failed, 200, "status", "queued")   // sent again, when the job has gone on
	want(one, "complete", again, "", 200, "status", "completed")
	want(two, "fail", p, failed, 200, "status", "queued")
	want(two, "fail", again, failed, 409, "code", "lease_lost")

	p = next()
	want(two, "fail", p, `{"error":{"message":"never"},"dead":true}`, 200, "status", "dead")
	want(one, "fail", p, `{"error":{"message":"never"},"dead":true}`, 200, "status", "dead") // sent again
	want(one, "fail", p, failed, 409, "code", "lease_lost")

	p = next()
	if status, _ := call(t, fmt.Sprintf("%s/v1/jobs/%d/cancel", one, p.Job.ID), struct{}{}); status != 200 {
		t.Errorf("cancel = %d", status)
	}
	want(two, "complete", p, "", 409, "code", "lease_lost")
	want(two, "fail", p, failed, 409, "code", "lease_lost")

	forged := p
	forged.Callback.Token = "B" + p.Callback.Token[1:]
	want(one, "complete", forged, "", 401, "code", "unauthorized")
}

func get(t *testing.T, url string) (status int, answer map[string]any) {
	t.Helper()
	resp, err := http.Get(url) //nolint:noctx // a test's
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, answer
}

// The answers to callbacks are what the document says.
func TestCallback_AnswersAsItsDocumentSays(t *testing.T) {
	t.Parallel()
	base, next, _ := calledBack(t, rookery.Config{DatabaseURL: devtest.Postgres(t), RedisURL: devtest.Redis(t)})
	to, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	token := ""
	proxy := httputil.NewSingleHostReverseProxy(to)
	c := clientOf(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v1/callback") {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		proxy.ServeHTTP(w, r)
	}))
	const at = "/v1/callback/"
	c.call("completeCallback", "POST", at+"complete", at+"complete", "", 401)
	for _, end := range []struct{ operation, verb, body string }{{"completeCallback", "complete", "{}"}, {"failCallback", "fail", `{"error":{"message":"m"}}`}} {
		token = next().Callback.Token
		c.call("extendCallback", "POST", at+"extend", at+"extend", `{"lease":"10s"}`, 200)
		c.call("extendCallback", "POST", at+"extend", at+"extend", `{"lease":"1s"}`, 422)
		c.call(end.operation, "POST", at+end.verb, at+end.verb, end.body, 200)
		c.call("extendCallback", "POST", at+"extend", at+"extend", `{"lease":"10s"}`, 409)
	}
}
