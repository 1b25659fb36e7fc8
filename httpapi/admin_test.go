package httpapi

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/penguinmails/rookery/job"
)

// fakeAdmin answers with what it holds, and notes what it was asked.
type fakeAdmin struct {
	page      job.Page
	queue     job.QueueStats
	processes []job.ProcessState
	done      bool
	clone     int64
	changes   []job.QueueChange
	by        job.Actor
	err       error
	listings  []job.Listing
	calls     []string
}

func (f *fakeAdmin) List(_ context.Context, l job.Listing) (job.Page, error) {
	f.listings = append(f.listings, l)
	return f.page, f.err
}

func (f *fakeAdmin) Queue(_ context.Context, name string) (job.QueueStats, error) {
	q := f.queue
	q.Name = name
	return q, f.err
}

func (f *fakeAdmin) Processes(_ context.Context, role string) ([]job.ProcessState, error) {
	f.calls = append(f.calls, "processes "+role)
	return f.processes, f.err
}

func (f *fakeAdmin) act(verb string) (bool, error) {
	f.calls = append(f.calls, verb)
	return f.done, f.err
}

func (f *fakeAdmin) Cancel(context.Context, int64) (bool, error)  { return f.act("cancel") }
func (f *fakeAdmin) Redrive(context.Context, int64) (bool, error) { return f.act("redrive") }
func (f *fakeAdmin) Delete(context.Context, int64) (bool, error)  { return f.act("delete") }
func (f *fakeAdmin) Clone(context.Context, int64) (int64, error) {
	_, err := f.act("clone")
	return f.clone, err
}

func (f *fakeAdmin) Pause(_ context.Context, queue string, paused bool) error {
	_, err := f.act(map[bool]string{true: "pause ", false: "resume "}[paused] + queue)
	return err
}

func (f *fakeAdmin) SetQueue(_ context.Context, queue string, c job.QueueChange) error {
	f.changes = append(f.changes, c)
	_, err := f.act("set " + queue)
	return err
}

// as is the fake in somebody's hands.
func (f *fakeAdmin) as(by job.Actor) Hands {
	f.by = by
	return Hands{Jobs: f, Queues: f}
}

func newAdmin(t testing.TB, f *fakeAdmin, o Options) *Server {
	t.Helper()
	o.Admin = &Admin{Look: f, As: f.as}
	return newServer(t, &fakeJobs{}, o)
}

// bare is a request without a body.
func bare(s *Server, method, target string) *httptest.ResponseRecorder {
	r := newRequestTo(method, target, "")
	r.Header.Del("Content-Type")
	return do(s, r)
}

func TestAdmin_NeedsAllItsParts(t *testing.T) {
	t.Parallel()
	f := &fakeAdmin{}
	for _, a := range []Admin{{}, {Look: f}, {As: f.as}} {
		if _, err := New(&fakeJobs{}, Options{Admin: &a}); err == nil {
			t.Errorf("New with %+v = nil, want an error", a)
		}
	}
	s := newServer(t, &fakeJobs{}, Options{})
	wantProblem(t, bare(s, http.MethodPost, "/v1/jobs/1/cancel"), http.StatusMethodNotAllowed, codeMethodNotAllowed) // as POST /v1/jobs/1
	wantProblem(t, get(s, "/v1/workers"), http.StatusNotFound, codeNotFound)
}

