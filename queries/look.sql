-- The windows for people: API, command line, doctor. These run on a pool of their
-- own, whose plans are not pinned.

-- name: GetJob :one
SELECT j.* FROM outbox.jobs AS j WHERE j.id = @id;

-- name: GetJobFacts :one
-- A job for those who may not see payloads and headers (rookery_readonly).
SELECT j.id, j.queue_name, j.kind, j.priority, j.status, j.dispatch_id, j.attempt_count, j.failure_count, j.lost_count, j.max_attempts,
    j.run_at, j.created_at, j.dispatched_at, j.started_at, j.finished_at, j.worker_id, j.last_error
FROM outbox.jobs AS j
WHERE j.id = @id;

-- name: ListAttempts :many
SELECT a.* FROM outbox.attempts AS a WHERE a.job_id = @job_id ORDER BY a.attempt_count LIMIT 1000;

-- name: QueueFigures :many
-- Every queue, or the one that is named, with what Postgres has of it. Due jobs are
-- counted no further than the cap of each queue, scheduled ones among the first so many
-- of all to fall due. Since when jobs are due is said of the first hundred in the order
-- of the claim; 1970 when there is none.
WITH later AS (
    SELECT head.queue_name, count(*) AS jobs
    FROM (SELECT s.queue_name FROM outbox.scheduled AS s ORDER BY s.run_at, s.job_id LIMIT @cap) AS head
    GROUP BY head.queue_name
),
away AS (
    SELECT d.queue_name, sum(cardinality(d.job_ids)) AS jobs
    FROM outbox.dispatches AS d
    GROUP BY d.queue_name
)
SELECT q.name, q.paused, q.window_size, q.retention_seconds, q.retention_dead_seconds, q.epoch, q.life, (extract(epoch FROM clock_timestamp() - q.epoch_at) * 1000)::bigint AS epoch_age_ms,
    due.jobs::bigint AS ready, coalesce(later.jobs, 0)::bigint AS scheduled, coalesce(away.jobs, 0)::bigint AS out,
    coalesce(first.run_at, 'epoch')::timestamptz AS oldest_at,
    coalesce(extract(epoch FROM clock_timestamp() - first.run_at) * 1000, 0)::bigint AS oldest_age_ms
FROM outbox.queues AS q
CROSS JOIN LATERAL (
    SELECT count(*) AS jobs FROM (SELECT FROM outbox.ready AS r WHERE r.queue_name = q.name LIMIT @cap) AS few
) AS due
CROSS JOIN LATERAL (
    SELECT min(j.run_at) AS run_at
    FROM (SELECT r.job_id FROM outbox.ready AS r WHERE r.queue_name = q.name ORDER BY r.priority, r.job_id LIMIT 100) AS head
    JOIN outbox.jobs AS j ON j.id = head.job_id
) AS first
LEFT JOIN later ON later.queue_name = q.name
LEFT JOIN away ON away.queue_name = q.name
WHERE @queue_name::text = '' OR q.name = @queue_name
ORDER BY q.name;

-- name: ListOver :many
-- Those of some jobs that are over, or not there any more. Reads jobs_pkey only.
SELECT asked.id::bigint AS id
FROM unnest(@ids::bigint[]) AS asked (id)
LEFT JOIN outbox.jobs AS j ON j.id = asked.id
WHERE j.id IS NULL OR j.status IN ('completed', 'dead', 'cancelled');
