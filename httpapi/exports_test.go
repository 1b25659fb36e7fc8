package httpapi

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/penguinmails/rookery/job"
)

// heldEvents says when somebody reads, and lets them go on when it is told.
type heldEvents struct {
	fakeEvents
	reads  chan struct{}
	goOn   chan struct{}
	failed error
}

func (h *heldEvents) Events(ctx context.Context, from job.EventCursor, detail bool) (job.EventPage, error) {
	select {
	case h.reads <- struct{}{}:
		<-h.goOn
	case <-ctx.Done(): // one too many, which nobody awaits
		return job.EventPage{}, ctx.Err()
	}
	if h.failed != nil {
		return job.EventPage{}, h.failed
	}
	return h.fakeEvents.Events(ctx, from, detail)
}

// Two exports are made at a time, one of a key; however they end, the next may begin.
func TestEvents_ExportsAtATime(t *testing.T) {
	t.Parallel()
	f, keys := &heldEvents{reads: make(chan struct{}), goOn: make(chan struct{})}, &fakeKeys{}
	o := everything(keys)
	o.Events = f
	s := newServer(t, &fakeJobs{}, o)
	var names []string
	for range 3 {
		key, _ := keys.give([]job.Scope{job.ScopeJobsRead})
		names = append(names, key)
	}
	export := func(key string) *httptest.ResponseRecorder { return asKey(s, key, "GET", "/v1/events/export", "") }
	for _, failed := range []error{nil, errors.New("away"), nil} {
		f.failed = failed
		var all sync.WaitGroup
		for _, key := range names[:2] {
			all.Go(func() {
				if w := export(key); (w.Code == http.StatusOK) != (failed == nil) {
					t.Errorf("export = %d %s", w.Code, w.Body)
				}
			})
			<-f.reads
			for _, again := range []string{key, names[0]} {
				w := export(again)
				if wantProblem(t, w, http.StatusTooManyRequests, codeRateLimited); w.Header().Get("Retry-After") != "5" {
					t.Errorf("Retry-After = %q, want 5", w.Header().Get("Retry-After"))
				}
			}
		}
		wantProblem(t, export(names[2]), http.StatusTooManyRequests, codeRateLimited)
		f.goOn <- struct{}{}
		f.goOn <- struct{}{}
		all.Wait()
	}
	if s.exports.all != 0 || len(s.exports.of) != 0 {
		t.Errorf("%d exports are left of %v", s.exports.all, s.exports.of)
	}
}
