-- Callbacks: what receivers say after they have answered. On the unpinned pool, and only
-- for attempts whose receiver has answered that it will call back.

-- name: PruneCallbacks :exec
-- Forgets what is of long ago, whose tokens have expired. Each process does so once a
-- minute while somebody extends: 10,000 are more than it can have let in since. By
-- callbacks_by_age.
DELETE FROM outbox.callbacks AS c
WHERE c.ctid = ANY (ARRAY(
    SELECT past.ctid
    FROM outbox.callbacks AS past
    WHERE past.noted_at < now() - interval '25 hours'
    ORDER BY past.noted_at
    LIMIT 10000
    FOR UPDATE SKIP LOCKED
));

-- name: ExtendCallback :one
-- Keeps an attempt open for so long from now, if it is current: under the fence of its
-- token, or under the one to which its worker moved it. By jobs_pkey.
INSERT INTO outbox.callbacks AS c (job_id, dispatch_id, open_until)
SELECT j.id, sqlc.arg(dispatch_id)::bigint, now() + sqlc.arg(lease_ms)::bigint * interval '1 millisecond'
FROM outbox.jobs AS j
WHERE j.id = sqlc.arg(job_id)::bigint
  AND (j.dispatch_id = sqlc.arg(dispatch_id)::bigint OR j.moved_to = j.dispatch_id AND j.moved_from = sqlc.arg(dispatch_id)::bigint)
  AND j.status IN ('dispatched', 'running')
ON CONFLICT (job_id, dispatch_id) DO UPDATE SET open_until = excluded.open_until
RETURNING c.open_until;

-- name: OpenAttempts :many
-- What became of attempts that are open, each asked for by the fence of its token and
-- the one that its worker has for it: the job may have a later one, whose answer is on
-- its way to the worker. ended is what its outcome made of the job, '' when that is not
-- known: it was taken back. A job that has failed may be on its way again already, so
-- the record of the attempt is asked. By jobs_pkey, attempts_pkey and callbacks_pkey.
WITH open AS (
    SELECT unnest(sqlc.arg(job_ids)::bigint[]) AS job_id, unnest(sqlc.arg(dispatch_ids)::bigint[]) AS dispatch_id,
        unnest(sqlc.arg(held_as)::bigint[]) AS held_as, unnest(sqlc.arg(attempt_counts)::integer[]) AS attempt_count
)
SELECT open.job_id::bigint AS job_id, open.dispatch_id::bigint AS dispatch_id,
    coalesce(its.dispatch AND j.status IN ('dispatched', 'running'), false)::boolean AS is_open,
    (CASE
        WHEN its.dispatch AND j.status IN ('completed', 'dead', 'cancelled') THEN j.status
        WHEN t.outcome = 'fail' THEN 'queued'
        WHEN t.outcome = 'discard' THEN 'dead'
        WHEN t.outcome = 'cancel' THEN 'cancelled'
        ELSE ''
    END)::text AS ended,
    (c.open_until IS NOT NULL)::boolean AS extended,
    coalesce((extract(epoch FROM c.open_until - clock_timestamp()) * 1000)::bigint, 0)::bigint AS left_ms
FROM open
LEFT JOIN outbox.jobs AS j ON j.id = open.job_id
LEFT JOIN LATERAL (
    SELECT j.dispatch_id IN (open.dispatch_id, open.held_as) OR coalesce(j.moved_to = j.dispatch_id AND j.moved_from = open.dispatch_id, false) AS dispatch
) AS its ON true
LEFT JOIN outbox.attempts AS t ON t.job_id = open.job_id AND t.attempt_count = open.attempt_count
LEFT JOIN outbox.callbacks AS c ON c.job_id = open.job_id AND c.dispatch_id = open.dispatch_id;
