package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/penguinmails/rookery/job"
)

// Watch knows which jobs are over: Postgres.
type Watch interface {
	// Over returns those of ids, at most [maxWaits], that are over or not there any more.
	Over(ctx context.Context, ids []int64) ([]int64, error)
}

// How long clients may wait for jobs, and how often Postgres is asked for all of them.
const (
	maxWait   = 40 * time.Second // with all else that the answer takes, less than writeTimeout
	maxWaits  = 1000             // at a time, of one server
	waitFirst = 50 * time.Millisecond
	waitMost  = time.Second
)

// waits are the clients that wait for a job's end. One of them asks Postgres for all, by
// one statement, often while somebody has only just come and then less and less; when its
// own job is over another goes on. Nobody holds a connection, and there is no goroutine
// beside those of the requests.
type waits struct {
	over   func(context.Context, []int64) ([]int64, error)
	asking chan struct{} // holds the turn of the one who asks; 1: there is one
	closed chan struct{}
	once   sync.Once

	mu    sync.Mutex
	jobs  map[int64]map[*wait]bool
	count int
	fresh bool // somebody has come since the last question
}

// wait is one client's.
type wait struct{ over chan struct{} }

func newWaits(w Watch) *waits {
	return &waits{over: w.Over, asking: make(chan struct{}, 1), closed: make(chan struct{}), jobs: map[int64]map[*wait]bool{}}
}

// close ends all waits: the server shuts down.
func (w *waits) close() { w.once.Do(func() { close(w.closed) }) }

// await returns when the job is over, after long, when ctx ends or the server does. The
// error is a problem: there are too many already.
func (w *waits) await(ctx context.Context, id int64, long time.Duration) error {
	mine, ok := w.add(id)
	if !ok {
		p := newProblem(http.StatusTooManyRequests, codeTooManyWaits, fmt.Sprintf("%d clients wait for jobs of this server already", maxWaits))
		p.retryAfter = 1
		return p
	}
	defer w.remove(id, mine)
	ctx, cancel := context.WithTimeout(ctx, long)
	defer cancel()
	select {
	case <-mine.over:
	case <-ctx.Done():
	case <-w.closed:
	case w.asking <- struct{}{}:
		defer func() { <-w.asking }()
		w.ask(ctx, mine)
	}
	return nil
}

// ask asks for all until mine is over or ends.
func (w *waits) ask(ctx context.Context, mine *wait) {
	pause := waitFirst
	for {
		t := time.NewTimer(pause)
		select {
		case <-mine.over:
			t.Stop()
			return
		case <-ctx.Done():
			t.Stop()
			return
		case <-w.closed:
			t.Stop()
			return
		case <-t.C:
		}
		ids, fresh := w.wanted()
		if pause = min(pause*3/2, waitMost); fresh {
			pause = waitFirst
		}
		// A client that hangs up must not break off what is asked for others.
		call, cancel := context.WithTimeout(context.WithoutCancel(ctx), queryTimeout)
		over, err := w.over(call, ids)
		cancel()
		if err != nil { // each client's own look at its job will say it
			pause = waitMost
		}
		w.tell(over)
	}
}

func (w *waits) add(id int64) (*wait, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.count == maxWaits {
		return nil, false
	}
	mine := &wait{over: make(chan struct{})}
	if w.jobs[id] == nil {
		w.jobs[id] = map[*wait]bool{}
	}
	w.jobs[id][mine] = true
	w.count++
	w.fresh = true
	return mine, true
}

func (w *waits) remove(id int64, mine *wait) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.count--
	if delete(w.jobs[id], mine); len(w.jobs[id]) == 0 {
		delete(w.jobs, id)
	}
}

// wanted returns the jobs that are waited for, and whether somebody has just come.
func (w *waits) wanted() (ids []int64, fresh bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id := range w.jobs {
		ids = append(ids, id)
	}
	fresh, w.fresh = w.fresh, false
	return ids, fresh
}

// tell lets those go whose jobs are over. They take themselves out.
func (w *waits) tell(ids []int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range ids {
		for mine := range w.jobs[id] {
			select {
			case <-mine.over: // told before
			default:
				close(mine.over)
			}
		}
	}
}

// waitOf reads the parameters wait and until of GET /v1/jobs/{id}; 0: do not wait.
func (s *Server) waitOf(r request) (time.Duration, error) {
	if until := r.query["until"]; len(until) > 1 || len(until) == 1 && until[0] != "finished" || len(until) == 1 && !r.query.Has("wait") {
		return 0, invalidParameter("until", "must be finished, once, and go with wait")
	}
	if !r.query.Has("wait") {
		return 0, nil
	}
	d, err := time.ParseDuration(r.query.Get("wait"))
	if err != nil || len(r.query["wait"]) > 1 || d <= 0 || d > maxWait {
		return 0, invalidParameter("wait", fmt.Sprintf("must be a duration such as 30s, given once, of at most %s", maxWait))
	}
	if s.waits == nil {
		return 0, invalidParameter("wait", "is not a parameter of this server")
	}
	return d, nil
}

// awaitEnd returns row as it is when it is over, or when the client has waited for long.
func (s *Server) awaitEnd(ctx context.Context, row job.Job, long time.Duration) (job.Job, error) {
	if long == 0 || row.Status.Terminal() {
		return row, nil
	}
	if err := s.waits.await(ctx, row.ID, long); err != nil {
		return row, err
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	row, err := s.jobs.JobOf(ctx, row.ID, nil)
	if err != nil {
		return row, fmt.Errorf("read job: %w", err)
	}
	return row, nil
}
