package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/penguinmails/rookery/job"
)

// everything returns options with which every route is there.
func everything(f *fakeKeys) Options {
	return Options{RequireKey: true, KeyStore: f, KeyAdmin: &fakeKeyAdmin{}, Audit: &fakeAudit{}, Spool: &fakeSpool{}, Keyed: &fakeKeyed{}, Endpoints: &fakeEndpoints{}, Events: &fakeEvents{}, Callbacks: &fakeCallbacks{}, Pull: &fakePull{}, Admin: &Admin{Look: &fakeAdmin{}, As: (&fakeAdmin{}).as}, Workers: &fakeWorkers{}, Bulk: &Bulk{&fakeBulk{}, &fakeBulk{}, &fakeBulk{}}, UI: func(*Door) (UI, error) { return &fakeUI{}, nil }}
}

// asKey makes a request with a key.
func asKey(s *Server, key, method, target, body string) *httptest.ResponseRecorder {
	r := newRequestTo(method, target, body)
	r.Header.Set("Authorization", "Bearer "+key)
	return do(s, r)
}

// TestRoutes_EachHasItsScope walks the router: a route that routeAccess does not have,
// and a line of it that is no route, fail. Then each route is tried without a key, and
// with a key that has every scope but the route's.
func TestRoutes_EachHasItsScope(t *testing.T) {
	t.Parallel()
	f := &fakeKeys{}
	s := newServer(t, &fakeJobs{}, everything(f))
	router, ok := s.Handler().(*echo.Echo)
	if !ok {
		t.Fatalf("the handler is a %T", s.Handler())
	}
	table, there := routeAccess(), map[route]bool{}
	for _, r := range router.Routes() {
		at := asGet(r.Method, r.Path)
		a, listed := table[at]
		if there[at] = true; !listed {
			t.Errorf("%s %s is not in routeAccess: say which scope it takes", r.Method, r.Path)
			continue
		}
		target := strings.NewReplacer(":id", "1", ":name", "q").Replace(r.Path)
		w := do(s, newRequestTo(r.Method, target, "{}"))
		if a.own {
			if w.Code >= 400 { // of the fake; what the dashboard makes of it is tested there
				t.Errorf("%s %s = %d, want the UI's answer", r.Method, target, w.Code)
			}
			continue
		}
		if a.token {
			if w.Code != http.StatusUnauthorized {
				t.Errorf("%s %s without a token = %d, want 401", r.Method, target, w.Code)
			}
			continue
		}
		if a.scope == "" {
			if w.Code != http.StatusOK {
				t.Errorf("%s %s without a key = %d, want 200", r.Method, target, w.Code)
			}
			continue
		}
		if w.Code != http.StatusUnauthorized {
			t.Errorf("%s %s without a key = %d, want 401", r.Method, target, w.Code)
		}
		var others []job.Scope
		for _, scope := range job.Scopes() {
			if scope != a.scope && scope != job.ScopeAdmin {
				others = append(others, scope)
			}
		}
		key, _ := f.give(others)
		if w := asKey(s, key, r.Method, target, "{}"); w.Code != http.StatusForbidden || !strings.Contains(w.Header().Get("WWW-Authenticate"), `scope="`+string(a.scope)+`"`) {
			t.Errorf("%s %s with all scopes but %s = %d, WWW-Authenticate %q, want 403 and the scope", r.Method, target, a.scope, w.Code, w.Header().Get("WWW-Authenticate"))
		}
		key, _ = f.give([]job.Scope{a.scope})
		if w := asKey(s, key, r.Method, target, "{}"); w.Code == http.StatusForbidden || w.Code == http.StatusUnauthorized {
			t.Errorf("%s %s with %s = %d %s, want it let through", r.Method, target, a.scope, w.Code, w.Body)
		}
	}
	for at := range table {
		if !there[at] {
			t.Errorf("routeAccess has %s %s, which is no route", at.method, at.path)
		}
	}
}

