package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/workers"
)

// latency inserts single jobs at random moments, rate of them a second, and
// measures from before the INSERT to the start of the handler, both by this
// process's clock: producer and worker run here, the relay is a process of its own.
// The moments are drawn beforehand, so a stall delays no later sample unseen.
func latency(ctx context.Context, program string, rate int, d time.Duration) error {
	h, err := newHouse(ctx, program)
	if err != nil {
		return err
	}
	defer func() { _ = h.close() }()
	if err := h.start(ctx, "relay"); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	svc, err := rookery.Open(ctx, rookery.Config{DatabaseURL: h.url, RedisURL: h.redis.URL(), LogLevel: 4})
	if err != nil {
		cancel()
		return err
	}
	var (
		mu   sync.Mutex
		took []time.Duration
		base = time.Now()
	)
	registry := workers.NewRegistry()
	registry.HandleQueue("bench", workers.HandlerFunc(func(_ context.Context, j *workers.Job) error {
		now := time.Since(base)
		var at int64
		if err := json.Unmarshal(j.Payload, &at); err != nil {
			return err
		}
		mu.Lock()
		took = append(took, now-time.Duration(at))
		mu.Unlock()
		return nil
	}), workers.HandlerOptions{})
	w, err := svc.Worker(registry, workers.Options{Queues: []workers.QueueWeight{{Name: "bench"}}})
	if err != nil {
		cancel()
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()

	insert := func() error {
		_, err := h.pool.Exec(ctx, `INSERT INTO outbox.jobs (queue_name, payload) VALUES ('bench', to_jsonb($1::bigint))`, int64(time.Since(base)))
		return err
	}
	warm := 2 * time.Second
	var due time.Duration
	began := time.Now()
	var wg sync.WaitGroup
	for due < d+warm && err == nil {
		due += time.Duration(rand.ExpFloat64() * float64(time.Second) / float64(rate))
		select {
		case <-time.After(time.Until(began.Add(due))):
		case <-ctx.Done():
			err = ctx.Err()
		}
		wg.Go(func() { _ = insert() })
	}
	wg.Wait()
	<-time.After(2 * time.Second) // the last ones finish
	cancel()
	if err = errors.Join(err, <-ended); err != nil {
		return err
	}
	skip := int(warm.Seconds() * float64(rate))
	took = took[min(skip, len(took)):]
	slices.Sort(took)
	at := func(q float64) time.Duration {
		return took[int(q*float64(len(took)-1))].Round(10 * time.Microsecond)
	}
	fmt.Printf("insert to start at %d jobs/s, %d samples: p50 %s  p95 %s  p99 %s  p99.9 %s  max %s\n",
		rate, len(took), at(0.5), at(0.95), at(0.99), at(0.999), at(1))
	if err := h.breakdown(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	return svc.Close()
}

// breakdown says where the time went, by Postgres' clock. A transaction's now() is
// its beginning, so each part includes the statement it ends with.
func (h *house) breakdown(ctx context.Context) error {
	var claim, start, end [2]float64
	err := h.pool.QueryRow(ctx, `
		SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM dispatched_at - created_at)), percentile_cont(0.99) WITHIN GROUP (ORDER BY extract(epoch FROM dispatched_at - created_at)),
			percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM started_at - dispatched_at)), percentile_cont(0.99) WITHIN GROUP (ORDER BY extract(epoch FROM started_at - dispatched_at)),
			percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM finished_at - started_at)), percentile_cont(0.99) WITHIN GROUP (ORDER BY extract(epoch FROM finished_at - started_at))
		FROM outbox.jobs WHERE status = 'completed'`).Scan(&claim[0], &claim[1], &start[0], &start[1], &end[0], &end[1])
	if err != nil {
		return fmt.Errorf("break down: %w", err)
	}
	fmt.Printf("  ms, p50 and p99: insert to claim %.2f %.2f, claim to start %.2f %.2f, start to reconcile %.2f %.2f\n",
		1000*claim[0], 1000*claim[1], 1000*start[0], 1000*start[1], 1000*end[0], 1000*end[1])
	return nil
}