func TestJobActions(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ method, target, verb, body string }{
		{"POST", "/v1/jobs/7/cancel", "cancel", `{"id":7,"status":"cancelled"}`},
		{"POST", "/v1/jobs/7/redrive", "redrive", `{"id":7,"status":"queued"}`},
		{"DELETE", "/v1/jobs/7", "delete", ""},
	} {
		f := &fakeAdmin{done: true}
		s := newAdmin(t, f, Options{})
		w := bare(s, tt.method, tt.target)
		if (tt.body == "") != (w.Code == http.StatusNoContent) || w.Code > 299 || strings.TrimSpace(w.Body.String()) != tt.body {
			t.Errorf("%s %s = %d %s, want %s", tt.method, tt.target, w.Code, w.Body, tt.body)
		}
		f.done = false
		wantProblem(t, bare(s, tt.method, tt.target), http.StatusConflict, codeWrongStatus)
		f.err = job.ErrNotFound
		wantProblem(t, bare(s, tt.method, tt.target), http.StatusNotFound, codeJobNotFound)
		f.err = job.ErrUnavailable
		wantProblem(t, bare(s, tt.method, tt.target), http.StatusServiceUnavailable, codeUnavailable)
		if diff := cmp.Diff([]string{tt.verb, tt.verb, tt.verb, tt.verb}, f.calls); diff != "" {
			t.Errorf("%s %s (-want +called):\n%s", tt.method, tt.target, diff)
		}
		// What is refused at the door does nothing.
		wantProblem(t, bare(s, tt.method, strings.Replace(tt.target, "7", "07", 1)), http.StatusBadRequest, codeInvalidParameter)
		wantProblem(t, bare(s, tt.method, tt.target+"?force=1"), http.StatusBadRequest, codeInvalidParameter)
		wantProblem(t, bare(newAdmin(t, f, Options{ReadOnly: true}), tt.method, tt.target), http.StatusForbidden, codeReadOnly)
		for body, code := range map[string]string{`{"mode":"force"}`: codeInvalidRequest, `[]`: codeInvalidRequest, `{`: codeInvalidJSON} {
			r := newRequestTo(tt.method, tt.target, body)
			r.Header.Set("Content-Type", "application/json")
			if w := do(s, r); !strings.Contains(w.Body.String(), `"code":"`+code+`"`) || w.Code < 400 || w.Code > 422 {
				t.Errorf("%s %s with %s = %d %s, want %s", tt.method, tt.target, body, w.Code, w.Body, code)
			}
		}
		if len(f.calls) != 4 {
			t.Errorf("%s %s: refused requests called %v", tt.method, tt.target, f.calls[4:])
		}
		f.err, f.done = nil, true
		if w := post(s, "/v1/jobs/7/cancel", ` {} `); w.Code != http.StatusOK {
			t.Errorf("cancel with {} = %d %s, want 200", w.Code, w.Body)
		}
	}
}

func TestJobActions_OutliveTheirClient(t *testing.T) {
	t.Parallel()
	ctx, hangUp := context.WithCancel(t.Context())
	hangUp()
	f := &fakeAdmin{done: true}
	r := newRequestTo(http.MethodPost, "/v1/jobs/7/cancel", "").WithContext(ctx)
	if w := do(newAdmin(t, f, Options{}), r); w.Code != http.StatusOK || len(f.calls) != 1 {
		t.Errorf("cancel of a client that hung up = %d %s", w.Code, w.Body)
	}
}

func TestClone(t *testing.T) {
	t.Parallel()
	f := &fakeAdmin{clone: 9}
	s := newAdmin(t, f, Options{})
	w := bare(s, http.MethodPost, "/v1/jobs/7/clone")
	if want := `{"id":9,"status":"queued","cloned_from":7}`; w.Code != http.StatusCreated || strings.TrimSpace(w.Body.String()) != want || w.Header().Get("Location") != "/v1/jobs/9" {
		t.Errorf("clone = %d %s at %q, want 201 %s", w.Code, w.Body, w.Header().Get("Location"), want)
	}
	f.err = job.ErrNotFound
	wantProblem(t, bare(s, http.MethodPost, "/v1/jobs/7/clone"), http.StatusNotFound, codeJobNotFound)
	f.err = job.ErrUnavailable
	if p := wantProblem(t, bare(s, http.MethodPost, "/v1/jobs/7/clone"), http.StatusServiceUnavailable, codeUnavailable); !strings.Contains(p.Detail, "may have been") {
		t.Errorf("detail = %q, want it to say that the clone may exist", p.Detail)
	}
}

