package workers

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/penguinmails/rookery/job"
)

// shelf keeps what is put, as a table with a row for each minute.
type shelf struct {
	mu    sync.Mutex
	rows  map[time.Time]job.Stat
	fails error
}

func (s *shelf) PutStats(_ context.Context, _ int64, rows []job.Stat) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails != nil {
		return s.fails
	}
	for _, r := range rows {
		s.rows[r.Minute] = r
	}
	return nil
}

// total adds up all minutes.
func (s *shelf) total() (sum job.Stat) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.rows {
		sum.Completed, sum.Failed, sum.Dead = sum.Completed+r.Completed, sum.Failed+r.Failed, sum.Dead+r.Dead
		sum.Cancelled, sum.Snoozed = sum.Cancelled+r.Cancelled, sum.Snoozed+r.Snoozed
		sum.Ran, sum.Waited = sum.Ran+r.Ran, sum.Waited+r.Waited
		for i := range r.RunTimes {
			sum.RunTimes[i], sum.WaitTimes[i] = sum.RunTimes[i]+r.RunTimes[i], sum.WaitTimes[i]+r.WaitTimes[i]
		}
	}
	return sum
}

// due makes envelopes that fell due just so long ago.
func due(ago time.Duration, kind string, first, n int64) []job.Envelope {
	list := envelopes(kind, first, n)
	for i := range list {
		list[i].RunAt = time.Now().Add(-ago)
		list[i].CreatedAt, list[i].DispatchedAt = list[i].RunAt, list[i].RunAt
	}
	return list
}

func TestFigures_SayWhatBecameOfAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, s := newMemory(), &shelf{rows: map[time.Time]job.Stat{}}
		m.push("q", due(20*time.Second, "k", 1, 5)...)
		m.push("q", due(20*time.Second, "unknown", 6, 1)...)
		r := start(t, m, func(_ context.Context, j *Job) error {
			time.Sleep(2 * time.Second)
			switch j.ID {
			case 1:
				return errors.New("no luck")
			case 2:
				return job.Discard(errors.New("no use"))
			case 3:
				return job.Cancel(errors.New("no need"))
			}
			return nil
		}, func(o *Options, _ *Registry) { o.Figures = s })
		r.sleep(3 * time.Second)
		if got := s.total(); got.Completed != 0 {
			t.Errorf("within the minute %d are written, want none", got.Completed)
		}
		r.sleep(75 * time.Second)
		want := job.Stat{Completed: 2, Failed: 1, Dead: 1, Cancelled: 1, Snoozed: 1, Ran: 10 * time.Second, Waited: 100 * time.Second}
		for range 5 {
			want.RunTimes.Add(2 * time.Second)
			want.WaitTimes.Add(20 * time.Second)
		}
		if diff := cmp.Diff(want, s.total()); diff != "" {
			t.Errorf("figures (-want +got):\n%s", diff)
		}
		m.push("q", due(0, "k", 7, 1)...)
		r.sleep(3 * time.Second)
		r.end()
		if got := s.total(); got.Completed != 3 {
			t.Errorf("%d are written at the end, want 3", got.Completed)
		}
	})
}

func TestFigures_WaitForPostgres(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, s := newMemory(), &shelf{rows: map[time.Time]job.Stat{}, fails: job.ErrUnavailable}
		m.push("q", due(0, "k", 1, 4)...)
		r := start(t, m, ok, func(o *Options, _ *Registry) { o.Figures = s })
		r.sleep(3 * time.Minute)
		s.mu.Lock()
		s.fails = nil
		s.mu.Unlock()
		r.sleep(15 * time.Second)
		if got := s.total(); got.Completed != 4 {
			t.Errorf("%d are written once Postgres is back, want 4", got.Completed)
		}
		r.end()
	})
}

func TestHistograms_FollowAJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, registry := newMemory(), prometheus.NewRegistry()
		jobs := due(20*time.Second, "k", 1, 1)
		jobs[0].DispatchedAt = time.Now().Add(-5 * time.Second)
		m.push("q", jobs...)
		r := start(t, m, func(context.Context, *Job) error { time.Sleep(2 * time.Second); return nil }, func(o *Options, _ *Registry) { o.Registerer = registry })
		r.sleep(10 * time.Second)
		r.end()
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, f := range families {
			for _, s := range f.GetMetric() {
				if h := s.GetHistogram(); h.GetSampleCount() > 0 {
					got[f.GetName()] = fmt.Sprintf("%d of %.0f s", h.GetSampleCount(), h.GetSampleSum())
				}
			}
		}
		for name, want := range map[string]string{
			"delay_seconds": "1 of 20 s", "dispatch_seconds": "1 of 5 s", "run_seconds": "1 of 2 s",
			"complete_seconds": "1 of 2 s", "total_seconds": "1 of 22 s", "reconcile_lag_seconds": "1 of 0 s", // not of the mark that it runs
		} {
			if got["rookery_worker_"+name] != want {
				t.Errorf("%s = %s, want %s", name, got["rookery_worker_"+name], want)
			}
		}
	})
}

func TestMetrics_KindsAreBounded(t *testing.T) {
	m, err := newMetrics(nil, newHeld(1, 100, time.Second), func() int { return 0 })
	if err != nil {
		t.Fatal(err)
	}
	for i := range mostKinds {
		if kind := fmt.Sprint("k", i); m.label(kind) != kind {
			t.Fatalf("label of kind %d = %q, want its own", i, m.label(kind))
		}
	}
	if got := m.label("one more"); got != "other" {
		t.Errorf("label of the kind after %d = %q, want other", mostKinds, got)
	}
	if got := m.label("k0"); got != "k0" {
		t.Errorf("label of a known kind = %q, want its own", got)
	}
}
