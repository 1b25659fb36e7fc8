package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/penguinmails/rookery/job"
)

func TestPostJob_Inserted(t *testing.T) {
	t.Parallel()
	jobs := &fakeJobs{}
	s := newServer(t, jobs, Options{})
	w := post(s, "/v1/jobs", `{"queue_name":"email:processing","kind":"welcome","payload":{"n": 12345678901234567890.10, "html": "<b>&"},
		"priority":7,"run_at":"2030-01-02T03:04:05.000006+01:00","max_attempts":3,"headers":{"tenant":"a"}}`)
	if got := w.Header().Get("Location"); got != "/v1/jobs/1" {
		t.Errorf("Location = %q, want /v1/jobs/1", got)
	}
	runAt := time.Date(2030, 1, 2, 2, 4, 5, 6000, time.UTC)
	want := insertedJob{ID: 1, QueueName: "email:processing", Kind: "welcome", Priority: 7, Status: job.Queued, MaxAttempts: 3, RunAt: &runAt}
	if diff := cmp.Diff(want, decodeInto[insertedJob](t, w, http.StatusCreated)); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	priority := 7
	spec := job.Spec{
		QueueName: "email:processing", Kind: "welcome", Payload: json.RawMessage(`{"n":12345678901234567890.10,"html":"<b>&"}`),
		Headers: json.RawMessage(`{"tenant":"a"}`), Priority: &priority, RunAt: runAt, MaxAttempts: 3,
	}
	if diff := cmp.Diff([]job.Spec{spec}, jobs.specs); diff != "" {
		t.Errorf("inserted (-want +got):\n%s", diff)
	}
	if got, want := post(s, "/v1/jobs", `{}`).Body.String(), `{"id":2,"queue_name":"default","kind":"","priority":100,"status":"queued","max_attempts":25}`+"\n"; got != want {
		t.Errorf("answer of defaults = %s, want %s", got, want)
	}
}

func TestPostBatch_Inserted(t *testing.T) {
	t.Parallel()
	jobs, express := &fakeJobs{}, &fakeExpress{id: 9, handled: true}
	w := post(newServer(t, jobs, Options{Express: express}), "/v1/jobs/batch", `{"jobs":[{"kind":"a","priority":1},{"kind":"b"}]}`)
	got := decodeInto[struct{ Jobs []insertedJob }](t, w, http.StatusCreated)
	if len(got.Jobs) != 2 || got.Jobs[0].ID != 1 || got.Jobs[1].Kind != "b" || len(express.specs) != 0 {
		t.Errorf("answer = %s with %d express jobs, want two ordinary jobs in order", w.Body, len(express.specs))
	}
}

func TestPostJob_Express(t *testing.T) {
	t.Parallel()
	future := time.Now().Add(time.Hour).Format(time.RFC3339)
	for _, tt := range []struct {
		name, body       string
		handled          bool
		err              error
		asked            int
		status, ordinary int
		want             job.Status
	}{
		{"handled", `{"priority":50}`, true, nil, 1, 201, 0, job.Dispatched},
		{"handled, due since long", `{"priority":0,"run_at":"2020-01-01T00:00:00Z"}`, true, nil, 1, 201, 0, job.Dispatched},
		{"declined", `{"priority":50}`, false, nil, 1, 201, 1, job.Queued},
		{"band normal", `{"priority":51}`, true, nil, 0, 201, 1, job.Queued},
		{"later", `{"priority":1,"run_at":"` + future + `"}`, true, nil, 0, 201, 1, job.Queued},
		{"away, perhaps in the commit", `{"priority":1}`, false, job.ErrUnavailable, 1, 503, 0, ""},
		{"bad input", `{"priority":1}`, false, &job.FieldError{Field: "payload", Problem: "is odd"}, 1, 422, 0, ""},
		{"a fault", `{"priority":1}`, true, errors.New("secret"), 1, 500, 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			jobs, express := &fakeJobs{}, &fakeExpress{id: 9, handled: tt.handled, err: tt.err}
			w := post(newServer(t, jobs, Options{Express: express}), "/v1/jobs", tt.body)
			if w.Code != tt.status || len(express.specs) != tt.asked || len(jobs.specs) != tt.ordinary {
				t.Fatalf("answer = %d %s, express asked %d, ordinary %d; want %d, %d, %d", w.Code, w.Body, len(express.specs), len(jobs.specs), tt.status, tt.asked, tt.ordinary)
			}
			if tt.want != "" {
				if got := decodeInto[insertedJob](t, w, 201); got.Status != tt.want {
					t.Errorf("status = %s, want %s", got.Status, tt.want)
				}
			}
		})
	}
}

