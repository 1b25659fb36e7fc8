package httpapi

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/penguinmails/rookery/job"
)

// fakeBulk answers with what it holds, and notes what it was asked.
type fakeBulk struct {
	changed []job.Changed
	preview job.Preview
	op      job.Operation
	known   []job.Operation
	done    bool
	err     error

	mu    sync.Mutex
	calls []string
	left  int     // batches until the operation is over
	fails []error // of the next batches
	why   string  // of a failed one
}

func (f *fakeBulk) note(call string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, call)
}

func (f *fakeBulk) ChangeMany(_ context.Context, who job.Actor, action job.Action, ids []int64) ([]job.Changed, error) {
	f.note(who.Principal + " " + string(action) + " " + strconv.Itoa(len(ids)))
	return f.changed, f.err
}

func (f *fakeBulk) PreviewMany(_ context.Context, action job.Action, l job.Listing) (job.Preview, error) {
	f.note("preview " + string(action) + " " + l.QueueName + " " + l.Status)
	return f.preview, f.err
}

func (f *fakeBulk) StartOperation(_ context.Context, _ job.Actor, action job.Action, l job.Listing, holder string) (job.Operation, error) {
	f.note("start " + string(action) + " " + l.QueueName + " " + l.Status + holder)
	o := f.op
	o.Action, o.Filter = action, l
	return o, f.err
}

func (f *fakeBulk) Operation(context.Context, int64) (job.Operation, error) { return f.op, f.err }

func (f *fakeBulk) Operations(_ context.Context, of job.OperationFilter) (job.OperationPage, error) {
	f.note("list " + strconv.FormatInt(of.Before, 10) + " " + strconv.Itoa(of.Limit))
	p := job.OperationPage{Operations: f.known[:min(of.Limit, len(f.known))]}
	if len(f.known) > of.Limit {
		p.Next = f.known[of.Limit-1].ID
	}
	return p, f.err
}

func (f *fakeBulk) CancelOperation(context.Context, job.Actor, int64) (job.Operation, bool, error) {
	return f.op, f.done, f.err
}

func (f *fakeBulk) TakeOperation(context.Context, string) (int64, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return 7, f.left > 0, nil
}

func (f *fakeBulk) WorkOperation(_ context.Context, t job.Turn) (job.Operation, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t.BeforeCommit()
	if len(f.fails) > 0 {
		err := f.fails[0]
		f.fails = f.fails[1:]
		return job.Operation{}, false, err
	}
	f.calls = append(f.calls, "batch")
	o := job.Operation{ID: t.ID, Status: job.OperationRunning}
	if f.left--; f.left == 0 {
		o.Status = job.OperationCompleted
	}
	return o, true, nil
}

func (f *fakeBulk) FailOperation(_ context.Context, _ int64, _, why string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.why, f.left = why, 0
	return nil
}

func newBulk(t testing.TB, f *fakeBulk, o Options) *Server {
	t.Helper()
	o.Bulk = &Bulk{Changes: f, Operations: f, Work: f}
	return newAdmin(t, &fakeAdmin{}, o)
}

func TestBulk_ByIDs(t *testing.T) {
	t.Parallel()
	f := &fakeBulk{changed: []job.Changed{{ID: 7, Done: true, Status: job.Cancelled}, {ID: 8, Status: job.Dead}, {ID: 9}}}
	s := newBulk(t, f, Options{})
	w := post(s, "/v1/jobs/bulk", `{"action":"cancel","ids":["7","8","9"]}`)
	want := `{"results":[{"id":"7","result":"done","status":"cancelled"},{"id":"8","result":"wrong_status","status":"dead"},{"id":"9","result":"job_not_found"}],"done":1}`
	if w.Code != http.StatusOK || strings.TrimSpace(w.Body.String()) != want {
		t.Errorf("bulk = %d %s\nwant %s", w.Code, w.Body, want)
	}
	if diff := cmp.Diff([]string{"local cancel 3"}, f.calls); diff != "" {
		t.Errorf("(-want +called):\n%s", diff)
	}
	f.err = job.ErrUnavailable
	wantProblem(t, post(s, "/v1/jobs/bulk", `{"action":"cancel","ids":["7"]}`), http.StatusServiceUnavailable, codeUnavailable)
	wantProblem(t, post(newBulk(t, f, Options{ReadOnly: true}), "/v1/jobs/bulk", `{"action":"cancel","ids":["7"]}`), http.StatusForbidden, codeReadOnly)
}

