package httpapi

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
)

// fakeWatch knows which jobs are over.
type fakeWatch struct {
	mu    sync.Mutex
	over  map[int64]bool
	asks  int
	among atomic.Int32 // questions under way
	err   error
}

func (f *fakeWatch) Over(_ context.Context, ids []int64) (over []int64, err error) {
	if f.among.Add(1) > 1 {
		return nil, errors.New("two ask at once")
	}
	defer f.among.Add(-1)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asks++
	for _, id := range ids {
		if f.over[id] {
			over = append(over, id)
		}
	}
	return over, f.err
}

func (f *fakeWatch) end(id int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.over[id] = true
}

// Each goes when its own job is over, one question serves all, and when the one who asks
// leaves another does.
func TestWaits_OneAsksForAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fakeWatch{over: map[int64]bool{}}
		w := newWaits(f)
		start := time.Now()
		var mu sync.Mutex
		left := map[string]time.Duration{}
		var all sync.WaitGroup
		wait := func(who string, id int64, long time.Duration) {
			all.Go(func() {
				if err := w.await(t.Context(), id, long); err != nil {
					t.Errorf("%s: %v", who, err)
				}
				mu.Lock()
				defer mu.Unlock()
				left[who] = time.Since(start).Round(time.Second)
			})
			synctest.Wait() // so that the first one asks
		}
		wait("leaves early", 9, 3*time.Second)
		wait("a", 1, time.Minute)
		wait("b", 1, time.Minute)
		wait("c", 2, time.Minute)
		wait("in vain", 3, 40*time.Second)
		time.Sleep(9 * time.Second) //nolint:forbidigo // of the bubble
		f.end(1)
		time.Sleep(10 * time.Second) //nolint:forbidigo // of the bubble
		f.end(2)
		all.Wait()
		for who, about := range map[string]time.Duration{"leaves early": 3 * time.Second, "a": 9 * time.Second, "b": 9 * time.Second, "c": 19 * time.Second, "in vain": 40 * time.Second} {
			if got := left[who]; got < about || got > about+2*time.Second {
				t.Errorf("%s went after %s, want about %s", who, got, about)
			}
		}
		if f.asks > 80 {
			t.Errorf("Postgres was asked %d times in 40 s, by five", f.asks)
		}
		if w.count != 0 || len(w.jobs) != 0 {
			t.Errorf("%d waits are left", w.count)
		}
	})
}

func TestWaits_HaveALimitAndAnEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fakeWatch{over: map[int64]bool{}, err: job.ErrUnavailable}
		w := newWaits(f)
		var all sync.WaitGroup
		for range maxWaits {
			all.Go(func() { _ = w.await(t.Context(), 7, time.Minute) })
		}
		synctest.Wait()
		var p *problem
		if err := w.await(t.Context(), 7, time.Minute); !errors.As(err, &p) || p.Code != codeTooManyWaits || p.retryAfter == 0 {
			t.Errorf("one more = %v, want %s", err, codeTooManyWaits)
		}
		begin := time.Now()
		w.close()
		w.close()
		if all.Wait(); time.Since(begin) > time.Second {
			t.Errorf("they went %s after the end", time.Since(begin))
		}
	})
}

func TestGetJob_Waits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // the wait of 10 ms ends before Postgres is asked
		f := &fakeWatch{over: map[int64]bool{7: true}}
		jobs := &fakeJobs{rows: map[int64]job.Job{7: {ID: 7, Status: job.Running}, 8: {ID: 8, Status: job.Dead}}}
		s := newServer(t, jobs, Options{Watch: f})
		for _, target := range []string{"/v1/jobs/8?wait=40s&until=finished", "/v1/jobs/7?wait=20s", "/v1/jobs/7?wait=10ms"} {
			if w := get(s, target); w.Code != http.StatusOK {
				t.Errorf("%s = %d %s", target, w.Code, w.Body)
			}
		}
		if f.asks != 1 {
			t.Errorf("Postgres was asked %d times, want once: for the one that ran", f.asks)
		}
		wantProblem(t, get(s, "/v1/jobs/9?wait=1s"), http.StatusNotFound, codeJobNotFound)
		for _, query := range []string{"wait=", "wait=1", "wait=-1s", "wait=41s", "wait=0s", "wait=1s&wait=1s", "until=finished", "wait=1s&until=started", "wait=1s&until=finished&until=finished"} {
			wantProblem(t, get(s, "/v1/jobs/7?"+query), http.StatusBadRequest, codeInvalidParameter)
		}
		wantProblem(t, get(newServer(t, jobs, Options{}), "/v1/jobs/7?wait=1s"), http.StatusBadRequest, codeInvalidParameter)
	})
}

// A server that ends answers those that wait, with the job as it is.
func TestWaits_EndWithTheServer(t *testing.T) {
	t.Parallel()
	f := &fakeWatch{over: map[int64]bool{}}
	s := newServer(t, &fakeJobs{rows: map[int64]job.Job{7: {ID: 7, Status: job.Running}}}, Options{Addr: "127.0.0.1:0", Watch: f})
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	status := make(chan int, 1)
	go func() {
		res, err := http.Get("http://" + s.Addr() + "/v1/jobs/7?wait=40s") //nolint:noctx // the server ends it
		if err != nil {
			t.Error(err)
			status <- 0
			return
		}
		status <- res.StatusCode
		_ = res.Body.Close()
	}()
	devtest.Until(t, patience, "the request to wait", func() (bool, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.asks > 0, nil
	})
	stop()
	if got := <-status; got != http.StatusOK {
		t.Errorf("the one that waited was answered with %d, want 200", got)
	}
	if err := <-ended; err != nil {
		t.Errorf("Run = %v", err)
	}
	isClosed(t, s)
}

func TestTimeline(t *testing.T) {
	t.Parallel()
	at := func(s int) *time.Time { v := time.Unix(int64(s), 0); return &v }
	j := job.Job{Status: job.Completed, CreatedAt: *at(0), RunAt: *at(20), DispatchedAt: at(21), StartedAt: at(22), FinishedAt: at(25), AttemptCount: 2, WorkerID: "w2"}
	got := timelineOf(j, []job.Attempt{{AttemptCount: 1, WorkerID: "w1", StartedAt: at(2), FinishedAt: *at(10), Outcome: "fail"}})
	var events []string
	sum := 0.0
	for _, s := range got {
		events = append(events, s.Event+" "+s.WorkerID)
		if s.Seconds != nil {
			sum += *s.Seconds
		}
	}
	if want := []string{"inserted ", "started w1", "fail w1", "dispatched ", "started w2", "completed w2"}; !slices.Equal(events, want) || sum != 25 {
		t.Errorf("timeline = %q, %g s, want %q, 25 s", events, sum, want)
	}
	j = job.Job{Status: job.Queued, CreatedAt: *at(0), RunAt: *at(60)}
	if got := timelineOf(j, nil); len(got) != 2 || got[1].Event != "due" || *got[1].Seconds != 60 || got[0].Seconds != nil {
		t.Errorf("timeline of a scheduled job = %+v", got)
	}
}