func TestInsert_Errors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		err     error
		status  int
		code    string
		pointer string
	}{
		{"field", fmt.Errorf("insert: %w", &job.FieldError{Field: "payload", Problem: "is odd"}), 422, codeInvalidJob, "/payload"},
		{"data", &job.DataError{SQLState: "22003", Message: "secret"}, 422, codeInvalidJob, ""},
		{"away", fmt.Errorf("dial secret: %w", job.ErrUnavailable), 503, codeUnavailable, ""},
		{"conflict", job.ErrConflict, 503, codeUnavailable, ""},
		{"slow", fmt.Errorf("secret: %w", context.DeadlineExceeded), 503, codeUnavailable, ""},
		{"other", errors.New("secret"), 500, codeInternal, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, &fakeJobs{err: tt.err}, Options{})
			for target, body := range map[string]string{"/v1/jobs": `{}`, "/v1/jobs/batch": `{"jobs":[{}]}`} {
				w := post(s, target, body)
				p := wantProblem(t, w, tt.status, tt.code)
				if strings.Contains(w.Body.String(), "secret") {
					t.Errorf("answer has the error's text: %s", w.Body)
				}
				if got := w.Header().Get("Retry-After") != ""; got != (tt.status == 503) {
					t.Errorf("Retry-After given = %t", got)
				}
				if target == "/v1/jobs" && len(p.Errors) > 0 && p.Errors[0].Pointer != tt.pointer {
					t.Errorf("pointer = %q, want %q", p.Errors[0].Pointer, tt.pointer)
				}
			}
		})
	}
}

func TestInsert_OutlivesItsClient(t *testing.T) {
	t.Parallel()
	ctx, hangUp := context.WithCancel(t.Context())
	jobs := &fakeJobs{before: func(context.Context) { hangUp() }}
	do(newServer(t, jobs, Options{}), newRequestTo(http.MethodPost, "/v1/jobs", `{}`).WithContext(ctx))
	if len(jobs.specs) != 1 {
		t.Error("the insert ended with its client")
	}
	w := do(newServer(t, jobs, Options{}), newRequestTo(http.MethodGet, "/v1/jobs/1", ``).WithContext(ctx))
	wantProblem(t, w, statusClientClosed, codeClientClosed)
}

func TestReadOnly(t *testing.T) {
	t.Parallel()
	s := newServer(t, &fakeJobs{}, Options{ReadOnly: true})
	wantProblem(t, post(s, "/v1/jobs", `{}`), http.StatusForbidden, codeReadOnly)
	wantProblem(t, post(s, "/v1/jobs/batch", `{}`), http.StatusForbidden, codeReadOnly)
	if w := get(s, "/v1/queues"); w.Code != http.StatusOK {
		t.Errorf("queues = %d, want 200", w.Code)
	}
}

func TestGetJob(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 15, 0, 0, 123456000, time.FixedZone("", 3600))
	row := job.Job{
		ID: 7, QueueName: "q", Kind: "k", Payload: json.RawMessage(`{"to": "a"}`), Priority: 100, Status: job.Dispatched,
		DispatchID: 5, AttemptCount: 1, FailureCount: 1, MaxAttempts: 25, RunAt: at, CreatedAt: at, DispatchedAt: &at,
	}
	jobs := &fakeJobs{
		rows:     map[int64]job.Job{7: row},
		attempts: map[int64][]job.Attempt{7: {{JobID: 7, AttemptCount: 1, FinishedAt: at, Outcome: "fail", Error: json.RawMessage(`{"message":"no"}`)}}},
	}
	s := newServer(t, jobs, Options{Live: fakeLive{live: job.Live{State: "leased", WorkerID: "w", LeaseEnds: &at}}})
	const start = `{"id":7,"queue_name":"q","kind":"k",`
	const rest = `"priority":100,"status":"dispatched","dispatch_id":5,"attempt_count":1,"failure_count":1,"lost_count":0,"max_attempts":25,` +
		`"run_at":"2026-11-23T14:00:00.123456Z","created_at":"2026-11-23T14:00:00.123456Z","dispatched_at":"2026-11-23T14:00:00.123456Z",` +
		`"attempts":[{"job_id":7,"attempt_count":1,"finished_at":"2026-11-23T14:00:00.123456Z","outcome":"fail","error":{"message":"no"}}],` +
		`"timeline":[{"at":"2026-11-23T14:00:00.123456Z","event":"inserted","seconds":null},{"at":"2026-11-23T14:00:00.123456Z","event":"fail","attempt_count":1,"seconds":0},` +
		`{"at":"2026-11-23T14:00:00.123456Z","event":"dispatched","attempt_count":1,"seconds":0}],` +
		`"live":{"state":"leased","lease_ends":"2026-11-23T14:00:00.123456Z","worker_id":"w"}}` + "\n"
	if got, want := get(s, "/v1/jobs/7").Body.String(), start+rest; got != want {
		t.Errorf("job = %s\nwant %s", got, want)
	}
	if got, want := get(s, "/v1/jobs/7?include=payload").Body.String(), start+`"payload":{"to":"a"},`+rest; got != want {
		t.Errorf("job with payload = %s\nwant %s", got, want)
	}
	wantProblem(t, get(s, "/v1/jobs/8"), http.StatusNotFound, codeJobNotFound)
	for _, path := range []string{"0", "-1", "+7", "07", "x", "7x", "7.0", "9223372036854775808", "%37%00", "7?include=all", "7?wait=1", "7?%zz"} {
		wantProblem(t, get(s, "/v1/jobs/"+path), http.StatusBadRequest, codeInvalidParameter)
	}
	for _, path := range []string{"7/", "7/attempts", "%2F"} {
		if w := get(s, "/v1/jobs/"+path); w.Code < 400 || w.Code > 499 {
			t.Errorf("/v1/jobs/%s = %d, want 4xx", path, w.Code)
		}
	}
	jobs.err = job.ErrUnavailable
	wantProblem(t, get(s, "/v1/jobs/7"), http.StatusServiceUnavailable, codeUnavailable)
	wantProblem(t, get(s, "/v1/queues"), http.StatusServiceUnavailable, codeUnavailable)
}

