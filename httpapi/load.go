package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/penguinmails/rookery/job"
)

// figuresFor is how long the figures of all queues are shared, however many ask.
const figuresFor = time.Second

// loads are the figures of all queues. Its zero value has none yet.
type loads struct {
	mu     sync.Mutex
	readAt time.Time
	queues []job.QueueStats // not to be changed: others read them
	flight chan struct{}    // closed when the question that is under way has been answered; nil: there is none
}

// get returns the figures, at most a second old. Those who come while somebody asks
// wait for the answer, and ask themselves when that went wrong.
func (l *loads) get(ctx context.Context, ask func(context.Context) ([]job.QueueStats, error)) ([]job.QueueStats, error) {
	for {
		queues, known, wait := l.enter()
		if known {
			return queues, nil
		}
		if wait == nil {
			break
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	var queues []job.QueueStats
	err := errors.New("figures: the question broke off") // a panic
	defer func() { l.leave(queues, err) }()
	queues, err = ask(ctx)
	return queues, err
}

// enter returns the figures when they are young, or what to wait for; neither: the
// caller is to ask, and to leave then.
func (l *loads) enter() (queues []job.QueueStats, known bool, wait <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.flight != nil:
		return nil, false, l.flight
	case !l.readAt.IsZero() && time.Since(l.readAt) < figuresFor:
		return l.queues, true, nil
	}
	l.flight = make(chan struct{})
	return nil, false, nil
}

func (l *loads) leave(queues []job.QueueStats, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.flight)
	l.flight = nil
	if err == nil {
		l.queues, l.readAt = queues, time.Now()
	}
}

// load is how much there is to do, and how fast it goes.
type load struct {
	Backlog    int64   `json:"backlog"`         // due, and has not ended
	Throughput float64 `json:"throughput"`      // attempts that ended a second, over the last 5 minutes
	Seconds    float64 `json:"seconds_of_work"` // see job.Rate
}

// loadOf returns the load of a queue. Workers can do nothing about a paused one.
func loadOf(q job.QueueStats) load {
	l := load{Backlog: q.Backlog(), Throughput: q.Rate.PerSecond()}
	if !q.Paused {
		l.Seconds = q.Rate.SecondsOfWork(l.Backlog)
	}
	return l
}

// queueLoad is what an autoscaler wants to know of a queue.
type queueLoad struct {
	QueueName string   `json:"queue_name"`
	Paused    bool     `json:"paused"`
	Ready     int64    `json:"ready"`              // due, in Postgres; counted up to counted_to
	Scheduled int64    `json:"scheduled"`          // due later; counted up to counted_to
	Out       int64    `json:"out"`                // with Redis or a worker; finished jobs may count for seconds
	Waiting   *int64   `json:"waiting"`            // of out, those in Redis' lists; null while Redis is away
	Leased    *int64   `json:"leased"`             // of out, those that workers have; null while Redis is away
	OldestAge *float64 `json:"oldest_age_seconds"` // null when nothing is due in Postgres
	load
}

func queueLoadOf(q job.QueueStats) queueLoad {
	l := queueLoad{QueueName: q.Name, Paused: q.Paused, Ready: q.Ready, Scheduled: q.Scheduled, Out: q.Out, load: loadOf(q)}
	if q.OldestAt != nil {
		age := max(q.OldestAge.Seconds(), 0)
		l.OldestAge = &age
	}
	if q.Window != nil {
		waiting := q.Window.Depth()
		l.Waiting, l.Leased = &waiting, &q.Window.Leased
	}
	return l
}

// figures returns those of the queues that the caller sees.
func (s *Server) figures(ctx context.Context) ([]job.QueueStats, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	all, err := s.loads.get(ctx, s.jobs.Queues)
	if err != nil {
		return nil, fmt.Errorf("read queues: %w", err)
	}
	return s.visible(ctx, all), nil
}

// stats is the answer of GET /v1/stats: the sums are over the queues that it shows.
type stats struct {
	Data      []queueLoad `json:"data"`
	CountedTo int64       `json:"counted_to"`
	load                  // seconds_of_work: of the queue that has most of it
}

// getStats answers GET /v1/stats.
func (s *Server) getStats(ctx context.Context, r request) (answer, error) {
	if err := r.allow(); err != nil {
		return answer{}, err
	}
	queues, err := s.figures(ctx)
	if err != nil {
		return answer{}, err
	}
	body := stats{Data: make([]queueLoad, len(queues)), CountedTo: job.StatsCap} // never null
	for i, q := range queues {
		l := queueLoadOf(q)
		body.Data[i] = l
		body.Backlog += l.Backlog
		body.Throughput += l.Throughput
		body.Seconds = max(body.Seconds, l.Seconds)
	}
	return answer{status: http.StatusOK, body: body}, nil
}

// getScaler answers GET /v1/stats/{name}/scaler: the load of one queue, for KEDA. A
// queue that nobody has used yet has none: an autoscaler may be there before its first
// job.
func (s *Server) getScaler(ctx context.Context, r request) (answer, error) {
	name, err := s.queueOf(ctx, r)
	if err != nil {
		return answer{}, err
	}
	queues, err := s.figures(ctx)
	if err != nil {
		return answer{}, err
	}
	l := queueLoadOf(job.QueueStats{Queue: job.Queue{Name: name}})
	for _, q := range queues {
		if q.Name == name {
			l = queueLoadOf(q)
		}
	}
	return answer{status: http.StatusOK, body: l}, nil
}
