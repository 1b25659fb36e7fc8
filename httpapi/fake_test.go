package httpapi

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/penguinmails/rookery/job"
)

// fakeJobs keeps jobs in memory; err, when set, is what every call returns, and
// before runs ahead of each.
type fakeJobs struct {
	mu       sync.Mutex
	specs    []job.Spec
	rows     map[int64]job.Job
	attempts map[int64][]job.Attempt
	queues   []job.QueueStats
	err      error
	before   func(context.Context)
}

func (f *fakeJobs) enter(ctx context.Context) error {
	if f.before != nil {
		f.before(ctx)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return f.err
}

func (f *fakeJobs) Insert(ctx context.Context, specs []job.Spec) ([]int64, error) {
	if err := f.enter(ctx); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var ids []int64
	for _, s := range specs {
		f.specs = append(f.specs, s)
		ids = append(ids, int64(len(f.specs)))
	}
	return ids, nil
}

func (f *fakeJobs) JobOf(ctx context.Context, id int64, queues []string) (job.Job, error) {
	if err := f.enter(ctx); err != nil {
		return job.Job{}, err
	}
	j, ok := f.rows[id]
	if !ok || !job.MatchQueue(queues, j.QueueName) {
		return job.Job{}, job.ErrNotFound
	}
	return j, nil
}

func (f *fakeJobs) Attempts(ctx context.Context, id int64) ([]job.Attempt, error) {
	return f.attempts[id], f.enter(ctx)
}

func (f *fakeJobs) Queues(ctx context.Context) ([]job.QueueStats, error) {
	f.mu.Lock()
	queues := f.queues
	f.mu.Unlock()
	return queues, f.enter(ctx)
}

type fakeExpress struct {
	id      int64
	handled bool
	err     error
	specs   []job.Spec
}

func (f *fakeExpress) Insert(_ context.Context, s job.Spec) (int64, bool, error) {
	f.specs = append(f.specs, s)
	return f.id, f.handled, f.err
}

type fakeLive struct {
	live job.Live
	err  error
}

func (f fakeLive) Live(context.Context, job.Job) (job.Live, error) { return f.live, f.err }

func newServer(t testing.TB, jobs Jobs, o Options) *Server {
	t.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s, err := New(jobs, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// newRequestTo returns a request as a program on this machine sends it.
func newRequestTo(method, target, body string) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host = "localhost:8080"
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

func do(s *Server, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w
}

func post(s *Server, target, body string) *httptest.ResponseRecorder {
	return do(s, newRequestTo(http.MethodPost, target, body))
}

func get(s *Server, target string) *httptest.ResponseRecorder {
	return do(s, newRequestTo(http.MethodGet, target, ""))
}

// wantProblem checks that w is a whole problem with that status and code.
func wantProblem(t testing.TB, w *httptest.ResponseRecorder, status int, code string) problem {
	t.Helper()
	var p problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatalf("answer %d %q is not JSON: %v", w.Code, w.Body, err)
	}
	if w.Code != status || p.Code != code {
		t.Fatalf("answer = %d %s, want %d %s", w.Code, w.Body, status, code)
	}
	if got := w.Header().Get("Content-Type"); got != mimeProblem {
		t.Errorf("Content-Type = %q, want %q", got, mimeProblem)
	}
	if p.Status != status || p.Type != typeURL+code || p.Title == "" || p.Detail == "" || p.RequestID == "" || p.RequestID != w.Header().Get("X-Request-Id") {
		t.Errorf("problem is not whole: %s", w.Body)
	}
	return p
}

func decodeInto[T any](t testing.TB, w *httptest.ResponseRecorder, status int) T {
	t.Helper()
	var v T
	if w.Code != status {
		t.Fatalf("answer = %d %s, want %d", w.Code, w.Body, status)
	}
	if got := w.Header().Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type = %q, want application/json", got)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatalf("answer %q: %v", w.Body, err)
	}
	return v
}
