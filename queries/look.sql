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
-- The longest-waiting of the first hundred due jobs, and for how long it has waited.
SELECT min(j.run_at)::timestamptz AS oldest_at, (extract(epoch FROM clock_timestamp() - min(j.run_at)) * 1000)::bigint AS age_ms
FROM (SELECT r.job_id FROM outbox.ready AS r WHERE r.queue_name = @queue_name ORDER BY r.priority, r.job_id LIMIT 100) AS head
JOIN outbox.jobs AS j ON j.id = head.job_id
HAVING count(*) > 0;