func TestLive(t *testing.T) {
	t.Parallel()
	now := time.Now()
	broken := fakeLive{err: errors.New("secret")}
	for _, tt := range []struct {
		name  string
		live  Live
		j     job.Job
		state string
		note  bool
	}{
		{"due", broken, job.Job{Status: job.Queued, RunAt: now.Add(-time.Second)}, "ready", false},
		{"scheduled", broken, job.Job{Status: job.Queued, RunAt: now.Add(time.Hour)}, "scheduled", false},
		{"retrying", broken, job.Job{Status: job.Queued, RunAt: now.Add(time.Hour), FailureCount: 1}, "retrying", false},
		{"completed", broken, job.Job{Status: job.Completed}, "completed", false},
		{"dead", broken, job.Job{Status: job.Dead}, "dead", false},
		{"cancelled", broken, job.Job{Status: job.Cancelled}, "cancelled", false},
		{"waiting", fakeLive{live: job.Live{State: "waiting"}}, job.Job{Status: job.Dispatched}, "waiting", false},
		{"redis away", broken, job.Job{Status: job.Running}, "", true},
		{"nobody to ask", nil, job.Job{Status: job.Running}, "", true},
	} {
		s := newServer(t, &fakeJobs{}, Options{Live: tt.live})
		live, note := s.live(t.Context(), tt.j)
		if (live == nil) != (tt.state == "") || live != nil && live.State != tt.state || (note != "") != tt.note || strings.Contains(note, "secret") {
			t.Errorf("%s: live = %+v %q, want %q", tt.name, live, note, tt.state)
		}
	}
}

func TestQueues(t *testing.T) {
	t.Parallel()
	jobs := &fakeJobs{}
	s := newServer(t, jobs, Options{})
	if got, want := get(s, "/v1/queues").Body.String(), `{"queues":[]}`+"\n"; got != want {
		t.Errorf("no queues = %s, want %s", got, want)
	}
	jobs.queues = []job.QueueStats{
		{Queue: job.Queue{Name: "a", WindowSize: 10, Epoch: 2, Life: "secret"}, Ready: 1, Scheduled: 2, Out: 3, Window: &job.Window{Waiting: [3]int64{1, 2, 3}, Leased: 4}},
		{Queue: job.Queue{Name: "b"}},
	}
	want := `{"queues":[{"name":"a","paused":false,"window_size":10,"retention_seconds":null,"retention_dead_seconds":null,"epoch":2,"ready":1,"scheduled":2,"out":3,"oldest_at":null,` +
		`"window":{"depth":6,"waiting":{"high":1,"normal":2,"low":3},"leased":4,"lost":0,"seq":0,"paused":false}},` +
		`{"name":"b","paused":false,"window_size":0,"retention_seconds":null,"retention_dead_seconds":null,"epoch":0,"ready":0,"scheduled":0,"out":0,"oldest_at":null,"window":null}]}` + "\n"
	if got := get(s, "/v1/queues").Body.String(); got != want {
		t.Errorf("queues = %s\nwant %s", got, want)
	}
	wantProblem(t, get(s, "/v1/queues?limit=1"), http.StatusBadRequest, codeInvalidParameter)
}
