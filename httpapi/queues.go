package httpapi

import (
	"context"
	"fmt"
	"net/http"

	"github.com/penguinmails/rookery/job"
)

// listQueues answers GET /v1/queues.
func (s *Server) listQueues(ctx context.Context, r request) (answer, error) {
	if err := r.allow(); err != nil {
		return answer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	stats, err := s.jobs.Queues(ctx)
	if err != nil {
		return answer{}, fmt.Errorf("read queues: %w", err)
	}
	queues, who := make([]job.QueueStats, 0, len(stats)), s.principal(ctx) // never null
	for _, q := range stats {
		if who.Sees(q.Name) {
			q.OldestAt = utc(q.OldestAt)
			queues = append(queues, q)
		}
	}
	return answer{status: http.StatusOK, body: map[string]any{"queues": queues}}, nil
}
