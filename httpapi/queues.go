package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/penguinmails/rookery/job"
)

// queueDocument is one queue in the answer to GET /v1/queues.
type queueDocument struct {
	job.QueueStats
	OldestAt *time.Time      `json:"oldest_at"`
	Window   *windowDocument `json:"window"` // null when Redis does not answer
}

// windowDocument is what a queue has in Redis.
type windowDocument struct {
	Depth   int64        `json:"depth"` // undelivered jobs of all bands
	Waiting waitingCount `json:"waiting"`
	Leased  int64        `json:"leased"`
	Lost    int64        `json:"lost"`
	Seq     int64        `json:"seq"`
	Paused  bool         `json:"paused"` // as Redis knows it, up to a second late
}

type waitingCount struct {
	High   int64 `json:"high"`
	Normal int64 `json:"normal"`
	Low    int64 `json:"low"`
}

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
	body := struct {
		Queues []queueDocument `json:"queues"`
	}{Queues: []queueDocument{}}
	for _, q := range stats {
		body.Queues = append(body.Queues, newQueueDocument(q))
	}
	return answer{status: http.StatusOK, body: body}, nil
}

func newQueueDocument(q job.QueueStats) queueDocument {
	doc := queueDocument{QueueStats: q, OldestAt: utc(q.OldestAt)}
	if w := q.Window; w != nil {
		doc.Window = &windowDocument{
			Depth:   w.Depth(),
			Waiting: waitingCount{High: w.Waiting[job.High], Normal: w.Waiting[job.Normal], Low: w.Waiting[job.Low]},
			Leased:  w.Leased,
			Lost:    w.Lost,
			Seq:     w.Seq,
			Paused:  w.Paused,
		}
	}
	return doc
}
