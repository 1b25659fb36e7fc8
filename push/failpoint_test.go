package push

import (
	"net/http"
	"testing"

	"github.com/penguinmails/rookery/job"
)

// The point of crash tests lies behind the answer, and only where there is one.
func TestTarget_FailsAfterAnAnswer(t *testing.T) {
	t.Parallel()
	asked := 0
	r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
		if asked++; asked > 1 {
			panic(http.ErrAbortHandler)
		}
	})
	target, _ := targetAt(r, r.endpoint())
	var points []string
	target.failpoint = func(name string) {
		points = append(points, name)
		if asked != 1 {
			t.Errorf("%s is reached after %d requests, want 1", name, asked)
		}
	}
	for i, want := range []job.OutcomeKind{job.Succeeded, job.Failed} {
		if o := outcome(t, target, int64(i)); o.Kind != want {
			t.Errorf("request %d makes the job %s, want %s", i+1, o.Kind, want)
		}
	}
	if len(points) != 1 || points[0] != FailAfterAnswer {
		t.Errorf("the points reached are %q, want %s once", points, FailAfterAnswer)
	}
}
