-- What the dashboard looks at. Each list reads a bounded part of an index and goes on
-- behind a place in it, so that a page costs the same with ten jobs and ten million.

-- name: BrowseNewest :many
-- Jobs by id, the newest first, of the next so many below the place. Uses jobs_pkey.
SELECT j.id, j.queue_name, j.kind, j.priority, j.status, j.attempt_count, j.failure_count, j.lost_count, j.max_attempts, j.run_at, j.created_at, j.finished_at, j.worker_id, left(coalesce(j.last_error, ''), 300)::text AS last_error, j.created_at AS place_at, 0::integer AS place_rank
FROM (SELECT newest.id, newest.queue_name, newest.kind, newest.priority, newest.status, newest.attempt_count, newest.failure_count, newest.lost_count, newest.max_attempts, newest.run_at, newest.created_at, newest.finished_at, newest.worker_id, newest.last_error FROM outbox.jobs AS newest WHERE newest.id < @before_id ORDER BY newest.id DESC LIMIT @cap) AS j
WHERE (@queue_name::text = '' OR j.queue_name = @queue_name)
  AND starts_with(j.kind, @kind_prefix::text) AND (@kind::text = '' OR j.kind = @kind)
  AND (@status::text = '' OR j.status = @status)
  AND j.created_at >= @since::timestamptz
ORDER BY j.id DESC
LIMIT @max_jobs;

-- name: BrowseEdge :one
-- How far a capped look at the newest jobs reaches: its lowest id, and how many it saw.
SELECT coalesce(min(head.id), 0)::bigint AS id, count(*)::bigint AS seen
FROM (SELECT j.id FROM outbox.jobs AS j WHERE j.id < @before_id ORDER BY j.id DESC LIMIT @cap) AS head;

-- name: BrowseReady :many
-- Due jobs in the order in which they are claimed, queue by queue. Uses ready_pkey.
SELECT j.id, j.queue_name, j.kind, j.priority, j.status, j.attempt_count, j.failure_count, j.lost_count, j.max_attempts, j.run_at, j.created_at, j.finished_at, j.worker_id, left(coalesce(j.last_error, ''), 300)::text AS last_error, j.created_at AS place_at, r.priority::integer AS place_rank
FROM (
    SELECT due.queue_name, due.priority, due.job_id
    FROM outbox.ready AS due
    WHERE (due.queue_name, due.priority, due.job_id) > (@after_queue::text, @after_rank::smallint, @after_id::bigint)
    ORDER BY due.queue_name, due.priority, due.job_id
    LIMIT @cap
) AS r
JOIN outbox.jobs AS j ON j.id = r.job_id
WHERE (@queue_name::text = '' OR r.queue_name = @queue_name)
  AND starts_with(j.kind, @kind_prefix::text) AND (@kind::text = '' OR j.kind = @kind)
  AND j.created_at >= @since::timestamptz
ORDER BY r.queue_name, r.priority, r.job_id
LIMIT @max_jobs;

-- name: BrowseScheduled :many
-- Jobs that are not due, the next one first; those that have failed before, those that
-- have not, or both. Uses scheduled_pkey.
SELECT j.id, j.queue_name, j.kind, j.priority, j.status, j.attempt_count, j.failure_count, j.lost_count, j.max_attempts, j.run_at, j.created_at, j.finished_at, j.worker_id, left(coalesce(j.last_error, ''), 300)::text AS last_error, s.run_at AS place_at, 0::integer AS place_rank
FROM (
    SELECT later.run_at, later.job_id, later.queue_name
    FROM outbox.scheduled AS later
    WHERE (later.run_at, later.job_id) > (@after_at::timestamptz, @after_id::bigint)
    ORDER BY later.run_at, later.job_id
    LIMIT @cap
) AS s
JOIN outbox.jobs AS j ON j.id = s.job_id
WHERE (@queue_name::text = '' OR s.queue_name = @queue_name)
  AND starts_with(j.kind, @kind_prefix::text) AND (@kind::text = '' OR j.kind = @kind)
  AND j.created_at >= @since::timestamptz
  AND (j.failure_count > 0 AND @retrying::boolean OR j.failure_count = 0 AND @fresh::boolean)
ORDER BY s.run_at, s.job_id
LIMIT @max_jobs;

-- name: BrowseOut :many
-- Jobs that are dispatched or running, of the oldest batches in the ledger. Uses
-- dispatches_by_age.
SELECT j.id, j.queue_name, j.kind, j.priority, j.status, j.attempt_count, j.failure_count, j.lost_count, j.max_attempts, j.run_at, j.created_at, j.finished_at, j.worker_id, left(coalesce(j.last_error, ''), 300)::text AS last_error, j.created_at AS place_at, 0::integer AS place_rank
FROM (
    SELECT d.id, unnest(d.job_ids) AS job_id
    FROM (SELECT b.id, b.job_ids, b.created_at FROM outbox.dispatches AS b WHERE @queue_name::text = '' OR b.queue_name = @queue_name ORDER BY b.created_at, b.id LIMIT 200) AS d
    ORDER BY d.created_at, d.id
    LIMIT @cap
) AS away
JOIN outbox.jobs AS j ON j.id = away.job_id AND j.dispatch_id = away.id AND j.status IN ('dispatched', 'running')
WHERE j.id > @after_id::bigint
  AND starts_with(j.kind, @kind_prefix::text) AND (@kind::text = '' OR j.kind = @kind)
  AND (@status::text = '' OR j.status = @status)
  AND j.created_at >= @since::timestamptz
