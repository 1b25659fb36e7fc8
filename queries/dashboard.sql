-- What the dashboard looks at beside lists. Nothing is read or counted without an end,
-- so that a page costs the same with ten jobs and ten million.

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

-- name: GroupDeadOf :many
-- GroupDead of some queues, names or beginnings that end in *: those of theirs that are
-- among the newest so many dead jobs of all.
SELECT head.queue_name, head.kind, head.reason,
    regexp_replace(left(split_part(coalesce(j.last_error, ''), E'\n', 1), 160), '[0-9a-fA-F]{8,}|[0-9]+', '#', 'g')::text AS error,
    count(*)::bigint AS jobs, min(head.dead_at)::timestamptz AS first_at, max(head.dead_at)::timestamptz AS last_at, max(head.job_id)::bigint AS example_id
FROM (
    SELECT newest.job_id, newest.queue_name, newest.kind, newest.reason, newest.dead_at
    FROM (SELECT d.job_id, d.queue_name, d.kind, d.reason, d.dead_at FROM outbox.dead_letters AS d ORDER BY d.dead_at DESC, d.job_id DESC LIMIT @look) AS newest
    WHERE EXISTS (
        SELECT FROM unnest(@queues::text[]) AS mine (name)
        WHERE CASE WHEN mine.name LIKE '%*' THEN starts_with(newest.queue_name, left(mine.name, -1)) ELSE newest.queue_name = mine.name END)
    ORDER BY newest.dead_at DESC, newest.job_id DESC
    LIMIT @cap
) AS head
JOIN outbox.jobs AS j ON j.id = head.job_id
GROUP BY 1, 2, 3, 4
ORDER BY count(*) DESC, max(head.dead_at) DESC
LIMIT 100;

-- name: CountDeadOf :one
-- How many of the newest so many dead jobs are of some queues.
SELECT count(*)::bigint AS jobs
FROM (SELECT d.queue_name FROM outbox.dead_letters AS d ORDER BY d.dead_at DESC, d.job_id DESC LIMIT @look) AS newest
WHERE EXISTS (
    SELECT FROM unnest(@queues::text[]) AS mine (name)
    WHERE CASE WHEN mine.name LIKE '%*' THEN starts_with(newest.queue_name, left(mine.name, -1)) ELSE newest.queue_name = mine.name END);

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
