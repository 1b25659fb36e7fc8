package httpapi

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/penguinmails/rookery/job"
)

// fakeWorkers notes what it was told.
type fakeWorkers struct {
	told []string
	err  error
}

func (f *fakeWorkers) SetQuiet(_ context.Context, who job.Actor, id string, quiet bool) error {
	f.told = append(f.told, who.Principal+" "+id+" "+map[bool]string{true: "quiet", false: "loud"}[quiet])
	return f.err
}

func TestQuiet(t *testing.T) {
	t.Parallel()
	f := &fakeWorkers{}
	s := newServer(t, &fakeJobs{}, Options{Admin: &Admin{Look: &fakeAdmin{}, As: (&fakeAdmin{}).as}, Workers: f})
	if w := post(s, "/v1/workers/host%2F7/quiet", `{"quiet":true}`); w.Code != http.StatusOK || strings.TrimSpace(w.Body.String()) != `{"id":"host/7","quiet":true}` {
		t.Errorf("quiet = %d %s", w.Code, w.Body)
	}
	post(s, "/v1/workers/w/quiet", `{"quiet":false}`)
	if diff := cmp.Diff([]string{"local host/7 quiet", "local w loud"}, f.told); diff != "" {
		t.Errorf("(-want +told):\n%s", diff)
	}
	for body, field := range map[string]string{`{}`: "quiet", `{"quiet":1}`: "quiet", `{"quiet":null}`: "quiet", `{"quiet":true,"for":"1h"}`: "for", `[]`: ""} {
		if p := wantProblem(t, post(s, "/v1/workers/w/quiet", body), http.StatusUnprocessableEntity, codeInvalidRequest); p.Errors[0].Field != field {
			t.Errorf("%s: the problem names %q, want %q", body, p.Errors[0].Field, field)
		}
	}
	wantProblem(t, post(s, "/v1/workers/"+strings.Repeat("w", job.MaxProcessID+1)+"/quiet", `{"quiet":true}`), http.StatusBadRequest, codeInvalidParameter)
	f.err = job.ErrNotFound
	wantProblem(t, post(s, "/v1/workers/w/quiet", `{"quiet":true}`), http.StatusNotFound, codeNoWorker)
	if len(f.told) != 3 {
		t.Errorf("refused requests told %v", f.told[3:])
	}
}
