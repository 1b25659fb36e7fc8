package httpapi

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// fakeUI says which path it was asked for.
type fakeUI struct{}

// ServeHTTP answers with it.
func (f *fakeUI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.WriteString(w, r.Method+" "+r.URL.Path)
}

// Close has nothing to end.
func (f *fakeUI) Close() {}

// With keys the dashboard finds out by itself who asks; without, only this machine gets
// as far as it. The API's own routes stay as they are.
func TestUI_HasADoorOfItsOwn(t *testing.T) {
	t.Parallel()
	const key = "a-key-of-the-tests-0001"
	withUI := func(*Door) (UI, error) { return &fakeUI{}, nil }
	for _, tt := range []struct {
		name    string
		keys    []string
		ui      func(*Door) (UI, error)
		host    string
		method  string
		target  string
		status  int
		answers string
	}{
		{"with keys", []string{key}, withUI, "jobs.example.com", "GET", "/ui/jobs/1", 200, "GET /ui/jobs/1"},
		{"a post with keys", []string{key}, withUI, "jobs.example.com", "POST", "/ui/jobs/1/cancel", 200, "POST /ui/jobs/1/cancel"},
		{"the stream with keys", []string{key}, withUI, "jobs.example.com", "GET", "/ui/stream", 200, "GET /ui/stream"},
		{"of the server itself", []string{key}, withUI, "jobs.example.com", "GET", "/", 308, ""},
		{"without a slash", []string{key}, withUI, "jobs.example.com", "GET", "/ui", 308, ""},
		{"the API with keys", []string{key}, withUI, "jobs.example.com", "GET", "/v1/queues", 401, ""},
		{"beside it", []string{key}, withUI, "jobs.example.com", "GET", "/uix", 401, ""},
		{"on this machine", nil, withUI, "localhost", "GET", "/ui/", 200, "GET /ui/"},
		{"under another name", nil, withUI, "rebound.example.com", "GET", "/ui/", 403, ""},
		{"the stream under another name", nil, withUI, "rebound.example.com", "GET", "/ui/stream", 403, ""},
		{"another method", []string{key}, withUI, "jobs.example.com", "DELETE", "/ui/jobs/1", 405, ""},
		{"none", nil, nil, "localhost", "GET", "/ui/", 404, ""},
	} {
		s := newServer(t, &fakeJobs{}, Options{Keys: tt.keys, UI: tt.ui})
		r := httptest.NewRequest(tt.method, tt.target, nil)
		r.Host = tt.host
		w := do(s, r)
		if w.Code != tt.status || tt.answers != "" && w.Body.String() != tt.answers {
			t.Errorf("%s: %s %s = %d %q, want %d %q", tt.name, tt.method, tt.target, w.Code, w.Body, tt.status, tt.answers)
		}
	}
}
