package rookery_test

import (
	"strings"
	"testing"
	"time"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/job"
)

func TestQueueFindings(t *testing.T) {
	queue := func(name string, ready int64, age time.Duration, paused bool) job.QueueStats {
		return job.QueueStats{Queue: job.Queue{Name: name, Paused: paused}, Ready: ready, OldestAge: age}
	}
	worker := func(id string, age time.Duration) job.ProcessState {
		return job.ProcessState{ID: id, Role: "worker", BeatAge: age, Epochs: map[string]int64{"mail": 1}}
	}
	alive := worker("w", time.Second)
	for _, c := range []struct {
		name  string
		queue job.QueueStats
		by    job.ProcessState
		want  string // "" is nothing
	}{
		{"nothing waits", queue("mail", 0, 0, true), alive, ""},
		{"it is being worked on", queue("mail", 1, 5*time.Minute, false), alive, ""},
		{"too old", queue("mail", 1, 5*time.Minute+1, false), alive, "mail: the oldest job has been due for 5m0s"},
		{"paused", queue("mail", 2, 0, true), alive, "mail is paused, and 2 jobs are due"},
		{"no worker", queue("bulk", 1, 0, false), alive, "bulk has no worker, and 1 job is due"},
		{"beats, just", queue("mail", 1, 0, false), worker("w", 15*time.Second-1), ""},
		{"silent", queue("mail", 0, 0, false), worker("w\nx", 15*time.Second), "worker w x is silent for 15s"},
		{"forgotten", queue("mail", 0, 0, false), worker("w", 10*time.Minute), ""},
	} {
		got := rookery.QueueFindings([]job.QueueStats{c.queue}, []job.ProcessState{c.by})
		switch {
		case c.want == "" && len(got) != 0, c.want != "" && (len(got) != 1 || got[0].Problem != c.want):
			t.Errorf("QueueFindings(%s) = %v, want %q", c.name, got, c.want)
		case len(got) == 1 && (!got[0].Warning || strings.TrimSpace(got[0].Remedy) == ""):
			t.Errorf("QueueFindings(%s) = %+v, want a warning with a remedy", c.name, got[0])
		}
	}
}
