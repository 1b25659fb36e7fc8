package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	words "github.com/penguinmails/rookery/job"
)

// puller is a worker by the lease routes, as one in another language would be. It writes
// down what it ran and what it was told, so that [check] can hold that against the
// tables.
type puller struct {
	client http.Client

	mu    sync.Mutex // guards runs
	runs  []attemptRun
	dealt map[string]int // a lease's id to its place in runs
}

func newPuller() *puller {
	// As many connections as there are requests: each waits on its own.
	return &puller{client: http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 8}}, dealt: map[string]int{}}
}

// leased is what a puller needs of a job.
type leased struct {
	ID           int64
	AttemptCount int64  `json:"attempt_count"`
	LeaseID      string `json:"lease_id"`
	LeaseToken   string `json:"lease_token"`
}

// answered is what any of the lease routes may say.
type answered struct {
	code   int
	header http.Header
	Jobs   []leased
	Status string
	Code   string

	Lost      []string
	Cancelled []string
	Elsewhere []string
	Results   []answered
}

// ask makes one request. The error is that of a connection.
func (p *puller) ask(ctx context.Context, url, body string) (a answered, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return a, err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := p.client.Do(req)
	if err != nil {
		return a, err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return a, err
	}
	a.code, a.header = res.StatusCode, res.Header
	var into any = &a
	if a.code >= 300 { // a problem, whose status is a number
		into = &struct{ Code *string }{&a.Code}
	}
	if err := json.Unmarshal(text, into); err != nil {
		return a, fmt.Errorf("%s: %w", text, err)
	}
	return a, nil
}

// lease asks for up to n jobs, waiting for the first.
func (p *puller) lease(ctx context.Context, base string, n int, wait, length string) (answered, error) {
	a, err := p.ask(ctx, base+"/v1/queues/"+queue+"/lease", fmt.Sprintf(`{"worker_id": "e2e", "max": %d, "wait": %q, "lease": %q}`, n, wait, length))
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range a.Jobs {
		name, bad := words.ParseLeaseID(l.LeaseID)
		if bad != nil {
			return a, bad
		}
		p.dealt[l.LeaseID] = len(p.runs)
		p.runs = append(p.runs, attemptRun{id: l.ID, attempt: l.AttemptCount, dispatch: name.DispatchID, start: time.Now().UnixMicro()})
	}
	return a, err
}

// ack says that l is done.
func (p *puller) ack(ctx context.Context, base string, l leased) (answered, error) {
	a, err := p.ask(ctx, base+"/v1/leases/"+l.LeaseID+"/ack", fmt.Sprintf(`{"lease_token": %q}`, l.LeaseToken))
	if err == nil {
		p.note(l, a)
	}
	return a, err
}

// ackMany acks up to 500 leases in one request, and wants each accepted.
func (p *puller) ackMany(t testing.TB, base string, list []leased) {
	t.Helper()
	ops := make([]string, len(list))
	for i, l := range list {
		ops[i] = fmt.Sprintf(`{"op": "ack", "lease_id": %q, "lease_token": %q}`, l.LeaseID, l.LeaseToken)
	}
	a, err := p.ask(t.Context(), base+"/v1/leases/batch", `{"ops": [`+strings.Join(ops, ",")+`]}`)
	if err != nil || a.code != http.StatusOK || len(a.Results) != len(list) {
		t.Fatalf("batch of %d = %d %s with %d results, %v", len(list), a.code, a.Code, len(a.Results), err)
	}
	for i, r := range a.Results {
		if p.note(list[i], r); r.Status != "completed" {
			t.Errorf("ack of job %d in a batch = %s %s, want completed", list[i].ID, r.Status, r.Code)
		}
	}
}

// note writes down how a run ended.
func (p *puller) note(l leased, a answered) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := &p.runs[p.dealt[l.LeaseID]]
	if r.end = time.Now().UnixMicro(); a.Status == "completed" {
		r.how = "ok"
	} else {
		r.how = "refused"
	}
}

// leaseAll leases n jobs for a long time, in as many requests as it takes.
func (p *puller) leaseAll(t testing.TB, base string, n int, length string) (got []leased) {
	t.Helper()
	for end := time.Now().Add(time.Minute); len(got) < n; {
		a, err := p.lease(t.Context(), base, min(n-len(got), words.MaxLeaseJobs), "2s", length)
		if err != nil || a.code != http.StatusOK {
			t.Fatalf("lease = %d %s, %v", a.code, a.Code, err)
		}
		if got = append(got, a.Jobs...); time.Now().After(end) {
			t.Fatalf("%d jobs leased in a minute, want %d", len(got), n)
		}
	}
	return got
}

// drain leases and acks until nothing comes.
func (p *puller) drain(t testing.TB, base string) {
	t.Helper()
	for {
		a, err := p.lease(t.Context(), base, words.MaxLeaseJobs, "1s", "10s")
		if err != nil || a.code != http.StatusOK {
			t.Fatalf("lease = %d %s, %v", a.code, a.Code, err)
		}
		if len(a.Jobs) == 0 {
			return
		}
		p.ackMany(t, base, a.Jobs)
	}
}

// work leases and acks until ctx ends. A request that breaks off goes to the next server:
// the same ack again, until one answers.
func (p *puller) work(ctx context.Context, bases ...string) error {
	for at := 0; ctx.Err() == nil; {
		a, err := p.lease(ctx, bases[at%len(bases)], 5, "1s", "10s")
		if err != nil || a.code == http.StatusServiceUnavailable {
			at++
			continue
		}
		if a.code != http.StatusOK {
			return fmt.Errorf("lease = %d %s", a.code, a.Code)
		}
		for _, l := range a.Jobs {
			for {
				done, err := p.ack(context.WithoutCancel(ctx), bases[at%len(bases)], l)
				if err == nil && (done.code == http.StatusOK || done.code == http.StatusConflict) {
					break
				}
				if err == nil && done.code != http.StatusServiceUnavailable {
					return fmt.Errorf("ack = %d %s", done.code, done.Code)
				}
				if ctx.Err() != nil {
					return fmt.Errorf("ack was not answered: %d %w", done.code, err)
				}
				at++
			}
		}
	}
	return nil
}

// working runs n workers until the returned function is called.
func (p *puller) working(t testing.TB, n int, bases ...string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			if err := p.work(ctx, bases...); err != nil {
				t.Error(err)
			}
		})
	}
	return func() { cancel(); all.Wait() }
}

// count is how many runs have ended as how; "" counts those that have not.
func (p *puller) count(how string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.runs {
		if r.how == how {
			n++
		}
	}
	return n
}

// verifyPulled is verify for jobs that pullers ran: besides, each was done once.
func (w *world) verifyPulled(limit time.Duration, a allowance, by ...*puller) facts {
	w.t.Helper()
	f := w.rest(limit)
	for _, p := range by {
		p.mu.Lock()
		f.runs = append(f.runs, p.runs...)
		p.mu.Unlock()
	}
	problems, reruns := check(f, a)
	done := map[int64]int{}
	for _, r := range f.runs {
		if r.how == "ok" {
			done[r.id]++
		}
	}
	for _, id := range w.committed {
		if done[id] != 1 {
			problems = append(problems, fmt.Sprintf("%d acks of job %d were accepted, want 1", done[id], id))
		}
	}
	for i, p := range slices.Sorted(slices.Values(problems)) {
		if i == 20 {
			w.t.Errorf("… and %d more", len(problems)-i)
			break
		}
		w.t.Error(p)
	}
	w.t.Logf("%d jobs, %d runs, %d of them again", len(f.jobs), len(f.runs), reruns)
	return f
}