// A route that somebody forgot in routeAccess takes the scope admin.
func TestGate_UnlistedTakesAdmin(t *testing.T) {
	t.Parallel()
	g := newGate([]route{{"GET", "/new"}})
	if p := g.check(Principal{Scopes: []job.Scope{job.ScopeJobsRead, job.ScopeQueuesAdmin}}, "GET", "/new"); p == nil || p.Status != http.StatusForbidden {
		t.Errorf("check of an unlisted route = %v, want 403", p)
	}
	if p := g.check(unbound("x"), "GET", "/new"); p != nil {
		t.Errorf("check for an admin = %v, want nil", p)
	}
	if g.open("GET", "/new") || g.open("GET", routeLive) {
		t.Error("a route that is not listed, or not there, is open")
	}
}

func TestKeys_TextIsChecked(t *testing.T) {
	t.Parallel()
	f := &fakeKeys{}
	good, _ := f.give(job.Scopes())
	other, _, _ := job.NewKey() // nobody made it
	o := everything(f)
	o.Addr, o.Keys = "0.0.0.0:0", []string{keyA}
	s := newServer(t, &fakeJobs{}, o)
	id := strings.Split(good, "_")[1]
	for _, tt := range []struct {
		what, key string
		status    int
	}{
		{"a key", good, 200},
		{"a key of the options", keyA, 200},
		{"unknown", other, 401},
		{"another's secret", "rookery_" + id + "_" + strings.Split(other, "_")[2], 401},
		{"id alone", "rookery_" + id + "_", 401},
		{"in capitals", strings.ToUpper(good), 401},
		{"cut", good[:len(good)-1], 401},
	} {
		if w := asKey(s, tt.key, "GET", "/v1/queues", ""); w.Code != tt.status {
			t.Errorf("%s = %d %s, want %d", tt.what, w.Code, w.Body, tt.status)
		}
	}
	f.set(func() { f.err = job.ErrUnavailable })
	if w := asKey(s, good, "GET", "/v1/queues", ""); w.Code != 200 {
		t.Errorf("a known key while Postgres is away = %d, want 200", w.Code)
	}
	w := asKey(s, other, "GET", "/v1/queues", "")
	if wantProblem(t, w, 503, codeUnavailable); w.Header().Get("Retry-After") == "" {
		t.Error("503 without Retry-After")
	}
	if _, err := New(&fakeJobs{}, Options{RequireKey: true}); err == nil {
		t.Error("New that requires a key, and has none = nil, want an error")
	}
}

