package httpapi

import (
	"context"
	"fmt"
	"net/http"
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
	queues := s.visible(ctx, stats)
	for i := range queues {
		queues[i].OldestAt = utc(queues[i].OldestAt)
	}
	return answer{status: http.StatusOK, body: map[string]any{"queues": queues}}, nil
}
