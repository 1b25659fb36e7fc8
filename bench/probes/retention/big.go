package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// big says what a vacuum costs a deleted job in a table that is large for what was
// deleted: it reads every entry of the index, of which 20 and more are there for each
// dead one. It fills the table with n finished jobs, deletes the oldest, 5 % and then
// 0.5 %, and vacuums after each. Two lines, from which the price of a dead row and of an
// entry follow.
func (s *stage) big(ctx context.Context, n int) error {
	c, err := pgx.Connect(ctx, s.url("retention"))
	if err != nil {
		return err
	}
	defer func() { _ = c.Close(context.WithoutCancel(ctx)) }()
	if _, err := c.Exec(ctx, "ALTER TABLE outbox.jobs SET (autovacuum_enabled = off)"); err != nil { // one vacuum, and ours
		return err
	}
	const step = 50_000
	for range n / step {
		if _, err := c.Exec(ctx, `
			INSERT INTO outbox.jobs (queue_name, kind, payload, status, finished_at)
			SELECT 'probe', 'mail', jsonb_build_object('n', g, 'pad', repeat('x', 90)), 'completed', now()
			FROM generate_series(1, $1::integer) AS g`, step); err != nil {
			return err
		}
	}
	upTo := int64(0)
	for _, share := range []float64{0, 0.05, 0.005} { // the first vacuum marks what is visible to all
		dead := int64(share * float64(n))
		if _, err := c.Exec(ctx, "CHECKPOINT"); err != nil {
			return err
		}
		if _, err := c.Exec(ctx, "DELETE FROM outbox.jobs WHERE id > $1 AND id <= $2", upTo, upTo+dead); err != nil {
			return err
		}
		upTo += dead
		before, began := s.reading(ctx), time.Now()
		if _, err := c.Exec(ctx, "VACUUM (INDEX_CLEANUP ON) outbox.jobs"); err != nil {
			return err
		}
		since := s.reading(ctx).minus(before)
		fmt.Printf("big entries=%d dead=%d cpu_ms=%.1f elapsed_ms=%.0f wal=%.0f images=%.0f\n", int64(n)-upTo+dead, dead,
			float64(since.cpu["retention"].Microseconds())/1000, ms(time.Since(began)), since.wal, since.images)
	}
	return nil
}