func TestQueueActions(t *testing.T) {
	t.Parallel()
	f := &fakeAdmin{}
	s := newAdmin(t, f, Options{})
	window := func(target, body string) *httptest.ResponseRecorder {
		r := newRequestTo(http.MethodPatch, target, body)
		r.Header.Set("Content-Type", "application/json")
		return do(s, r)
	}
	for _, w := range []*httptest.ResponseRecorder{
		bare(s, http.MethodPost, "/v1/queues/email:processing/pause"),
		bare(s, http.MethodPost, "/v1/queues/email%3Aprocessing/resume"),
		window("/v1/queues/email:processing", `{"window_size":5}`),
	} {
		if w.Code != http.StatusOK || !strings.HasPrefix(w.Body.String(), `{"name":"email:processing",`) {
			t.Errorf("answer = %d %s, want the queue", w.Code, w.Body)
		}
	}
	want := []string{"pause email:processing", "resume email:processing", "set email:processing"}
	if diff := cmp.Diff(want, f.calls); diff != "" || f.by.Principal != "local" || f.by.RequestID == "" {
		t.Errorf("by %+v (-want +called):\n%s", f.by, diff)
	}
	for body, field := range map[string]string{
		`{"window_size":0}`: "window_size", `{"window_size":1000001}`: "window_size", `{"window_size":null}`: "window_size", `{"window_size":"5"}`: "window_size",
		`{"window_size":5.0}`: "window_size", `{}`: "window_size", `{"window_size":5,"paused":true}`: "paused", `[]`: "",
		`{"retention_seconds":59}`: "retention_seconds", `{"retention_dead_seconds":-1}`: "retention_dead_seconds", `{"retention_seconds":315360001}`: "retention_seconds",
		`{"retention_seconds":"7d"}`: "retention_seconds", `{"retention_seconds":60,"retention_seconds":60}`: "retention_seconds",
	} {
		if p := wantProblem(t, window("/v1/queues/q", body), http.StatusUnprocessableEntity, codeInvalidQueue); p.Errors[0].Field != field {
			t.Errorf("%s: the problem names %q, want %q", body, p.Errors[0].Field, field)
		}
	}
	for _, name := range []string{"a%20b", "%7Bq%7D", strings.Repeat("q", job.MaxQueueName+1), "a%2Fb"} {
		wantProblem(t, get(s, "/v1/queues/"+name), http.StatusBadRequest, codeInvalidParameter)
		wantProblem(t, bare(s, http.MethodPost, "/v1/queues/"+name+"/pause"), http.StatusBadRequest, codeInvalidParameter)
	}
	if len(f.calls) != 3 {
		t.Errorf("refused requests called %v", f.calls[3:])
	}
	for _, body := range []string{`{"retention_seconds":86400,"retention_dead_seconds":null}`, `{"window_size":3,"retention_dead_seconds":0}`} {
		if w := window("/v1/queues/q", body); w.Code != http.StatusOK {
			t.Errorf("PATCH %s = %d %s, want 200", body, w.Code, w.Body)
		}
	}
	day, ever := int64(86400), int64(0)
	asked := []job.QueueChange{
		{Window: 5},
		{Keep: job.KeepForChange{KeepFor: job.KeepFor{Retention: &day}, SetRetention: true, SetRetentionDead: true}},
		{Window: 3, Keep: job.KeepForChange{KeepFor: job.KeepFor{RetentionDead: &ever}, SetRetentionDead: true}},
	}
	if diff := cmp.Diff(asked, f.changes); diff != "" {
		t.Errorf("changes, each in one call (-want +got):\n%s", diff)
	}
	f.err = job.ErrNotFound
	wantProblem(t, get(s, "/v1/queues/nowhere"), http.StatusNotFound, codeQueueNotFound)
}

func TestWorkers(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 15, 0, 0, 0, time.FixedZone("", 3600))
	f := &fakeAdmin{processes: []job.ProcessState{{ID: "w1", Role: "worker", Host: "h", PID: 7, StartedAt: at, BeatAt: at, RedisAt: &at, BeatAge: 1500 * time.Millisecond, Epochs: map[string]int64{"q": 2}}}}
	s := newAdmin(t, f, Options{})
	want := `{"data":[{"id":"w1","role":"worker","host":"h","pid":7,"started_at":"2026-11-23T14:00:00Z","beat_at":"2026-11-23T14:00:00Z","redis_at":"2026-11-23T14:00:00Z","epochs":{"q":2},"quiet":false,"beat_age_seconds":1.5}]}`
	if got := strings.TrimSpace(get(s, "/v1/workers?role=worker").Body.String()); got != want || f.calls[0] != "processes worker" {
		t.Errorf("workers = %s\nwant %s", got, want)
	}
	f.processes = nil
	if got := strings.TrimSpace(get(s, "/v1/workers").Body.String()); got != `{"data":[]}` {
		t.Errorf("no workers = %s", got)
	}
	f.err = &job.FieldError{Field: "role", Problem: "is odd"}
	if p := wantProblem(t, get(s, "/v1/workers?role=cook"), http.StatusBadRequest, codeInvalidParameter); p.Errors[0].Field != "role" {
		t.Errorf("problem = %+v, want role named", p)
	}
}
