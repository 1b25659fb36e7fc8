package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// seeds are the jobs to look at, the slowest to get where they belong first.
var seeds = []string{
	`INSERT INTO outbox.jobs (queue_name, kind, payload, max_attempts) SELECT 'email:processing', 'newsletter.send', jsonb_build_object('do', 'discard', 'error', 'smtp: 550 mailbox ' || n || ' is not known'), 5 FROM generate_series(1, 34) AS n`,
	`INSERT INTO outbox.jobs (queue_name, kind, payload, max_attempts) SELECT 'email:processing', 'welcome', jsonb_build_object('do', 'fail', 'error', 'smtp: 421 too many connections, try in ' || n || ' s'), 1 FROM generate_series(1, 12) AS n`,
	`INSERT INTO outbox.jobs (queue_name, kind, payload, max_attempts) SELECT 'billing', 'invoice.render', jsonb_build_object('do', 'panic', 'error', 'runtime error: index out of range [' || n || ']'), 1 FROM generate_series(1, 5) AS n`,
	`INSERT INTO outbox.jobs (queue_name, kind, payload) SELECT 'email:processing', 'welcome', '{"do": "fail", "error": "dial tcp: connection refused"}' FROM generate_series(1, 9)`,
	`INSERT INTO outbox.jobs (queue_name, kind, payload) SELECT 'email:processing', (ARRAY['welcome', 'newsletter.send', 'password.reset'])[1 + n % 3], jsonb_build_object('to', 'user' || n || '@example.com', 'template', 'default', 'big', 12345678901234567890) FROM generate_series(1, 240) AS n`,
	`INSERT INTO outbox.jobs (queue_name, kind, payload, run_at) SELECT 'billing', 'invoice.send', jsonb_build_object('invoice', n), now() + n * interval '17 minutes' FROM generate_series(1, 60) AS n`,
	`INSERT INTO outbox.jobs (queue_name, kind, payload) SELECT 'reports', 'report.weekly', jsonb_build_object('week', n) FROM generate_series(1, 140) AS n`,
	`INSERT INTO outbox.jobs (queue_name, kind, payload, max_attempts)
		SELECT 'email:processing', evil.text, jsonb_build_object('do', 'discard', 'error', evil.text, evil.text, evil.text), 1
		FROM unnest(ARRAY['<script>window.hurt=1</script>', '"><img src=x onerror=window.hurt=1>', 'javascript:window.hurt=1', '</pre></table><svg onload=window.hurt=1>']) AS evil (text)`,
	`INSERT INTO outbox.endpoints (queue_name, url, secret, max_in_flight, rate_per_second, disabled_at, disabled_reason) VALUES
		('partner', 'https://partner.example/hooks?token=canary', 'whsec_' || encode(sha256('a'), 'base64'), 20, 5, NULL, ''),
		('billing', 'https://ledger.example:8443/rookery', 'whsec_' || encode(sha256('b'), 'base64'), 10, 0, now() - interval '3 hours', 'receiver answered 410 Gone: <script>window.hurt=1</script>')`,
	`INSERT INTO outbox.processes (id, role, host) VALUES ('<img src=x onerror=window.hurt=1>', 'worker', '<script>window.hurt=1</script>')`,
	`INSERT INTO outbox.audit (principal, action, target, queue_name, detail, request_id, ip) VALUES
		('cli:ada@desk', 'key.create', 'b2c3d4e5f6g7h', '', '{"name": "web", "scopes": ["jobs:write"]}', '', NULL),
		('key:b2c3d4e5f6g7h', 'queue.window', 'billing', 'billing', '{"window_size": 2000}', 'deploy-4711', '192.0.2.7'),
		('oidc:grace@example.com', 'queue.pause', 'reports', 'reports', '{}', '7f3a', '2001:db8::7'),
		('oidc:grace@example.com', 'queue.resume', 'reports', 'reports', '{}', '7f3b', '2001:db8::7'),
		('cli:ada@desk', 'job.redrive', '17', 'billing', '{}', '', NULL),
		('<script>window.hurt=1</script>', 'job.cancel', '"><img src=x onerror=window.hurt=1>', 'billing', '{"a": "</pre><svg onload=window.hurt=1>"}', '', NULL)`,
	// A week for the charts: busier by day, with failures now and then, and an hour of a backlog.
	`INSERT INTO outbox.stats (minute, queue_name, writer, dispatched, completed, failed, wait_buckets)
		SELECT m, q.name, 1, jobs, jobs - failed, failed, CASE WHEN late THEN ARRAY[0, 0, 0, 0, 0, 0, 0, 0, 0, jobs / 3, jobs, jobs / 5] ELSE ARRAY[0, jobs / 2, jobs, jobs / 4, 3, 1] END
		FROM generate_series(date_trunc('minute', now()) - interval '7 days', now() - interval '1 minute', interval '1 minute') AS m,
			(VALUES ('email:processing', 240), ('billing', 60)) AS q (name, size),
			LATERAL (SELECT (q.size * (1.2 + sin(extract(epoch FROM m) / 13750) + 0.15 * sin(extract(epoch FROM m) / 97)))::bigint AS jobs, extract(minute FROM m) BETWEEN 20 AND 32 AS late) AS busy,
			LATERAL (SELECT CASE WHEN extract(minute FROM m)::integer % 17 < 2 THEN jobs / 12 ELSE 0 END AS failed) AS broken`,
	`INSERT INTO outbox.depths (minute, queue_name, paused, ready, scheduled, out, workers, oldest_ms)
		SELECT m, q, false, CASE WHEN extract(minute FROM m) BETWEEN 20 AND 32 THEN 900 - 60 * abs(26 - extract(minute FROM m)) ELSE 12 + extract(minute FROM m)::integer % 5 END, 60, 140, 1, 0
		FROM generate_series(date_trunc('minute', now()) - interval '7 days', now() - interval '1 minute', interval '1 minute') AS m, unnest(ARRAY['email:processing', 'billing']) AS q`,
	`INSERT INTO outbox.jobs (queue_name, kind, payload) SELECT 'billing', 'export.year', '{"do": "sleep"}' FROM generate_series(1, 3)`,
}

// hold keeps a job of queue crowd locked until ctx ends, so that an operation on that queue
// does not come to its end however fast the machine is: lists go from the newest to the
// oldest, and this is the oldest.
func hold(ctx context.Context, pool *pgxpool.Pool, held chan<- struct{}) error {
	tx, err := pool.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	var id int64
	if err := pool.QueryRow(ctx, `INSERT INTO outbox.jobs (queue_name, kind, run_at) VALUES ('crowd', 'crowd', now() + interval '1 day') RETURNING id`).Scan(&id); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `SELECT FROM outbox.jobs WHERE id = $1 FOR UPDATE`, id); err != nil {
		return err
	}
	close(held)
	<-ctx.Done()
	return ctx.Err()
}

// seed inserts them and waits until the short ones are over.
func seed(ctx context.Context, pool *pgxpool.Pool) error {
	for _, sql := range seeds {
		if _, err := pool.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%.60s: %w", sql, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	for {
		var ready bool
		err := pool.QueryRow(ctx, `SELECT (SELECT count(*) FROM outbox.dead_letters) >= 55 AND (SELECT count(*) FROM outbox.jobs WHERE status = 'completed') >= 240
			AND (SELECT count(*) FROM outbox.jobs WHERE status = 'running') = 3`).Scan(&ready)
		if err != nil || ready {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the seeds: %w", ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}
