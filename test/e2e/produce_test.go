package e2e

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// producers insert until they are stopped, one transaction in ten rolled back. A
// server that is away is no reason to stop.
type producers struct {
	cancel context.CancelFunc
	ended  sync.WaitGroup

	mu         sync.Mutex
	committed  []int64
	rolledBack []int64
	failed     int // transactions that got an error; whether they committed, the table says
}

// produce starts n producers. Each makes a transaction of up to 5 jobs, and pauses.
func produce(t testing.TB, pool *pgxpool.Pool, n int, pause time.Duration, payload string) *producers {
	ctx, cancel := context.WithCancel(t.Context())
	p := &producers{cancel: cancel}
	for range n {
		p.ended.Go(func() {
			for ctx.Err() == nil {
				p.once(ctx, pool, payload)
				select {
				case <-ctx.Done():
				case <-time.After(rand.N(2 * pause)):
				}
			}
		})
	}
	t.Cleanup(func() { cancel(); p.ended.Wait() })
	return p
}

func (p *producers) once(ctx context.Context, pool *pgxpool.Pool, payload string) {
	work, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	ids, back, err := transaction(work, pool, payload)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case err != nil:
		p.failed++
	case back:
		p.rolledBack = append(p.rolledBack, ids...)
	default:
		p.committed = append(p.committed, ids...)
	}
}

func transaction(ctx context.Context, pool *pgxpool.Pool, payload string) (ids []int64, back bool, err error) {
	tx, err := pool.Begin(ctx)
	if err != nil {
		return nil, false, err
	}
	defer tx.Rollback(ctx)
	for range rand.IntN(5) + 1 {
		var id int64
		err := tx.QueryRow(ctx, `INSERT INTO outbox.jobs (queue_name, payload) VALUES ($1, $2::jsonb) RETURNING id`, queue, payload).Scan(&id)
		if err != nil {
			return nil, false, err
		}
		ids = append(ids, id)
	}
	if rand.IntN(10) == 0 {
		return ids, true, tx.Rollback(ctx)
	}
	return ids, false, tx.Commit(ctx)
}

// count returns how many jobs are committed so far.
func (p *producers) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.committed)
}

// stop ends the producers and tells the world what they did.
func (p *producers) stop(w *world) {
	p.cancel()
	p.ended.Wait()
	w.committed = append(w.committed, p.committed...)
	w.rolledBack = append(w.rolledBack, p.rolledBack...)
	w.t.Logf("producers: %d committed, %d rolled back, %d transactions failed", len(p.committed), len(p.rolledBack), p.failed)
}
