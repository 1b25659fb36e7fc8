package main

import (
	"context"
	"time"

	"github.com/penguinmails/rookery/job"
)

// The rhythm of a hot relay: relay/pace.go.
const (
	hottest = time.Millisecond
	coolest = 8 * time.Millisecond
)

// claimAll is a hot relay as it is today: survey, D1 with D3 of the batch before, and
// a pause unless the batch was full.
func (s *server) claimAll(ctx context.Context, jobs int) error {
	var pushed []job.Recorded
	rest := hottest
	for jobs > 0 {
		if s.survey {
			s.statements.Add(1)
			if _, err := s.store.Survey(ctx, time.Time{}, nil); err != nil {
				return err
			}
		}
		c := job.Claim{
			QueueName: queueName, Epoch: s.epoch, RelayID: relayID, DispatchID: job.NewDispatchID(), Limit: batchMost,
			Spans: []job.Span{{LoPriority: job.LostPriority - 1, HiPriority: job.MaxPriority}}, Pushed: pushed,
		}
		s.statements.Add(1)
		b, err := s.store.Claim(ctx, c)
		if err != nil {
			return err
		}
		pushed = nil
		if len(b.Jobs) > 0 {
			pushed, rest = []job.Recorded{{DispatchID: c.DispatchID, Seq: 1}}, hottest
		} else {
			rest = min(2*rest, coolest)
		}
		if jobs -= len(b.Jobs); len(b.Jobs) < batchMost && jobs > 0 {
			pause(ctx, rest)
		}
	}
	return ctx.Err()
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
