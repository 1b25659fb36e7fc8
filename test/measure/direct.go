package main

import (
	"context"
	"fmt"
	"time"
)

// direct is drain in direct mode: Redis was stopped, and the worker takes its jobs from
// Postgres. The queue is paused while they are inserted.
func direct(ctx context.Context, program string, jobs int) (d drained, err error) {
	h, err := newHouse(ctx, program)
	if err != nil {
		return d, err
	}
	defer func() { _ = h.close() }()
	if err := h.insert(ctx, 1, 1); err != nil {
		return d, err
	}
	for _, args := range [][]string{{"relay"}, {"bench", "worker", "--queue", "bench", "--concurrency", "100"}} {
		if err := h.start(ctx, args...); err != nil {
			return d, err
		}
	}
	if err := h.done(ctx, 1); err != nil {
		return d, err
	}
	if err := h.redis.Stop(); err != nil {
		return d, err
	}
	if _, err := h.pool.Exec(ctx, `UPDATE outbox.queues SET paused = true`); err != nil {
		return d, fmt.Errorf("pause: %w", err)
	}
	if err := h.insert(ctx, jobs, 1000); err != nil {
		return d, err
	}
	select { // for the worker to have been without Redis long enough
	case <-ctx.Done():
		return d, ctx.Err()
	case <-time.After(10 * time.Second):
	}
	began, before := time.Now(), h.used()
	if _, err := h.pool.Exec(ctx, `UPDATE outbox.queues SET paused = false`); err != nil {
		return d, fmt.Errorf("go on: %w", err)
	}
	if err := h.done(ctx, jobs+1); err != nil {
		return d, err
	}
	d.elapsed = time.Since(began)
	after := h.used()
	d.rate = float64(jobs) / d.elapsed.Seconds()
	d.postgres, d.relay, d.worker = after["postgres"]-before["postgres"], after["relay"]-before["relay"], after["bench"]-before["bench"]
	return d, nil
}

// done waits until so many jobs are completed.
func (h *house) done(ctx context.Context, jobs int) error {
	for {
		left, err := unfinished(ctx, h.pool, jobs)
		if err != nil || left == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}
