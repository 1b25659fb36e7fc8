-- What has been finished for long enough goes.

-- name: PruneJobs :one
-- Deletes, of the next thousand jobs above the cursor and up to an id, those that
-- have been terminal for as long as they are kept (NULL: for ever), with their
-- attempts and dead letters. Reads jobs_pkey only. FOR UPDATE looks at the newest
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
    SELECT j.id, j.created_at, j.status, j.finished_at
    FROM outbox.jobs AS j
    WHERE j.id > @after_id::bigint AND j.id <= @up_to_id::bigint
      AND (SELECT turn.got FROM turn)
    ORDER BY j.id
    LIMIT 1000
),
over AS (
    SELECT j.id
    FROM outbox.jobs AS j
    WHERE j.id = ANY (ARRAY(
        SELECT slice.id
        FROM slice
        WHERE slice.status IN ('completed', 'cancelled') AND slice.finished_at < now() - sqlc.narg(keep_ms)::bigint * interval '1 millisecond'
           OR slice.status = 'dead' AND slice.finished_at < now() - sqlc.narg(keep_dead_ms)::bigint * interval '1 millisecond'
        ORDER BY slice.id
    ))
      AND (j.status IN ('completed', 'cancelled') AND j.finished_at < now() - sqlc.narg(keep_ms)::bigint * interval '1 millisecond'
        OR j.status = 'dead' AND j.finished_at < now() - sqlc.narg(keep_dead_ms)::bigint * interval '1 millisecond')
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
