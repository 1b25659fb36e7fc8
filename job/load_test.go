package job

import (
	"testing"
	"time"
)

func TestRate_SecondsOfWork(t *testing.T) {
	minute := Rate{Ended: 600, Span: time.Minute, Ran: 10 * time.Minute} // 10 a second, a second each
	for _, row := range []struct {
		name    string
		rate    Rate
		backlog int64
		want    float64
	}{
		{"nothing to do", minute, 0, 0},
		{"nothing to do, nothing done", Rate{}, 0, 0},
		{"backlog by throughput", minute, 50, 5},
		{"one job", minute, 1, 0.1},
		{"nothing done: a second a job", Rate{}, 7, 7},
		{"little done for want of jobs: what one slot does", Rate{Ended: 1, Span: 5 * time.Minute, Ran: 2 * time.Second}, 10, 20},
		{"no run is shorter than 10 ms", Rate{Ended: 1, Span: time.Minute, Ran: time.Microsecond}, 1000, 10},
		{"slow jobs, one at a time", Rate{Ended: 1, Span: time.Minute, Ran: time.Minute}, 2, 120},
	} {
		if got := row.rate.SecondsOfWork(row.backlog); got != row.want {
			t.Errorf("%s: SecondsOfWork(%d) = %g, want %g", row.name, row.backlog, got, row.want)
		}
	}
}

func TestQueueStats_Backlog(t *testing.T) {
	q := QueueStats{Ready: 5, Out: 100, Scheduled: 7}
	if got := q.Backlog(); got != 105 {
		t.Errorf("without Redis Backlog() = %d, want 105", got)
	}
	q.Window = &Window{Waiting: [3]int64{0, 20, 0}, Leased: 3}
	if got := q.Backlog(); got != 28 {
		t.Errorf("with Redis Backlog() = %d, want 28", got)
	}
}