func TestBulk_Refuses(t *testing.T) {
	t.Parallel()
	f := &fakeBulk{}
	s := newBulk(t, f, Options{})
	many := `"1"` + strings.Repeat(`,"1"`, job.MaxBulk)
	for body, field := range map[string]string{
		`[]`:                                             "",
		`{}`:                                             "action",
		`{"action":"retry","ids":["1"]}`:                 "action",
		`{"action":"purge","ids":["1"]}`:                 "action",
		`{"action":"cancel"}`:                            "ids",
		`{"action":"cancel","ids":[]}`:                   "ids",
		`{"action":"cancel","ids":[1]}`:                  "ids",
		`{"action":"cancel","ids":["01"]}`:               "ids",
		`{"action":"cancel","ids":[` + many + `]}`:       "ids",
		`{"action":"cancel","ids":["1"],"dry_run":true}`: "ids",
		`{"action":"cancel","ids":["1"],"filter":{"queue_name":"q"}}`:             "ids",
		`{"action":"cancel","ids":["1"],"force":true}`:                            "force",
		`{"action":"cancel","filter":{}}`:                                         "filter",
		`{"action":"cancel","filter":{"queue_name":""}}`:                          "filter",
		`{"action":"cancel","filter":[]}`:                                         "filter",
		`{"action":"cancel","filter":{"queue_name":"q"},"all":true}`:              "filter",
		`{"action":"cancel","filter":{"queue_name":"a b"}}`:                       "queue_name",
		`{"action":"cancel","filter":{"queue":"q"}}`:                              "queue",
		`{"action":"cancel","filter":{"queue_name":"q","limit":"5"}}`:             "limit",
		`{"action":"cancel","filter":{"queue_name":7}}`:                           "filter",
		`{"action":"cancel","filter":{"created_after":"yesterday"}}`:              "created_after",
		`{"action":"cancel","filter":{"status":"dead"}}`:                          "status",
		`{"action":"redrive","filter":{"queue_name":"q"}}`:                        "status",
		`{"action":"delete","filter":{"status":"out"}}`:                           "status",
		`{"action":"cancel","filter":{"queue_name":"q"},"dry_run":"yes"}`:         "dry_run",
		`{"action":"redrive","all":true}`:                                         "status",
		`{"action":"delete","filter":{"status":"dead","status":"x"},"all":false}`: "filter",
	} {
		if p := wantProblem(t, post(s, "/v1/jobs/bulk", body), http.StatusUnprocessableEntity, codeInvalidRequest); p.Errors[0].Field != field {
			t.Errorf("%.90s: the problem names %+v, want %q", body, p.Errors[0], field)
		}
	}
	if len(f.calls) != 0 {
		t.Errorf("refused requests called %v", f.calls)
	}
}

