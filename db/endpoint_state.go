package db

import (
	"context"
	"fmt"

	"github.com/penguinmails/rookery/db/internal/query"
	"github.com/penguinmails/rookery/job"
)

// SwitchEndpoint has an endpoint delivered to, or not, because somebody wants it so, and
// records who. Disabling pauses the queue, so that its jobs wait, as a receiver's 410
// does; enabling resumes what that has paused, and no more. false: it was so already.
// [job.ErrNotFound]: the queue has no endpoint.
func (s *Store) SwitchEndpoint(ctx context.Context, by job.Actor, queue string, on bool) (done bool, err error) {
	if !on {
		e, err := s.Endpoint(ctx, queue)
		if err != nil {
			return false, err
		}
		return s.disableEndpoint(ctx, by, queue, e.URL, "disabled by "+by.Principal)
	}
	err = s.changing(ctx, "enable endpoint", func(q *query.Queries) (job.Change, bool, error) {
		paused, err := q.LockEndpoint(ctx, queue)
		if err != nil {
			return job.Change{}, false, err
		}
		n, err := q.EnableEndpoint(ctx, queue)
		if done = n > 0; err != nil || !done {
			return job.Change{}, false, err
		}
		if paused {
			_, err = q.SetPaused(ctx, query.SetPausedParams{Name: queue, Paused: false})
		}
		return by.Did("endpoint.enable", queue, queue, nil), true, err
	})
	return done, err
}

// EndpointResults says what became of the attempts of the last hour, by queues that
// have an endpoint; a queue without attempts is not among them.
func (s *Store) EndpointResults(ctx context.Context) (map[string]job.EndpointResult, error) {
	out := map[string]job.EndpointResult{}
	err := s.seeing(ctx, "look at endpoints", func(q *query.Queries) error {
		rows, err := q.EndpointResults(ctx)
		for _, r := range rows {
			out[r.QueueName] = job.EndpointResult{Completed: r.Completed, Failed: r.Failed}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("endpoints' results: %w", err)
	}
	return out, nil
}