ORDER BY j.id
LIMIT @max_jobs;

-- name: BrowseDead :many
-- Dead jobs, the last to die first. Uses dead_letters_by_age.
SELECT j.id, j.queue_name, j.kind, j.priority, j.status, j.attempt_count, j.failure_count, j.lost_count, j.max_attempts, j.run_at, j.created_at, j.finished_at, j.worker_id, left(coalesce(j.last_error, ''), 300)::text AS last_error, d.dead_at AS place_at, 0::integer AS place_rank
FROM (
    SELECT letter.job_id, letter.dead_at, letter.queue_name, letter.kind
    FROM outbox.dead_letters AS letter
    WHERE (letter.dead_at, letter.job_id) < (@before_at::timestamptz, @before_id::bigint)
    ORDER BY letter.dead_at DESC, letter.job_id DESC
    LIMIT @cap
) AS d
JOIN outbox.jobs AS j ON j.id = d.job_id
WHERE (@queue_name::text = '' OR d.queue_name = @queue_name)
  AND starts_with(d.kind, @kind_prefix::text) AND (@kind::text = '' OR d.kind = @kind)
  AND d.dead_at >= @since::timestamptz
ORDER BY d.dead_at DESC, d.job_id DESC
LIMIT @max_jobs;

-- name: GroupDead :many
-- The newest so many dead jobs by queue, kind, reason and the first line of their error
-- with its numbers left out, the largest groups first.
SELECT head.queue_name, head.kind, head.reason,
    regexp_replace(left(split_part(coalesce(j.last_error, ''), E'\n', 1), 160), '[0-9a-fA-F]{8,}|[0-9]+', '#', 'g')::text AS error,
    count(*)::bigint AS jobs, min(head.dead_at)::timestamptz AS first_at, max(head.dead_at)::timestamptz AS last_at, max(head.job_id)::bigint AS example_id
FROM (SELECT d.job_id, d.queue_name, d.kind, d.reason, d.dead_at FROM outbox.dead_letters AS d ORDER BY d.dead_at DESC, d.job_id DESC LIMIT @cap) AS head
JOIN outbox.jobs AS j ON j.id = head.job_id
GROUP BY 1, 2, 3, 4
ORDER BY count(*) DESC, max(head.dead_at) DESC
LIMIT 100;

-- name: CountDead :one
-- Counts no further than the cap.
SELECT count(*)::bigint AS jobs
FROM (SELECT FROM outbox.dead_letters LIMIT @cap) AS head;

-- name: CountAhead :one
-- How many due jobs of its queue are claimed before a job, counted no further than the cap.
SELECT count(*)::bigint AS jobs
FROM (
    SELECT
    FROM outbox.ready AS r
    WHERE r.queue_name = @queue_name AND (r.priority, r.job_id) < (@priority::smallint, @id::bigint)
    LIMIT @cap
) AS head;

-- name: CountReadyByQueue :many
-- Due jobs of every queue, counted no further than the cap each, and since when the
-- first twenty of them in the order of the claim are due; 1970 when there is none.
SELECT q.name, head.jobs::bigint AS jobs,
    coalesce((
        SELECT min(j.run_at)
        FROM (SELECT r.job_id FROM outbox.ready AS r WHERE r.queue_name = q.name ORDER BY r.priority, r.job_id LIMIT 20) AS first
        JOIN outbox.jobs AS j ON j.id = first.job_id
    ), 'epoch')::timestamptz AS oldest_at
FROM outbox.queues AS q
CROSS JOIN LATERAL (
    SELECT count(*) AS jobs FROM (SELECT FROM outbox.ready AS r WHERE r.queue_name = q.name LIMIT @cap) AS few
) AS head
ORDER BY q.name;

-- name: ListBeats :many
-- Relays and workers with the age of their last word, by Postgres' clock.
SELECT p.id, p.role, p.host, p.pid, p.started_at,
    (extract(epoch FROM now() - p.beat_at) * 1000)::bigint AS beat_age_ms,
    (CASE WHEN p.redis_at IS NULL THEN -1 ELSE extract(epoch FROM now() - p.redis_at) * 1000 END)::bigint AS redis_age_ms
FROM outbox.processes AS p
ORDER BY p.role, p.started_at, p.id
LIMIT 1000;

-- name: ListTables :many
-- Our tables with their indexes, the largest first, by the statistics: nothing is counted.
SELECT s.relname::text AS name, pg_total_relation_size(s.relid)::bigint AS bytes, s.n_live_tup::bigint AS live, s.n_dead_tup::bigint AS dead,
    coalesce(greatest(s.last_vacuum, s.last_autovacuum), 'epoch')::timestamptz AS vacuum_at
FROM pg_catalog.pg_stat_user_tables AS s
WHERE s.schemaname = 'outbox'
ORDER BY 2 DESC, 1;

-- name: LedgerFacts :one
-- How many batches are out, and since when the oldest is.
SELECT count(*)::bigint AS batches, coalesce((extract(epoch FROM now() - min(d.created_at)) * 1000)::bigint, 0)::bigint AS oldest_ms
FROM (SELECT b.created_at FROM outbox.dispatches AS b ORDER BY b.created_at, b.id LIMIT 10000) AS d;
