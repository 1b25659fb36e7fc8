package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/penguinmails/rookery/db"
)

// seeds make the jobs as if they had gone their way. $1 is how many.
var seeds = []string{
	`ALTER TABLE outbox.jobs DISABLE TRIGGER jobs_inserted`,
	`INSERT INTO outbox.queues (name) SELECT 'queue-' || n FROM generate_series(0, 19) AS n`,
	`INSERT INTO outbox.jobs (queue_name, kind, payload, status, priority, run_at, created_at, finished_at, attempt_count, failure_count, worker_id, last_error, dispatch_id)
		SELECT 'queue-' || n % 20, 'kind-' || n % 50, jsonb_build_object('to', 'user' || n || '@example.com', 'text', repeat('x', 60)), made.status, 100,
			CASE WHEN made.status = 'queued' AND n % 97 < 5 THEN now() + n % 100000 * interval '1 second' ELSE now() - interval '1 hour' END,
			now() - ($1::bigint - n) * interval '10 milliseconds', CASE WHEN made.status IN ('completed', 'cancelled', 'dead') THEN now() - ($1::bigint - n) * interval '9 milliseconds' END,
			1, (n % 7 = 0)::integer, 'worker-' || n % 9, CASE WHEN made.status = 'dead' THEN 'smtp: 550 mailbox ' || n || ' of kind ' || n % 11 || ' is not known' END,
			CASE WHEN made.status = 'dispatched' THEN 1 + n / 1000000 END
		FROM generate_series(1, $1::bigint) AS n
		CROSS JOIN LATERAL (SELECT CASE WHEN n % 100 < 10 THEN 'queued' WHEN n % 100 = 10 THEN 'dead' WHEN n % 100 = 11 THEN 'cancelled' WHEN n % 1000 = 999 THEN 'dispatched' ELSE 'completed' END AS status) AS made`,
	`INSERT INTO outbox.ready (queue_name, priority, job_id, size) SELECT queue_name, priority, id, 200 FROM outbox.jobs WHERE status = 'queued' AND run_at <= now()`,
	`INSERT INTO outbox.scheduled (run_at, job_id, queue_name, priority, size) SELECT run_at, id, queue_name, priority, 200 FROM outbox.jobs WHERE status = 'queued' AND run_at > now()`,
	`INSERT INTO outbox.dead_letters (job_id, queue_name, kind, dead_at, reason) SELECT id, queue_name, kind, finished_at, 'exhausted' FROM outbox.jobs WHERE status = 'dead'`,
	`INSERT INTO outbox.dispatches (id, queue_name, job_ids, epoch, relay_id) SELECT dispatch_id, min(queue_name), array_agg(id), 1, 'relay-1' FROM outbox.jobs WHERE status = 'dispatched' GROUP BY dispatch_id`,
	`INSERT INTO outbox.processes (id, role) SELECT 'process-' || n, CASE WHEN n < 5 THEN 'relay' ELSE 'worker' END FROM generate_series(1, 50) AS n`,
	`INSERT INTO outbox.stats (minute, queue_name, writer, dispatched, completed, failed, run_us, wait_us, run_buckets, wait_buckets)
		SELECT m, 'queue-' || q, w, 50, 48, 2, 100000, 200000, '{0,3,9,20,10,5,3}', '{0,0,0,5,30,9,3,2,1}'
		FROM generate_series(date_trunc('minute', now()) - interval '8 days', now(), interval '1 minute') AS m, generate_series(0, 19) AS q, generate_series(1, 3) AS w`,
	`INSERT INTO outbox.depths (minute, queue_name, paused, ready, scheduled, out, workers, oldest_ms)
		SELECT m, 'queue-' || q, false, 50000, 2000, 500, 3, 1000
		FROM generate_series(date_trunc('minute', now()) - interval '8 days', now() + interval '1 hour', interval '1 minute') AS m, generate_series(0, 19) AS q`,
	`INSERT INTO outbox.operations (action, filter, principal, up_to_id, status, matched, done, finished_at)
		SELECT 'redrive', '{"status": "dead"}', 'key:desk', $1::bigint, CASE WHEN n = 1000 THEN 'running' ELSE 'completed' END, 4000, 3999, CASE WHEN n < 1000 THEN now() END FROM generate_series(1, 1000) AS n`,
	`VACUUM ANALYZE outbox.jobs, outbox.ready, outbox.scheduled, outbox.dead_letters, outbox.dispatches, outbox.stats, outbox.depths, outbox.queues, outbox.processes, outbox.operations`,
}

func seed(ctx context.Context, url string, jobs int) error {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return err
	}
	defer pool.Close()
	var seeded bool
	if err := pool.QueryRow(ctx, "SELECT EXISTS (SELECT FROM outbox.jobs)").Scan(&seeded); err != nil || seeded {
		return err
	}
	start := time.Now()
	for _, sql := range seeds {
		var args []any
		if strings.Contains(sql, "$1") {
			args = append(args, jobs)
		}
		if _, err := pool.Exec(ctx, sql, args...); err != nil {
			return fmt.Errorf("%.50s: %w", sql, err)
		}
	}
	fmt.Fprintf(os.Stderr, "seeded in %s\n", time.Since(start).Round(time.Second))
	return nil
}

// rollUp adds up eight days of figures, as a relay that lives does minute by minute.
func rollUp(ctx context.Context, url string) error {
	store, err := db.Open(ctx, url, db.Options{})
	if err != nil {
		return err
	}
	defer store.Close()
	for range 5 {
		if err := store.RollUp(ctx); err != nil {
			return err
		}
	}
	return nil
}
