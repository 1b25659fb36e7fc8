-- Lists of jobs for people. Each list walks one index, a slice of places at a time,
-- and BrowseJobs shows those of a slice that match: no filter ever reads more than
-- job.BrowseCap places, and none needs an index on a column of outbox.jobs that
-- changes. What a place knows of its job beside the order is told with it, so that
-- jobs which cannot match are not read. On a pool whose plans are not pinned.

-- name: NewestPlaces :many
-- The next places of all jobs, the newest first. Reads jobs_pkey only.
SELECT j.id
FROM outbox.jobs AS j
WHERE j.id < @before_id::bigint
ORDER BY j.id DESC
LIMIT @slice;

-- name: ReadyPlaces :many
-- The next places of due jobs, in the order of ready_pkey.
SELECT r.queue_name, r.priority, r.job_id
FROM outbox.ready AS r
WHERE (r.queue_name, r.priority, r.job_id) > (@after_queue_name::text, @after_priority::smallint, @after_id::bigint)
ORDER BY r.queue_name, r.priority, r.job_id
LIMIT @slice;

-- name: ReadyPlacesOfQueue :many
-- The next places of one queue's due jobs, in the order in which they are claimed.
SELECT r.priority, r.job_id
FROM outbox.ready AS r
WHERE r.queue_name = @queue_name AND (r.priority, r.job_id) > (@after_priority::smallint, @after_id::bigint)
ORDER BY r.priority, r.job_id
LIMIT @slice;

-- name: ScheduledPlaces :many
-- The next places of jobs that are not due yet, in the order in which they fall due
-- (scheduled_pkey).
SELECT s.run_at, s.job_id, s.queue_name
FROM outbox.scheduled AS s
WHERE (s.run_at, s.job_id) > (@after_run_at::timestamptz, @after_id::bigint)
ORDER BY s.run_at, s.job_id
LIMIT @slice;

-- name: OutPlaces :many
-- The next places of jobs that are dispatched or running, the newest first. The whole
-- ledger is read: windows bound it, not backlogs.
SELECT entrusted.job_id::bigint AS job_id
FROM (
    SELECT DISTINCT unnest(d.job_ids) AS job_id
    FROM outbox.dispatches AS d
    WHERE @queue_name::text = '' OR d.queue_name = @queue_name
) AS entrusted
WHERE entrusted.job_id < @before_id::bigint
ORDER BY entrusted.job_id DESC
LIMIT @slice;

-- name: DeadPlaces :many
-- The next places of dead jobs, the last to die first (dead_letters_by_age).
SELECT d.dead_at, d.job_id, d.queue_name, d.kind
FROM outbox.dead_letters AS d
WHERE (d.dead_at, d.job_id) < (@before_dead_at::timestamptz, @before_id::bigint) AND d.dead_at > @died_after::timestamptz
ORDER BY d.dead_at DESC, d.job_id DESC
LIMIT @slice;

-- name: BrowseJobs :many
-- The first of some jobs that match, in the order in which they are named, without
-- payload and headers. No statuses means any, no queues all, and one that ends in * all
-- that begin so; NULL any kind, failed or not, any time. Errors are cut. OFFSET 0 has the
-- planner probe jobs_pkey: of a table that was never analysed it believes that hardly
-- any row matches, reads it whole, and holds each row against all ids.
SELECT j.id, j.queue_name, j.kind, j.priority, j.status, j.dispatch_id, j.attempt_count, j.failure_count, j.lost_count, j.max_attempts,
    j.run_at, j.created_at, j.dispatched_at, j.started_at, j.finished_at, j.worker_id, coalesce(left(j.last_error, @error_chars::integer), '')::text AS last_error
FROM unnest(@ids::bigint[]) WITH ORDINALITY AS place (id, n)
CROSS JOIN LATERAL (
    SELECT known.id, known.queue_name, known.kind, known.priority, known.status, known.dispatch_id, known.attempt_count, known.failure_count,
        known.lost_count, known.max_attempts, known.run_at, known.created_at, known.dispatched_at, known.started_at, known.finished_at,
        known.worker_id, known.last_error
    FROM outbox.jobs AS known
    WHERE known.id = place.id
    OFFSET 0
) AS j
WHERE (@queue_name::text = '' OR j.queue_name = @queue_name)
  AND (cardinality(@queues::text[]) = 0 OR EXISTS (
    SELECT FROM unnest(@queues) AS mine (name)
    WHERE CASE WHEN mine.name LIKE '%*' THEN starts_with(j.queue_name, left(mine.name, -1)) ELSE j.queue_name = mine.name END))
  AND starts_with(j.kind, @kind_prefix::text)
  AND (sqlc.narg(kind)::text IS NULL OR j.kind = sqlc.narg(kind))
  AND (cardinality(@statuses::text[]) = 0 OR j.status = ANY (@statuses))
  AND (sqlc.narg(failed)::boolean IS NULL OR (j.failure_count > 0) = sqlc.narg(failed))
  AND (sqlc.narg(created_after)::timestamptz IS NULL OR j.created_at > sqlc.narg(created_after))
  AND (sqlc.narg(created_before)::timestamptz IS NULL OR j.created_at < sqlc.narg(created_before))
ORDER BY place.n
LIMIT @max_jobs;
