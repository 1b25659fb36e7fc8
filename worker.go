package rookery

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/penguinmails/rookery/workers"
)

// Program is a worker as the command line describes it: for the jobs of some
// queues, whatever their kind, it runs a program, or nothing at all.
type Program struct {
	Queues      []string      // "name", or "name=weight"
	Concurrency int           // slots; 0 means 100
	Timeout     time.Duration // of an attempt; 0 means 30 min, negative none
	DrainTime   time.Duration // for running attempts at shutdown; 0 means 25 s
	Exec        []string      // program and arguments; empty: the handler does nothing, for measuring
}

// ProgramWorker returns a worker that is described by p, to be run.
func (s *Service) ProgramWorker(p Program) (*workers.Worker, error) {
	var handler workers.Handler = workers.HandlerFunc(func(context.Context, *workers.Job) error { return nil })
	if len(p.Exec) > 0 {
		// A missing program would fail every job it was given.
		if _, err := exec.LookPath(p.Exec[0]); err != nil {
			return nil, fmt.Errorf("worker: %w", err)
		}
		handler = workers.Exec(p.Exec, workers.ExecOptions{})
	}
	o := workers.Options{Concurrency: p.Concurrency, Timeout: p.Timeout, DrainTime: p.DrainTime}
	registry := workers.NewRegistry()
	for _, text := range p.Queues {
		q, err := parseQueue(text)
		if err != nil {
			return nil, err
		}
		o.Queues = append(o.Queues, q)
		registry.HandleQueue(q.Name, handler, workers.HandlerOptions{})
	}
	return s.Worker(registry, o)
}

func parseQueue(text string) (workers.QueueWeight, error) {
	name, weight, weighted := strings.Cut(text, "=")
	q := workers.QueueWeight{Name: name}
	if !weighted {
		return q, nil
	}
	var err error
	if q.Weight, err = strconv.Atoi(weight); err != nil || q.Weight < 1 {
		return q, fmt.Errorf("queue %q: the weight must be a positive number", text)
	}
	return q, nil
}

// EchoWorker returns a worker that prints the jobs of a queue to out: for trying
// things, since it shows payloads.
func (s *Service) EchoWorker(queue string, out io.Writer) (*workers.Worker, error) {
	var mu sync.Mutex
	registry := workers.NewRegistry()
	registry.HandleQueue(queue, workers.HandlerFunc(func(_ context.Context, j *workers.Job) error {
		mu.Lock()
		defer mu.Unlock()
		_, err := fmt.Fprintf(out, "job %d: queue %s, kind %q, attempt %d: %s\n", j.ID, j.QueueName, j.Kind, j.AttemptCount, j.Payload)
		return err
	}), workers.HandlerOptions{})
	return s.Worker(registry, workers.Options{Queues: []workers.QueueWeight{{Name: queue}}, Concurrency: 10})
}
