package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penguinmails/rookery/job"
)

// loaded is two queues: one that goes, and one that is paused.
func loaded() *fakeJobs {
	at := time.Now()
	return &fakeJobs{queues: []job.QueueStats{
		{
			Queue: job.Queue{Name: "mail"}, Ready: 1, Scheduled: 2, Out: 9, OldestAt: &at, OldestAge: 2500 * time.Millisecond,
			Window: &job.Window{Waiting: [3]int64{1, 2, 3}, Leased: 3}, Rate: job.Rate{Ended: 120, Span: time.Minute, Ran: time.Minute},
		},
		{Queue: job.Queue{Name: "other", Paused: true}, Ready: 4},
	}}
}

func TestStats(t *testing.T) {
	t.Parallel()
	f := &fakeAdmin{}
	s := newServer(t, loaded(), Options{Admin: &Admin{Look: f, As: f.as}})
	mail := `{"queue_name":"mail","paused":false,"ready":1,"scheduled":2,"out":9,"waiting":6,"leased":3,"oldest_age_seconds":2.5,"backlog":10,"throughput":2,"seconds_of_work":5}`
	want := `{"data":[` + mail +
		`,{"queue_name":"other","paused":true,"ready":4,"scheduled":0,"out":0,"waiting":null,"leased":null,"oldest_age_seconds":null,"backlog":4,"throughput":0,"seconds_of_work":0}],` +
		`"counted_to":100000,"backlog":14,"throughput":2,"seconds_of_work":5}`
	if got := strings.TrimSpace(get(s, "/v1/stats").Body.String()); got != want {
		t.Errorf("stats = %s\nwant %s", got, want)
	}
	if got := strings.TrimSpace(get(s, "/v1/stats/mail/scaler").Body.String()); got != mail {
		t.Errorf("scaler = %s\nwant %s", got, mail)
	}
	fresh := decodeInto[queueLoad](t, get(s, "/v1/stats/new/scaler"), http.StatusOK)
	if fresh.QueueName != "new" || fresh.Seconds != 0 || fresh.Backlog != 0 {
		t.Errorf("scaler of a queue that is not there yet = %+v, want no load", fresh)
	}
	wantProblem(t, get(s, "/v1/stats/a%7Bb/scaler"), http.StatusBadRequest, codeInvalidParameter)
	wantProblem(t, get(s, "/v1/stats?queue=mail"), http.StatusBadRequest, codeInvalidParameter)
}

func TestStats_ShowAKeyItsQueues(t *testing.T) {
	t.Parallel()
	f := &fakeKeys{}
	s := newServer(t, loaded(), everything(f))
	bound, _ := f.give([]job.Scope{job.ScopeJobsRead}, "other")
	w := asKey(s, bound, "GET", "/v1/stats", "")
	var got stats
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusOK {
		t.Fatalf("stats = %d %s", w.Code, w.Body)
	}
	if len(got.Data) != 1 || got.Data[0].QueueName != "other" || got.Throughput != 0 || got.Backlog != 4 {
		t.Errorf("stats = %s, want those of the queue other alone", w.Body)
	}
	if w := asKey(s, bound, "GET", "/v1/stats/other/scaler", ""); w.Code != http.StatusOK {
		t.Errorf("scaler of the key's queue = %d, want 200", w.Code)
	}
	wantProblem(t, asKey(s, bound, "GET", "/v1/stats/mail/scaler", ""), http.StatusForbidden, codeForbidden)
}

func TestLoads_AreSharedForASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var l loads
		var asked atomic.Int64
		ask := func(context.Context) ([]job.QueueStats, error) {
			asked.Add(1)
			<-time.After(100 * time.Millisecond)
			return []job.QueueStats{{Ready: asked.Load()}}, nil
		}
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if got, err := l.get(t.Context(), ask); err != nil || len(got) != 1 || got[0].Ready != 1 {
					t.Errorf("get = %+v, %v, want the first answer", got, err)
				}
			})
		}
		all.Wait()
		<-time.After(figuresFor - time.Millisecond)
		if _, err := l.get(t.Context(), ask); err != nil || asked.Load() != 1 {
			t.Errorf("asked %d times within a second (%v), want once", asked.Load(), err)
		}
		<-time.After(time.Millisecond)
		if got, err := l.get(t.Context(), ask); err != nil || got[0].Ready != 2 {
			t.Errorf("get after a second = %+v, %v, want a new answer", got, err)
		}
	})
}

func TestLoads_FaultIsNotShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var l loads
		ctx, cancel := context.WithCancel(t.Context())
		hung := func(ctx context.Context) ([]job.QueueStats, error) { <-ctx.Done(); return nil, ctx.Err() }
		go func() { _, _ = l.get(ctx, hung) }()
		synctest.Wait()
		answered := make(chan error)
		go func() {
			_, err := l.get(t.Context(), func(context.Context) ([]job.QueueStats, error) { return nil, nil })
			answered <- err
		}()
		synctest.Wait()
		cancel() // the first client hangs up
		if err := <-answered; err != nil {
			t.Errorf("get of the second client = %v, want its own answer", err)
		}
		if _, err := l.get(t.Context(), func(context.Context) ([]job.QueueStats, error) { return nil, errors.New("no") }); err != nil {
			t.Errorf("get within the second = %v, want what is known", err)
		}
	})
}
