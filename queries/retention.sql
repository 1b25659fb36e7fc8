-- What has been finished for long enough goes.

-- name: PruneJobs :one
-- Deletes, of the next thousand jobs above the cursor and up to an id, those that
-- have been terminal for as long as they are kept, with their attempts and dead
-- letters: as their queue says, or else these parameters (NULL: for ever). Reads
-- jobs_pkey, and queues_pkey for each job. FOR UPDATE looks at the newest
-- version of each row and skips what somebody has locked: a job that is being
-- redriven survives, and nobody is waited for. Locks jobs, in the order of ids; what
-- goes with them is written by who has locked the job, so the order of those is free.
-- Cancel orders stay: a handler may still have to be told, and who tells it deletes
-- the order. Keys in outbox.spooled stay: without its key a request that is sent
-- again would be inserted again. One relay prunes at a time, by advisory lock
-- (1380928331, 3) to the statement's end; the others find got false, and try later.
-- next_id is where to read on; ended says that what lies behind it was inserted too
-- lately to have been over for long, or not at all.
WITH turn AS (
    SELECT pg_try_advisory_xact_lock(1380928331, 3) AS got
),
slice AS (
    SELECT j.id, j.created_at, j.status, j.finished_at,
        CASE
            WHEN j.status = 'dead' THEN coalesce((
                SELECT CASE WHEN q.retention_dead_seconds = 0 THEN -1 ELSE q.retention_dead_seconds * 1000 END
                FROM outbox.queues AS q
                WHERE q.name = j.queue_name
            ), sqlc.narg(keep_dead_ms)::bigint)
            WHEN j.status IN ('completed', 'cancelled') THEN coalesce((
                SELECT CASE WHEN q.retention_seconds = 0 THEN -1 ELSE q.retention_seconds * 1000 END
                FROM outbox.queues AS q
                WHERE q.name = j.queue_name
            ), sqlc.narg(keep_ms)::bigint)
        END AS kept_ms
    FROM outbox.jobs AS j
    WHERE j.id > @after_id::bigint AND j.id <= @up_to_id::bigint
      AND (SELECT turn.got FROM turn)
    ORDER BY j.id
    LIMIT 1000
),
due AS (
    SELECT slice.id, slice.finished_at
    FROM slice
    WHERE slice.kept_ms >= 0 AND slice.finished_at < now() - slice.kept_ms * interval '1 millisecond'
),
over AS (
    -- What has been redriven since, and is over again, was finished later than any of these.
    SELECT j.id
    FROM outbox.jobs AS j
    WHERE j.id = ANY (ARRAY(SELECT due.id FROM due ORDER BY due.id))
      AND j.status IN ('completed', 'cancelled', 'dead')
      AND j.finished_at <= (SELECT max(due.finished_at) FROM due)
    ORDER BY j.id
    FOR UPDATE SKIP LOCKED
),
history AS (
    DELETE FROM outbox.attempts AS a
    WHERE a.job_id = ANY (ARRAY(SELECT over.id FROM over))
),
letters AS (
    DELETE FROM outbox.dead_letters AS d
    WHERE d.job_id = ANY (ARRAY(SELECT over.id FROM over))
),
gone AS (
    DELETE FROM outbox.jobs AS j
    WHERE j.id = ANY (ARRAY(SELECT over.id FROM over))
    RETURNING j.id
),
edge AS (
    SELECT count(*) AS seen,
        max(slice.id) AS last_id,
        max(slice.id) FILTER (WHERE (slice.created_at > now() - sqlc.narg(young_ms)::bigint * interval '1 millisecond') IS NOT TRUE) AS old_id,
        coalesce(pg_sequence_last_value(pg_get_serial_sequence('outbox.jobs', 'id')::regclass), 0) AS top
    FROM slice
)
SELECT (SELECT turn.got FROM turn)::boolean AS got,
    edge.seen::bigint AS seen,
    (SELECT count(*) FROM gone)::bigint AS deleted,
    CASE
        WHEN edge.last_id > coalesce(edge.old_id, 0) THEN greatest(edge.old_id, @after_id)
        WHEN edge.seen = 1000 THEN edge.last_id
        ELSE greatest(least(@up_to_id, edge.top), @after_id)
    END::bigint AS next_id,
    (coalesce(edge.last_id > coalesce(edge.old_id, 0), false) OR edge.seen < 1000 AND @up_to_id >= edge.top)::boolean AS ended
FROM edge;
