package dashboard

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/penguinmails/rookery/job"
)

func TestTimeline_InOrderAndOnce(t *testing.T) {
	t.Parallel()
	t0 := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	at := func(ms int) *time.Time { u := t0.Add(time.Duration(ms) * time.Millisecond); return &u }
	failed := job.Attempt{AttemptCount: 1, WorkerID: "w-1", StartedAt: at(20), FinishedAt: *at(2020), Outcome: "fail", Error: json.RawMessage(`{"message": "EOF", "stack": "x"}`)}
	last := job.Attempt{AttemptCount: 2, WorkerID: "w-2", StartedAt: at(60_020), FinishedAt: *at(61_020), Outcome: "exhaust", Error: json.RawMessage(`{"message": "EOF"}`)}
	for _, tt := range []struct {
		name     string
		j        job.Job
		attempts []job.Attempt
		want     []string
	}{
		{"just inserted", job.Job{Status: job.Queued, CreatedAt: t0, RunAt: t0}, nil, []string{"inserted"}},
		{"later", job.Job{Status: job.Queued, CreatedAt: t0, RunAt: *at(60_000)}, nil, []string{"inserted", "due +1 min"}},
		{"retrying", job.Job{Status: job.Queued, CreatedAt: t0, RunAt: *at(62_020), AttemptCount: 1, FailureCount: 1, DispatchedAt: at(10), StartedAt: at(20)}, []job.Attempt{failed},
			[]string{"inserted", "handed to Redis, attempt 1 +10 ms", "attempt 1 started +10 ms w-1", "attempt 1: failed +2.0 s w-1 EOF", "tried again +1 min"}},
		{"running", job.Job{Status: job.Running, CreatedAt: t0, RunAt: t0, AttemptCount: 1, DispatchedAt: at(10), StartedAt: at(20), WorkerID: "w-1"}, nil,
			[]string{"inserted", "handed to Redis, attempt 1 +10 ms", "attempt 1 started +10 ms w-1"}},
		{"completed at once", job.Job{Status: job.Completed, CreatedAt: t0, RunAt: t0, AttemptCount: 1, DispatchedAt: at(10), FinishedAt: at(30), WorkerID: "w-1"}, nil,
			[]string{"inserted", "handed to Redis, attempt 1 +10 ms", "completed +20 ms w-1"}},
		{"dead", job.Job{Status: job.Dead, CreatedAt: t0, RunAt: t0, AttemptCount: 2, FailureCount: 2, DispatchedAt: at(60_010), StartedAt: at(60_020), FinishedAt: at(61_020), WorkerID: "w-2"}, []job.Attempt{failed, last},
			[]string{"inserted", "attempt 1 started +20 ms w-1", "attempt 1: failed +2.0 s w-1 EOF", "handed to Redis, attempt 2 +57 s", "attempt 2 started +10 ms w-2", "attempt 2: failed, the last one allowed +1.0 s w-2 EOF", "dead +0 ms w-2"}},
	} {
		var got []string
		for _, s := range timeline(tt.j, tt.attempts) {
			line := s.What
			if s.After != "" {
				line += " +" + s.After
			}
			got = append(got, strings.TrimSpace(fmt.Sprint(line, " ", s.Worker, " ", s.Detail)))
		}
		for i := range got {
			got[i] = strings.Join(strings.Fields(got[i]), " ")
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestPretty_KeepsNumbers(t *testing.T) {
	t.Parallel()
	if got, cut := pretty(json.RawMessage(`{"n": 12345678901234567890, "f": 1.10}`)); cut || got != "{\n  \"n\": 12345678901234567890,\n  \"f\": 1.10\n}" {
		t.Errorf("pretty = %q, %t", got, cut)
	}
	long := json.RawMessage(`"` + strings.Repeat("é", maxShown) + `"`)
	if got, cut := pretty(long); !cut || len(got) > maxShown || strings.Contains(got, "\uFFFD") {
		t.Errorf("pretty of %d bytes = %d bytes, cut %t", len(long), len(got), cut)
	}
}
