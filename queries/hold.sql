-- Holding in Postgres: what a lease is while Redis is away.

-- name: HoldAttempts :many
-- A worker moves attempts of one queue, under whatever dispatch it has them, to a
-- ledger row of its own with a lease. Sent again with the same new dispatch it does
-- the same again; what does not come back is over. The job keeps the dispatch that its
-- attempt was handed out as: others know it by that. Locks jobs by id, through
-- jobs_pkey.
WITH held AS (
    SELECT unnest(sqlc.arg(job_ids)::bigint[]) AS job_id, unnest(sqlc.arg(dispatch_ids)::bigint[]) AS dispatch_id
),
moved AS (
    UPDATE outbox.jobs AS j
    SET dispatch_id = sqlc.arg(dispatch_id)::bigint, worker_id = sqlc.arg(worker_id)::text, moved_to = sqlc.arg(dispatch_id)::bigint,
        moved_from = CASE WHEN j.moved_to = j.dispatch_id THEN j.moved_from ELSE j.dispatch_id END
    FROM held
    WHERE j.id BETWEEN held.job_id AND held.job_id
      AND (j.dispatch_id = held.dispatch_id OR j.dispatch_id = sqlc.arg(dispatch_id)::bigint)
      AND j.status IN ('dispatched', 'running')
    RETURNING j.id
),
ledger AS (
    INSERT INTO outbox.dispatches (id, queue_name, job_ids, epoch, relay_id, worker_id, lease_until)
    SELECT sqlc.arg(dispatch_id)::bigint, sqlc.arg(queue_name)::text, array_agg(moved.id),
        coalesce((SELECT q.epoch FROM outbox.queues AS q WHERE q.name = sqlc.arg(queue_name)::text), 0),
        sqlc.arg(worker_id)::text, sqlc.arg(worker_id)::text, now() + sqlc.arg(lease_ms)::bigint * interval '1 millisecond'
    FROM moved
    HAVING count(*) > 0
    ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until
)
SELECT moved.id FROM moved;

-- name: LeaseStanding :one
-- What a job is, and what became of its attempt that was handed out as dispatch_id: whether it
-- is the job's last one, moved is by a dispatch that its worker gave it; and the outcome
-- that is recorded of it, '' for none. A success is not recorded but by the job itself,
-- and of the others the last thousand are looked through. Reads jobs_pkey, and attempts_pkey only when
-- the attempt is not under way.
SELECT j.id, j.queue_name, j.kind, j.priority, j.status, coalesce(j.dispatch_id, 0)::bigint AS dispatch_id, j.attempt_count, j.failure_count,
    j.lost_count, j.max_attempts, j.run_at, j.created_at, j.dispatched_at, j.started_at, its.last, its.moved,
    (CASE
        WHEN its.last AND j.status IN ('dispatched', 'running') THEN ''
        WHEN its.last AND j.status = 'completed' THEN 'complete'
        ELSE coalesce((
            SELECT past.outcome
            FROM (
                SELECT t.outcome, t.dispatch_id
                FROM outbox.attempts AS t
                WHERE t.job_id = sqlc.arg(id)::bigint
                ORDER BY t.attempt_count DESC
                LIMIT 1000
            ) AS past
            WHERE past.dispatch_id = sqlc.arg(dispatch_id)::bigint
            LIMIT 1
        ), '')
    END)::text AS outcome
FROM outbox.jobs AS j
CROSS JOIN LATERAL (
    SELECT coalesce(j.dispatch_id = sqlc.arg(dispatch_id)::bigint OR j.moved_to = j.dispatch_id AND j.moved_from = sqlc.arg(dispatch_id)::bigint, false)::boolean AS last,
        coalesce(j.moved_to = j.dispatch_id AND j.moved_from = sqlc.arg(dispatch_id)::bigint, false)::boolean AS moved
) AS its
WHERE j.id = sqlc.arg(id)::bigint;

