package main

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// forms asks whether what partitions cost lies in how a statement names its jobs: by a
// join, as claim and reconcile do, which comes to jobs once a row, or by an array,
// which comes once a statement but can bring nothing else along for each job. Plans are
// pinned as package db pins them. In µs of CPU a job.
func (s *stage) forms(ctx context.Context) error {
	c, err := pgx.Connect(ctx, s.url("relay")+"&plan_cache_mode=force_generic_plan&enable_seqscan=off&enable_bitmapscan=off"+
		"&enable_hashjoin=off&enable_mergejoin=off&enable_material=off&enable_memoize=off&jit=off")
	if err != nil {
		return err
	}
	defer func() { _ = c.Close(context.WithoutCancel(ctx)) }()
	const size, rounds = 200, 100
	rows, err := c.Query(ctx, "SELECT id FROM outbox.jobs WHERE id > $1 ORDER BY id LIMIT $2", s.count.inserted.Load()-size*10, size)
	if err != nil {
		return err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return err
	}
	for _, form := range []struct{ name, text string }{
		{"warm", "UPDATE outbox.jobs AS j SET lost_count = 0 WHERE j.id = ANY ($1::bigint[]) AND j.status = 'completed'"},
		{"join", "UPDATE outbox.jobs AS j SET lost_count = 0 FROM unnest($1::bigint[]) AS held (id) WHERE j.id = held.id AND j.status = 'completed'"},
		{"array", "UPDATE outbox.jobs AS j SET lost_count = 0 WHERE j.id = ANY ($1::bigint[]) AND j.status = 'completed'"},
	} {
		before := s.reading(ctx)
		for range rounds {
			if _, err := c.Exec(ctx, form.text, ids); err != nil {
				return err
			}
		}
		since := s.reading(ctx).minus(before)
		fmt.Printf("form %s jobs=%d tables=%d cpu=%.2f\n", form.name, len(ids), since.tables, float64(since.cpu["relay"].Nanoseconds())/1000/float64(rounds*len(ids)))
	}
	return nil
}