// A key that is bound to queues sees no others: what it names is forbidden, what it asks
// for is not there.
func TestKeys_BoundToQueues(t *testing.T) {
	t.Parallel()
	f := &fakeKeys{}
	jobs := &fakeJobs{
		rows: map[int64]job.Job{
			1: {ID: 1, QueueName: "mail.out", Status: job.Completed, Payload: json.RawMessage(`"hush"`)},
			2: {ID: 2, QueueName: "bills", Status: job.Completed},
		},
		queues: []job.QueueStats{{Queue: job.Queue{Name: "bills"}}, {Queue: job.Queue{Name: "mail.out"}}},
	}
	s := newServer(t, jobs, everything(f))
	key, _ := f.give([]job.Scope{job.ScopeJobsWrite, job.ScopeJobsRead}, "mail.*")

	if w := asKey(s, key, "POST", "/v1/jobs", `{"queue_name":"mail.in"}`); w.Code != 201 {
		t.Errorf("POST into its queue = %d %s, want 201", w.Code, w.Body)
	}
	for target, body := range map[string]string{
		"/v1/jobs": `{"queue_name":"bills"}`, "/v1/jobs/batch": `{"jobs":[{"queue_name":"mail.in"},{"queue_name":"bills"}]}`,
	} {
		wantProblem(t, asKey(s, key, "POST", target, body), 403, codeForbidden)
	}
	wantProblem(t, asKey(s, key, "POST", "/v1/jobs", `{}`), 403, codeForbidden) // the default queue
	if len(jobs.specs) != 1 {
		t.Errorf("%d jobs inserted, want 1", len(jobs.specs))
	}

	if w := asKey(s, key, "GET", "/v1/jobs/1", ""); w.Code != 200 || strings.Contains(w.Body.String(), "hush") {
		t.Errorf("GET of its job = %d %s, want it without payload", w.Code, w.Body)
	}
	wantProblem(t, asKey(s, key, "GET", "/v1/jobs/1?include=payload", ""), 403, codeForbidden)
	foreign := wantProblem(t, asKey(s, key, "GET", "/v1/jobs/2", ""), 404, codeJobNotFound)
	missing := wantProblem(t, asKey(s, key, "GET", "/v1/jobs/3", ""), 404, codeJobNotFound)
	if foreign.Detail != missing.Detail {
		t.Errorf("another's job = %q, none = %q, want the same", foreign.Detail, missing.Detail)
	}
	if w := asKey(s, key, "GET", "/v1/queues", ""); strings.Contains(w.Body.String(), "bills") || !strings.Contains(w.Body.String(), "mail.out") {
		t.Errorf("GET /v1/queues = %s, want its own", w.Body)
	}
	wantProblem(t, asKey(s, key, "GET", "/metrics", ""), 403, codeForbidden)
	reader, _ := f.give([]job.Scope{job.ScopeJobsRead, job.ScopePayloadsRead}, "mail.out")
	if w := asKey(s, reader, "GET", "/v1/jobs/1?include=payload", ""); !strings.Contains(w.Body.String(), "hush") {
		t.Errorf("GET with payloads:read = %d %s, want the payload", w.Code, w.Body)
	}
}

// An Idempotency-Key works without a spool too; the answer says when it is another
// request's, and the keys of one client are nothing to another.
func TestIdempotencyKey_WithoutSpool(t *testing.T) {
	t.Parallel()
	f, keyed := &fakeKeys{}, &fakeKeyed{}
	o := everything(f)
	o.Spool, o.Keyed = nil, keyed
	s := newServer(t, &fakeJobs{}, o)
	a, _ := f.give([]job.Scope{job.ScopeJobsWrite})
	b, _ := f.give([]job.Scope{job.ScopeJobsWrite})
	send := func(key, idem, body string) *httptest.ResponseRecorder {
		r := withKey(idem, newRequestTo("POST", "/v1/jobs", body))
		r.Header.Set("Authorization", "Bearer "+key)
		return do(s, r)
	}
	first := send(a, "k", `{"kind":"a"}`)
	again := send(a, "k", `{"kind":"a"}`)
	if first.Code != 201 || again.Code != 201 || first.Body.String() != again.Body.String() || first.Header().Get("Location") != again.Header().Get("Location") {
		t.Errorf("answers = %d %s and %d %s, want the same", first.Code, first.Body, again.Code, again.Body)
	}
	if x, y := first.Header().Get("Idempotency-Replayed"), again.Header().Get("Idempotency-Replayed"); x != "" || y != "true" {
		t.Errorf("Idempotency-Replayed = %q, then %q, want none, then true", x, y)
	}
	wantProblem(t, send(a, "k", `{"kind":"b"}`), 422, codeKeyReused)
	if w := send(b, "k", `{"kind":"b"}`); w.Code != 201 || w.Header().Get("Idempotency-Replayed") != "" {
		t.Errorf("another client's = %d %s, want 201 and new", w.Code, w.Body)
	}
	keyed.fail = func([]job.Spooled) error { return fmt.Errorf("%w: %w", job.ErrNotInserted, job.ErrConflict) }
	w := send(a, "k2", `{}`)
	if wantProblem(t, w, 409, codeKeyInUse); w.Header().Get("Retry-After") == "" {
		t.Error("409 without Retry-After")
	}
	if len(keyed.jobs) != 2 {
		t.Errorf("%d jobs, want 2", len(keyed.jobs))
	}
}
