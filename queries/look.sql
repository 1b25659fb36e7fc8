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

-- name: CountReady :one
-- Counts no further than the cap.
SELECT count(*)::bigint AS jobs
FROM (SELECT FROM outbox.ready AS r WHERE r.queue_name = @queue_name LIMIT @cap) AS head;

-- name: CountScheduled :many
-- Scheduled jobs by queue, of the first so many to fall due.
SELECT head.queue_name, count(*)::bigint AS jobs
FROM (SELECT s.queue_name FROM outbox.scheduled AS s ORDER BY s.run_at, s.job_id LIMIT @cap) AS head
GROUP BY head.queue_name;

-- name: CountOut :many
SELECT d.queue_name, sum(cardinality(d.job_ids))::bigint AS jobs FROM outbox.dispatches AS d GROUP BY d.queue_name;

-- name: OldestReady :one
-- The longest-waiting of the first hundred due jobs.
SELECT min(j.run_at)::timestamptz AS oldest_at
FROM (SELECT r.job_id FROM outbox.ready AS r WHERE r.queue_name = @queue_name ORDER BY r.priority, r.job_id LIMIT 100) AS head
JOIN outbox.jobs AS j ON j.id = head.job_id
HAVING count(*) > 0;

-- name: ReadyQueueNames :many
WITH RECURSIVE found AS (
    (SELECT r.queue_name FROM outbox.ready AS r ORDER BY r.queue_name LIMIT 1)
    UNION ALL
    SELECT (SELECT r.queue_name FROM outbox.ready AS r WHERE r.queue_name > found.queue_name ORDER BY r.queue_name LIMIT 1)
    FROM found
    WHERE found.queue_name IS NOT NULL
)
SELECT f.queue_name::text AS queue_name FROM found AS f WHERE f.queue_name IS NOT NULL;

-- name: ListNewest :many
-- Jobs by id, the newest first; those of one queue are looked for no further than
-- the cap.
SELECT j.id, j.queue_name, j.kind, j.priority, j.status, j.attempt_count, j.failure_count, j.lost_count, j.max_attempts, j.run_at, j.created_at, j.finished_at, j.worker_id, j.last_error
FROM (SELECT newest.id, newest.queue_name, newest.kind, newest.priority, newest.status, newest.attempt_count, newest.failure_count, newest.lost_count, newest.max_attempts, newest.run_at, newest.created_at, newest.finished_at, newest.worker_id, newest.last_error FROM outbox.jobs AS newest WHERE newest.id < @before_id ORDER BY newest.id DESC LIMIT @cap) AS j
WHERE @queue_name::text = '' OR j.queue_name = @queue_name
ORDER BY j.id DESC
LIMIT @max_jobs;

-- name: ListReady :many
SELECT j.id, j.queue_name, j.kind, j.priority, j.status, j.attempt_count, j.failure_count, j.lost_count, j.max_attempts, j.run_at, j.created_at, j.finished_at, j.worker_id, j.last_error
FROM outbox.ready AS r
JOIN outbox.jobs AS j ON j.id = r.job_id
WHERE r.queue_name = @queue_name
ORDER BY r.priority, r.job_id
LIMIT @max_jobs;

-- name: ListScheduled :many
SELECT j.id, j.queue_name, j.kind, j.priority, j.status, j.attempt_count, j.failure_count, j.lost_count, j.max_attempts, j.run_at, j.created_at, j.finished_at, j.worker_id, j.last_error
FROM outbox.scheduled AS s
JOIN outbox.jobs AS j ON j.id = s.job_id
WHERE @queue_name::text = '' OR s.queue_name = @queue_name
ORDER BY s.run_at, s.job_id
LIMIT @max_jobs;

-- name: ListOut :many
SELECT j.id, j.queue_name, j.kind, j.priority, j.status, j.attempt_count, j.failure_count, j.lost_count, j.max_attempts, j.run_at, j.created_at, j.finished_at, j.worker_id, j.last_error
FROM (SELECT d.id, unnest(d.job_ids) AS job_id FROM outbox.dispatches AS d WHERE @queue_name::text = '' OR d.queue_name = @queue_name) AS out
JOIN outbox.jobs AS j ON j.id = out.job_id AND j.dispatch_id = out.id AND j.status IN ('dispatched', 'running')
ORDER BY j.id
LIMIT @max_jobs;

-- name: ListDead :many
SELECT j.id, j.queue_name, j.kind, j.priority, j.status, j.attempt_count, j.failure_count, j.lost_count, j.max_attempts, j.run_at, j.created_at, j.finished_at, j.worker_id, j.last_error
FROM outbox.dead_letters AS d
JOIN outbox.jobs AS j ON j.id = d.job_id
WHERE @queue_name::text = '' OR d.queue_name = @queue_name
ORDER BY d.dead_at DESC, d.job_id DESC
LIMIT @max_jobs;

-- name: CancelJob :one
SELECT outbox.cancel(@id) AS done;

-- name: RedriveJob :one
SELECT outbox.redrive(@id) AS done;
