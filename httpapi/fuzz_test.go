package httpapi

import (
	"encoding/json"
	"net/http"
	"testing"
)

// FuzzPostJob holds the invariant at the door: whatever comes, the answer is 201
// and the job is one that job.Spec accepts, or a whole problem that is no 5xx.
func FuzzPostJob(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `[]`, `null`, `{"payload":{"a":[1,-2.5e-7,"\ud83d\ude00",null,true]},"kind":"k","queue_name":"q"}`,
		`{"jobs":[{"priority":1},{"run_at":"2026-12-01T09:00:00Z"}]}`, `{"headers":{"a":"\u0000"},"max_attempts":1e3}`,
		`{"payload":1e1000000}`, `{"payload":[[[[]]]]}`, "{\"kind\":\"\xff\"}", `{"kind":"a","\u006bind":"b"}`, `{"payload":"\\\u0000\ud800"}`,
	} {
		f.Add([]byte(seed), false)
		f.Add([]byte(seed), true)
	}
	f.Fuzz(func(t *testing.T, body []byte, batch bool) {
		jobs := &fakeJobs{}
		s := newServer(t, jobs, Options{})
		target := "/v1/jobs"
		if batch {
			target = "/v1/jobs/batch"
		}
		w := post(s, target, string(body))
		if w.Code != http.StatusCreated {
			if w.Code < 400 || w.Code > 499 || len(jobs.specs) > 0 {
				t.Fatalf("answer = %d %s with %d jobs", w.Code, w.Body, len(jobs.specs))
			}
			var p problem
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
				t.Fatal(err)
			}
			wantProblem(t, w, w.Code, p.Code)
			return
		}
		for _, spec := range jobs.specs {
			if _, err := spec.Filled(); err != nil {
				t.Errorf("let in %+v: %v", spec, err)
			}
			if d, p := newDocument(spec.Payload); p != nil {
				t.Errorf("let in payload %q: %v", spec.Payload, p)
			} else if d.value(1); len(d.faults) > 0 {
				t.Errorf("let in payload %q: %v", spec.Payload, d.faults)
			}
		}
	})
}