-- name: RenewHeld :many
-- Renews ledger rows that a worker holds, and says which of their jobs are current
-- or cancelled. A row that was taken back is gone: renewal and taking back lock the
-- row, so one of them comes first. Through dispatches_pkey and jobs_pkey.
WITH renewed AS (
    UPDATE outbox.dispatches AS d
    SET lease_until = now() + sqlc.arg(lease_ms)::bigint * interval '1 millisecond'
    WHERE d.id = ANY (sqlc.arg(dispatch_ids)::bigint[]) AND d.worker_id = sqlc.arg(worker_id)::text
    RETURNING d.id, d.job_ids
)
SELECT j.id, j.dispatch_id, j.status
FROM outbox.jobs AS j
WHERE j.id = ANY (ARRAY(SELECT unnest(renewed.job_ids) FROM renewed))
  AND j.dispatch_id = ANY (ARRAY(SELECT renewed.id FROM renewed))
  AND j.status IN ('dispatched', 'running', 'cancelled');

-- name: ReclaimHeld :many
-- What a worker has claimed under this dispatch without hearing the answer, with its
-- lease renewed.
WITH renewed AS (
    UPDATE outbox.dispatches AS d
    SET lease_until = now() + sqlc.arg(lease_ms)::bigint * interval '1 millisecond'
    WHERE d.id = sqlc.arg(dispatch_id)::bigint AND d.worker_id = sqlc.arg(worker_id)::text
    RETURNING d.job_ids
)
SELECT j.id, j.attempt_count, j.kind, j.priority, j.max_attempts, j.failure_count, j.lost_count,
    j.created_at, j.run_at, j.dispatched_at, j.headers, j.payload
FROM outbox.jobs AS j
WHERE j.id = ANY (ARRAY(SELECT unnest(renewed.job_ids) FROM renewed))
  AND j.dispatch_id = sqlc.arg(dispatch_id)::bigint
  AND j.status = 'dispatched';

