package httpapi

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/penguinmails/rookery/job"
)

func postLines(s *Server, body string) *httptest.ResponseRecorder {
	r := newRequestTo(http.MethodPost, "/v1/jobs/batch", body)
	r.Header.Set("Content-Type", mimeLines)
	return do(s, r)
}

// Lines insert what the same jobs in one array do.
func TestLines_AsABatch(t *testing.T) {
	t.Parallel()
	one, two := &fakeJobs{}, &fakeJobs{}
	w := postLines(newServer(t, one, Options{}), "{\"queue_name\":\"a\",\"payload\":{\"x\": \"1\\n\"}}\r\n\n  \n{\"kind\":\"k\"}")
	v := post(newServer(t, two, Options{}), "/v1/jobs/batch", `{"jobs":[{"queue_name":"a","payload":{"x": "1\n"}},{"kind":"k"}]}`)
	if w.Code != http.StatusCreated || w.Body.String() != v.Body.String() {
		t.Errorf("lines = %d %s\nwant %s", w.Code, w.Body, v.Body)
	}
	if diff := cmp.Diff(two.specs, one.specs, cmpopts.EquateEmpty()); diff != "" || len(one.specs) != 2 {
		t.Errorf("(-batch +lines):\n%s", diff)
	}
}

// What is wrong is told with its line, and nothing is inserted.
func TestLines_Refuses(t *testing.T) {
	t.Parallel()
	f := &fakeJobs{}
	s := newServer(t, f, Options{MaxBody: 64 << 10})
	good := "{}\n"
	for _, tt := range []struct {
		body, code string
		status     int
		line       int
		field      string
	}{
		{good + good + `{"priority":-1}`, codeInvalidJob, http.StatusUnprocessableEntity, 3, "priority"},
		{"\n\n" + `{"kind":1,"x":2}`, codeInvalidJob, http.StatusUnprocessableEntity, 3, "kind"},
		{good + `[]`, codeInvalidJob, http.StatusUnprocessableEntity, 2, ""},
		{strings.Repeat(good, MaxJobs) + "{}", codeInvalidJob, http.StatusUnprocessableEntity, MaxJobs + 1, ""},
		{"\n\n", codeInvalidJob, http.StatusUnprocessableEntity, 0, ""},
		{good + `{"payload":[1e131071]}`, codeInvalidJob, http.StatusUnprocessableEntity, 0, ""},
		{good + `{"kind":`, codeInvalidJSON, http.StatusBadRequest, 2, ""},
		{good + "{} {}", codeInvalidJSON, http.StatusBadRequest, 2, ""},
		{good + "\"\xff\"", codeInvalidJSON, http.StatusBadRequest, 2, ""},
		{"", codeMissingBody, http.StatusBadRequest, 0, ""},
		{strings.Repeat(" ", 64<<10) + "{}", codeBodyTooLarge, http.StatusRequestEntityTooLarge, 0, ""},
	} {
		p := wantProblem(t, postLines(s, tt.body), tt.status, tt.code)
		if tt.code == codeInvalidJSON && !strings.HasPrefix(p.Detail, "line 2: ") {
			t.Errorf("%.40q: detail = %q, want the line", tt.body, p.Detail)
		}
		if tt.code == codeInvalidJob && (p.Errors[0].Line != tt.line || p.Errors[0].Field != tt.field) {
			t.Errorf("%.40q: fault = %+v, want line %d, field %q", tt.body, p.Errors[0], tt.line, tt.field)
		}
	}
	if p := wantProblem(t, postLines(s, strings.Repeat(`{"x":1}`+"\n", maxFaults+1)), http.StatusUnprocessableEntity, codeInvalidJob); len(p.Errors) != maxFaults || !strings.HasPrefix(p.Detail, "more than") {
		t.Errorf("%d faults, %q", len(p.Errors), p.Detail)
	}
	r := newRequestTo(http.MethodPost, "/v1/jobs", "{}")
	r.Header.Set("Content-Type", mimeLines)
	wantProblem(t, do(s, r), http.StatusUnsupportedMediaType, codeUnsupportedType) // one job is no batch
	if len(f.specs) != 0 {
		t.Errorf("refused requests inserted %+v", f.specs)
	}
}

// An Idempotency-Key that one job came with is not good for the same text as a batch.
func TestLines_DigestIsTheirOwn(t *testing.T) {
	t.Parallel()
	r := request{body: []byte(`{}`), idemKeys: []string{"k"}}
	one, _, err := newSpooled(r, "", []job.Spec{{}})
	r.lines = true
	lines, _, err2 := newSpooled(r, "", []job.Spec{{}})
	if err != nil || err2 != nil || one.Key != lines.Key || cmp.Equal(one.Digest, lines.Digest) {
		t.Errorf("digests %x and %x of keys %s and %s", one.Digest, lines.Digest, one.Key, lines.Key)
	}
}