func TestBulk_ByFilter(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 15, 0, 0, 0, time.UTC)
	f := &fakeBulk{preview: job.Preview{Matched: 3, Capped: true, Examples: []job.Job{{ID: 7, QueueName: "q", Status: job.Dead}}}, op: job.Operation{ID: 12, Status: job.OperationRunning, Principal: "local", StartedAt: at}}
	s := newBulk(t, f, Options{})
	w := post(s, "/v1/jobs/bulk", `{"action":"redrive","filter":{"queue_name":"q","status":"dead"},"dry_run":true}`)
	if w.Code != http.StatusOK || !strings.HasPrefix(w.Body.String(), `{"action":"redrive","filter":{"queue_name":"q","status":"dead"},"matched":3,"capped":true,"examples":[{"id":7,`) {
		t.Errorf("dry run = %d %s", w.Code, w.Body)
	}
	w = post(s, "/v1/jobs/bulk", `{"action":"redrive","filter":{"queue_name":"q","status":"dead"}}`)
	want := `{"id":12,"action":"redrive","filter":{"queue_name":"q","status":"dead"},"status":"running","actor":"local","started_at":"2026-11-23T15:00:00Z","finished_at":null,"error":"","matched":0,"done":0,"failed":0,"total":null,"share":null}`
	if w.Code != http.StatusAccepted || w.Header().Get("Location") != "/v1/operations/12" || strings.TrimSpace(w.Body.String()) != want {
		t.Errorf("by filter = %d %s\nwant %s", w.Code, w.Body, want)
	}
	post(s, "/v1/jobs/bulk", `{"action":"delete","all":true}`)
	post(s, "/v1/jobs/bulk", `{"action":"cancel","filter":{"kind":"","created_before":"2026-11-23T15:00:00Z"}}`)
	if w := post(s, "/v1/queues/email%3Aprocessing/purge", `{"confirm":"email:processing"}`); w.Code != http.StatusAccepted {
		t.Errorf("purge = %d %s", w.Code, w.Body)
	}
	wantCalls := []string{"preview redrive q dead", "start redrive q dead", "start delete  ", "start cancel  ", "start purge email:processing "}
	if diff := cmp.Diff(wantCalls, f.calls); diff != "" {
		t.Errorf("(-want +called):\n%s", diff)
	}
	for _, body := range []string{`{"confirm":"email"}`, `{}`, `{"confirm":"q","now":true}`, `[]`, `{"confirm":null}`} {
		wantProblem(t, post(s, "/v1/queues/email:processing/purge", body), http.StatusUnprocessableEntity, codeInvalidQueue)
	}
	f.err = job.ErrTooMany
	if w := post(s, "/v1/jobs/bulk", `{"action":"delete","all":true}`); wantProblem(t, w, http.StatusTooManyRequests, codeTooMany).Status == 0 || w.Header().Get("Retry-After") == "" {
		t.Errorf("too many = %d", w.Code)
	}
}

func TestOperations_Look(t *testing.T) {
	t.Parallel()
	f := &fakeBulk{op: job.Operation{ID: 12, Action: job.ActionCancel, Status: job.OperationCompleted}, known: []job.Operation{{ID: 12}, {ID: 11}, {ID: 10}}}
	s := newBulk(t, f, Options{})
	w := get(s, "/v1/operations/12")
	if decodeInto[job.Operation](t, w, http.StatusOK).ID != 12 || w.Header().Get("ETag") == "" {
		t.Errorf("operation = %s", w.Body)
	}
	page := decodeInto[struct {
		Data []job.Operation
		Next string `json:"next_cursor"`
	}](t, get(s, "/v1/operations?limit=2"), http.StatusOK)
	if len(page.Data) != 2 || page.Next != "11" {
		t.Errorf("page = %+v", page)
	}
	get(s, "/v1/operations?limit=2&cursor=11")
	if diff := cmp.Diff([]string{"list 0 2", "list 11 2"}, f.calls); diff != "" {
		t.Errorf("(-want +called):\n%s", diff)
	}
	wantProblem(t, get(s, "/v1/operations?cursor=x"), http.StatusBadRequest, codeInvalidParameter)
	wantProblem(t, get(s, "/v1/operations/x"), http.StatusBadRequest, codeInvalidParameter)
	wantProblem(t, bare(s, http.MethodPost, "/v1/operations/12/cancel"), http.StatusConflict, codeWrongStatus)
	f.done = true
	if w := bare(s, http.MethodPost, "/v1/operations/12/cancel"); w.Code != http.StatusOK {
		t.Errorf("cancel = %d %s", w.Code, w.Body)
	}
	f.err = job.ErrNotFound
	wantProblem(t, get(s, "/v1/operations/12"), http.StatusNotFound, codeNoOperation)
	wantProblem(t, bare(s, http.MethodPost, "/v1/operations/12/cancel"), http.StatusNotFound, codeNoOperation)
}