-- name: TakeBackHeld :many
-- Leases in Postgres that ended: their ledger rows go and their jobs come back, as
-- RequeueAttempts brings back those of Redis. The row is locked before its lease is
-- judged, so that a renewal either comes first or finds no row. After the deadline, on
-- this server's clock, nothing is taken back: the clock was set, or this came late.
-- A job that somebody has locked keeps its row, for a later turn, and no other job: they
-- leave the row, because a renewal that waited for it sees the jobs as they were. Through
-- dispatches_by_lease; locks dispatches, then jobs.
-- arrow: dispatched running -lose-> queued
-- arrow: dispatched running -poison-> dead
WITH ended AS (
    SELECT d.id, d.job_ids
    FROM outbox.dispatches AS d
    WHERE d.lease_until < now() AND now() <= sqlc.arg(deadline)::timestamptz
    ORDER BY d.lease_until, d.id
    LIMIT 20
    FOR UPDATE SKIP LOCKED
),
free AS (
    SELECT j.id
    FROM outbox.jobs AS j
    WHERE j.id = ANY (ARRAY(SELECT unnest(ended.job_ids) FROM ended))
      AND j.dispatch_id = ANY (ARRAY(SELECT ended.id FROM ended))
      AND j.status IN ('dispatched', 'running')
    ORDER BY j.id
    FOR NO KEY UPDATE SKIP LOCKED
),
locked AS (
    SELECT j.id, j.dispatch_id
    FROM outbox.jobs AS j
    WHERE j.id = ANY (ARRAY(SELECT unnest(ended.job_ids) FROM ended))
      AND j.dispatch_id = ANY (ARRAY(SELECT ended.id FROM ended))
      AND j.status IN ('dispatched', 'running')
      AND j.id <> ALL (ARRAY(SELECT free.id FROM free))
),
gone AS (
    DELETE FROM outbox.dispatches AS d
    WHERE d.id = ANY (ARRAY(SELECT ended.id FROM ended)) AND d.id <> ALL (ARRAY(SELECT locked.dispatch_id FROM locked))
),
kept AS (
    UPDATE outbox.dispatches AS d
    SET job_ids = ARRAY(SELECT locked.id FROM locked WHERE locked.dispatch_id = d.id ORDER BY locked.id)
    WHERE d.id = ANY (ARRAY(SELECT locked.dispatch_id FROM locked))
),
back AS (
    UPDATE outbox.jobs AS j
    SET status = CASE WHEN j.lost_count >= 3 THEN 'dead' ELSE 'queued' END,
        run_at = CASE WHEN j.lost_count BETWEEN 1 AND 2 THEN now() + random() * interval '30 seconds' ELSE j.run_at END,
        finished_at = CASE WHEN j.lost_count >= 3 THEN now() END,
        last_error = CASE WHEN j.lost_count >= 3 THEN 'poison pill: its worker was lost ' || j.lost_count + 1 || ' times' ELSE j.last_error END,
        lost_count = j.lost_count + 1
    WHERE j.id = ANY (ARRAY(SELECT free.id FROM free)) AND j.status IN ('dispatched', 'running')
    RETURNING j.id, j.dispatch_id, j.queue_name, j.kind, j.priority, outbox.size_of(j.payload, j.headers) AS size, j.status, j.run_at, j.started_at, j.worker_id, j.attempt_count
),
tried AS (
    INSERT INTO outbox.attempts (job_id, attempt_count, worker_id, started_at, outcome)
    SELECT back.id, back.attempt_count, back.worker_id, back.started_at, 'lose'
    FROM back
    ON CONFLICT DO NOTHING
),
due AS (
    INSERT INTO outbox.ready (queue_name, priority, job_id, size)
    SELECT back.queue_name, -1, back.id, back.size
    FROM back
    WHERE back.status = 'queued' AND back.run_at <= now()
    ON CONFLICT DO NOTHING
),
later AS (
    INSERT INTO outbox.scheduled (run_at, job_id, queue_name, priority, size)
    SELECT back.run_at, back.id, back.queue_name, -1, back.size
    FROM back
    WHERE back.status = 'queued' AND back.run_at > now()
    ON CONFLICT DO NOTHING
),
buried AS (
    INSERT INTO outbox.dead_letters (job_id, queue_name, kind, reason)
    SELECT back.id, back.queue_name, back.kind, 'poison'
    FROM back
    WHERE back.status = 'dead'
    ON CONFLICT DO NOTHING
),
noted AS (
    INSERT INTO outbox.events (job_ids, statuses, attempt_counts)
    SELECT array_agg(back.id), array_agg(back.status::text), array_agg(back.attempt_count)
    FROM back
    WHERE (SELECT g.open_until > now() FROM outbox.event_gate AS g WHERE g.one)
    HAVING count(*) > 0
),
woken AS (
    SELECT outbox.wake() AS sent
    WHERE EXISTS (SELECT FROM back WHERE back.status = 'queued' AND back.run_at <= now() + interval '2 seconds')
)
SELECT back.id, back.dispatch_id, back.queue_name, back.status, coalesce((SELECT woken.sent FROM woken), false)::boolean AS woken
FROM back;

-- name: WindowHolds :one
-- Whether the ledger has batches of this epoch that were entrusted to Redis.
SELECT EXISTS (
    SELECT FROM outbox.dispatches AS d
    WHERE d.queue_name = sqlc.arg(queue_name)::text AND d.epoch = sqlc.arg(epoch)::bigint AND d.lease_until IS NULL
)::boolean AS holds;

-- name: RedisSilence :one
-- For how many ms no process has said that it reached Redis; since the first of them
-- started when none ever has; negative when there is none.
SELECT coalesce(
    (extract(epoch FROM now() - coalesce((SELECT max(p.redis_at) FROM outbox.processes AS p), (SELECT min(p.started_at) FROM outbox.processes AS p))) * 1000)::bigint,
    -1
)::bigint AS silent_ms;
