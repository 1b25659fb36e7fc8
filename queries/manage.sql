-- What people do to jobs and queues, and what they ask of them. On a pool whose
-- plans are not pinned.

-- name: CancelJob :one
SELECT outbox.cancel(@id) AS done;

-- name: RedriveJob :one
SELECT outbox.redrive(@id) AS done;

-- name: DeleteJob :one
SELECT outbox.delete(@id) AS done;

-- name: CloneJob :one
-- Inserts a job like another, due now, as any producer would: the trigger files it.
INSERT INTO outbox.jobs AS j (queue_name, kind, payload, priority, max_attempts, headers)
SELECT known.queue_name, known.kind, known.payload, known.priority, known.max_attempts, known.headers
FROM outbox.jobs AS known
WHERE known.id = @id
RETURNING j.id;

-- name: QueueOfJob :one
SELECT j.queue_name
FROM outbox.jobs AS j
WHERE j.id = @id;

-- name: ListProcesses :many
-- Relays and workers, with ages by Postgres' clock; silent ones are gone after an hour.
SELECT p.id, p.role, p.host, p.pid, p.started_at, p.beat_at, p.redis_at, p.epochs, p.quiet,
    (extract(epoch FROM clock_timestamp() - p.beat_at) * 1000)::bigint AS beat_age_ms,
    coalesce(extract(epoch FROM clock_timestamp() - p.redis_at) * 1000, -1)::bigint AS redis_age_ms
FROM outbox.processes AS p
WHERE @role::text = '' OR p.role = @role
ORDER BY p.role, p.started_at, p.id
LIMIT @max_processes;
