package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/penguinmails/rookery/job"
)

const goodToken, otherToken = "good", "other"

// fakeCallbacks knows one token, and keeps what it was told.
type fakeCallbacks struct {
	err error
	ops []job.LeaseOp
}

var anAttempt = job.Callback{QueueName: "q", Ref: job.Ref{ID: 1, DispatchID: 2}, AttemptCount: 3}

func (f *fakeCallbacks) Open(_ context.Context, token string) (job.Callback, error) {
	switch token {
	case goodToken:
		return anAttempt, nil
	case otherToken:
		return job.Callback{QueueName: "q", Ref: job.Ref{ID: 1, DispatchID: 3}, AttemptCount: 4}, nil
	}
	return job.Callback{}, fmt.Errorf("open: %w", job.ErrCallbackToken)
}

func (f *fakeCallbacks) Settle(_ context.Context, c job.Callback, op job.LeaseOp) (job.LeaseResult, error) {
	if c != anAttempt && c.Ref.DispatchID != 3 {
		return job.LeaseResult{}, fmt.Errorf("settles %+v", c)
	}
	f.ops = append(f.ops, op)
	return job.LeaseResult{Status: job.Completed}, f.err
}

func callBack(s *Server, verb, authorization, body string) *httptest.ResponseRecorder {
	r := newRequestTo(http.MethodPost, "/v1/callback/"+verb, body)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	return do(s, r)
}

func TestCallback_ReadsRequests(t *testing.T) {
	t.Parallel()
	f := &fakeCallbacks{}
	s := newServer(t, &fakeJobs{}, Options{RequireKey: true, KeyStore: &fakeKeys{}, Callbacks: f})
	for _, c := range []struct {
		verb, body string
		status     int
		want       string
	}{
		{"complete", ``, 200, `{"status":"completed"}`},
		{"complete", `{}`, 200, `{"status":"completed"}`},
		{"fail", `{"error":{"type":"E","message":"m"},"retry_in":"5s"}`, 200, `{"status":"completed"}`},
		{"fail", `{"error":{"message":"m"},"dead":true}`, 200, `{"status":"completed"}`},
		{"extend", `{"lease":"30s"}`, 200, `{"status":"completed"}`},

		{"complete", `{"lease_token":"t"}`, 422, `lease_token is not a field of this callback`},
		{"complete", `{"result":1}`, 422, `result is not a field of this callback`},
		{"complete", `{`, 400, `json`},
		{"fail", `{}`, 422, `error is missing`},
		{"fail", ``, 400, `missing_body`},
		{"fail", `{"error":"m"}`, 422, `error must be an object with message`},
		{"fail", `{"error":{"message":"m"},"retry_in":"8761h"}`, 422, `retry_in is 8761h0m0s, must be 0s to 8760h0m0s`},
		{"extend", `{}`, 422, `lease is missing`},
		{"extend", `{"lease":"9s"}`, 422, `lease is 9s, must be 10s to 1h0m0s`},
		{"extend", `{"lease":"61m"}`, 422, `must be 10s to 1h0m0s`},
		{"fail", `{"error":{"message":"` + strings.Repeat("m", maxCallbackBody) + `"}}`, 413, `65536`},
		{"complete?x=1", ``, 400, `x is not a parameter`},
	} {
		if w := callBack(s, c.verb, "Bearer "+goodToken, c.body); w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("POST %s %.60s = %d %s, want %d %s", c.verb, c.body, w.Code, w.Body, c.status, c.want)
		}
	}
	wait := 5 * time.Second
	want := []job.LeaseOp{{Verb: job.LeaseAck}, {Verb: job.LeaseAck}, {Verb: job.LeaseNack, Error: "E: m", RetryIn: &wait}, {Verb: job.LeaseNack, Error: "m", Dead: true}, {Verb: job.LeaseExtend, Lease: 30 * time.Second}}
	if diff := cmp.Diff(want, f.ops); diff != "" {
		t.Errorf("settled (-want +got):\n%s", diff)
	}
}

// A token is all that counts: no key opens these routes, and a stranger's body is not read.
func TestCallback_TakesATokenAndNoKey(t *testing.T) {
	t.Parallel()
	f, keys := &fakeCallbacks{}, &fakeKeys{}
	s := newServer(t, &fakeJobs{}, Options{RequireKey: true, KeyStore: keys, Callbacks: f})
	key, _ := keys.give(job.Scopes())
	for _, authorization := range []string{"", "Bearer", "Bearer ", "Bearer " + key, "Basic " + goodToken, goodToken, "Bearer bad"} {
		for _, verb := range []string{"complete", "fail", "extend"} {
			w := callBack(s, verb, authorization, "not json")
			if wantProblem(t, w, http.StatusUnauthorized, codeUnauthorized); !strings.Contains(w.Header().Get("WWW-Authenticate"), "Bearer") {
				t.Errorf("%s with %q: WWW-Authenticate is %q", verb, authorization, w.Header().Get("WWW-Authenticate"))
			}
		}
	}
	r := newRequestTo(http.MethodPost, "/v1/callback/complete", "")
	r.Header["Authorization"] = []string{"Bearer " + goodToken, "Bearer " + goodToken}
	wantProblem(t, do(s, r), http.StatusUnauthorized, codeUnauthorized)
	if len(f.ops) > 0 {
		t.Errorf("settled %+v without a token", f.ops)
	}
	wantProblem(t, callBack(newServer(t, &fakeJobs{}, Options{ReadOnly: true, Callbacks: f}), "complete", "Bearer "+goodToken, ""), http.StatusForbidden, codeReadOnly)
}

func TestCallback_ErrorsAreProblems(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err    error
		status int
		code   string
	}{{job.ErrLeaseLost, 409, codeLeaseLost}, {job.ErrUnavailable, 503, codeUnavailable}} {
		s := newServer(t, &fakeJobs{}, Options{Callbacks: &fakeCallbacks{err: fmt.Errorf("settle: %w", c.err)}})
		wantProblem(t, callBack(s, "complete", "Bearer "+goodToken, ""), c.status, c.code)
	}
}

// Whoever has a token may say so much about its attempt, and takes nothing from others.
func TestCallback_HasARateOfItsAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fakeCallbacks{}
		s := newServer(t, &fakeJobs{}, Options{Callbacks: f})
		const flood = 1000
		refused := 0
		for range flood {
			w := callBack(s, "extend", "Bearer "+goodToken, `{"lease":"30s"}`)
			switch w.Code {
			case http.StatusOK:
			case http.StatusTooManyRequests:
				if refused++; w.Header().Get("Retry-After") != "1" {
					t.Fatalf("Retry-After = %q, want 1", w.Header().Get("Retry-After"))
				}
				wantProblem(t, w, http.StatusTooManyRequests, codeRateLimited)
			default:
				t.Fatalf("extend = %d %s", w.Code, w.Body)
			}
		}
		if len(f.ops) != callbackBurst || refused != flood-callbackBurst {
			t.Errorf("%d of %d were let through, %d refused, want %d and the rest", len(f.ops), flood, refused, callbackBurst)
		}
		if w := callBack(s, "complete", "Bearer "+otherToken, ""); w.Code != http.StatusOK {
			t.Errorf("complete of another attempt = %d, want 200", w.Code)
		}
		wantProblem(t, callBack(s, "extend", "Bearer bad", `{"lease":"30s"}`), http.StatusUnauthorized, codeUnauthorized)
	})
}
