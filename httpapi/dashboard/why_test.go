package dashboard

import (
	"strings"
	"testing"
	"time"

	"github.com/penguinmails/rookery/job"
)

func TestWhy_NamesWhatHoldsItUp(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	relay := job.ProcessState{ID: "r", Role: "relay"}
	silent := job.ProcessState{ID: "r", Role: "relay", BeatAge: job.Alive}
	worker := job.ProcessState{ID: "w", Role: "worker", Queues: []string{"mail"}, Slots: 2}
	busy := worker
	busy.Running = []job.Ref{{ID: 1}, {ID: 2}}
	queue := func(paused bool, window *job.Window, size int) []job.QueueStats {
		return []job.QueueStats{{Queue: job.Queue{Name: "mail", Paused: paused, WindowSize: size}, Window: window}}
	}
	idle := queue(false, &job.Window{}, 10)
	queued := job.Job{QueueName: "mail", Status: job.Queued, RunAt: now, MaxAttempts: 25}
	later, retrying := queued, queued
	later.RunAt, retrying.RunAt = now.Add(90*time.Second), now.Add(time.Hour)
	retrying.FailureCount = 3
	dispatched := queued
	dispatched.Status = job.Dispatched
	waiting, leased := &job.Live{State: "waiting"}, &job.Live{State: "leased"}
	started := now.Add(-5 * time.Minute)
	for _, tt := range []struct {
		name  string
		j     job.Job
		g     glance
		ahead int64
		live  *job.Live
		want  string
	}{
		{"later", later, glance{}, 0, nil, "due in 1 min 30 s"},
		{"retrying", retrying, glance{}, 0, nil, "failed 3 of 25 times and is tried again in 1 h"},
		{"paused", queued, glance{Queues: queue(true, &job.Window{}, 10)}, 0, nil, "queue is paused"},
		{"no relay", queued, glance{Queues: idle}, 0, nil, "No relay"},
		{"a silent relay", queued, glance{Queues: idle, Processes: []job.ProcessState{silent}}, 0, nil, "No relay"},
		{"redis away", queued, glance{Queues: queue(false, nil, 10), Processes: []job.ProcessState{relay}}, 0, nil, "Redis does not answer"},
		{"window full", queued, glance{Queues: queue(false, &job.Window{Waiting: [3]int64{1, 8, 1}}, 10), Processes: []job.ProcessState{relay}}, 4, nil, "window of its queue is full (10 jobs in Redis): it waits in Postgres behind 4 jobs"},
		{"window not quite full", queued, glance{Queues: queue(false, &job.Window{Waiting: [3]int64{1, 8, 0}}, 10), Processes: []job.ProcessState{relay}}, 4, nil, "waits in Postgres behind 4 jobs"},
		{"one ahead", queued, glance{Queues: idle, Processes: []job.ProcessState{relay}}, 1, nil, "behind 1 job."},
		{"many ahead", queued, glance{Queues: idle, Processes: []job.ProcessState{relay}}, job.GlanceCap, nil, "behind more than 10,000 jobs"},
		{"next", queued, glance{Queues: idle, Processes: []job.ProcessState{relay}}, 0, nil, "the next to be handed out"},
		{"in a Redis that is away", dispatched, glance{}, 0, nil, "Redis, which does not answer"},
		{"leased", dispatched, glance{Queues: idle}, 0, leased, "A worker has it"},
		{"paused in Redis", dispatched, glance{Queues: queue(true, &job.Window{}, 10)}, 0, waiting, "workers take nothing"},
		{"no worker", dispatched, glance{Queues: idle}, 0, waiting, "no live worker serves its queue"},
		{"all busy", dispatched, glance{Queues: idle, Processes: []job.ProcessState{busy}}, 0, waiting, "all 2 slots of 1 worker are busy"},
		{"among others", dispatched, glance{Queues: queue(false, &job.Window{Waiting: [3]int64{0, 3, 0}}, 10), Processes: []job.ProcessState{worker}}, 0, waiting, "with 2 other jobs"},
		{"alone", dispatched, glance{Queues: idle, Processes: []job.ProcessState{worker}}, 0, waiting, "waits in Redis for a worker"},
		{"running", job.Job{Status: job.Running, WorkerID: "w", StartedAt: &started}, glance{}, 0, nil, "running on w, for 5 min"},
		{"completed", job.Job{Status: job.Completed}, glance{}, 0, nil, "done"},
		{"exhausted", job.Job{Status: job.Dead, FailureCount: 2, MaxAttempts: 2}, glance{}, 0, nil, "failed 2 times, which is all"},
		{"discarded", job.Job{Status: job.Dead, FailureCount: 1, MaxAttempts: 2}, glance{}, 0, nil, "is dead"},
		{"cancelled", job.Job{Status: job.Cancelled}, glance{}, 0, nil, "called it off"},
	} {
		got := why(tt.j, facts{now: now, glance: tt.g, ahead: tt.ahead, live: tt.live})
		if !strings.Contains(got, tt.want) || strings.Count(got, ".") < 1 {
			t.Errorf("%s: why = %q, want %q in it", tt.name, got, tt.want)
		}
	}
}

func TestAgo(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	for d, want := range map[time.Duration]string{
		0: "now", 999 * time.Millisecond: "now", time.Second: "1 s ago", 119 * time.Second: "1 min ago", 26 * time.Hour: "1 d ago", -time.Hour: "in 1 h", -1: "in 0 s",
	} {
		if got := ago(now.Add(-d), now); got != want {
			t.Errorf("ago(%s) = %q, want %q", d, got, want)
		}
	}
	if got := ago(time.Time{}, now); got != "–" {
		t.Errorf("ago of no time = %q", got)
	}
}

func TestSpan(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-1: "–", 0: "0 ms", time.Millisecond: "1 ms", 999 * time.Millisecond: "999 ms", time.Second: "1.0 s", 10 * time.Second: "10 s",
		time.Minute: "1 min", 61 * time.Second: "1 min 1 s", time.Hour: "1 h", 25*time.Hour + time.Minute: "1 d 1 h",
	} {
		if got := span(d); got != want {
			t.Errorf("span(%d) = %q, want %q", d, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1234567: "-1,234,567"} {
		if got := number(n); got != want {
			t.Errorf("number(%d) = %q, want %q", n, got, want)
		}
	}
}
