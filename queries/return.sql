-- Step 7: what comes back without an outcome.

-- name: RequeueAttempts :many
-- lose (counts) and missing (does not): the attempts of one queue whose lease ended,
-- or whose copy went with an ended epoch. Guarded by the dispatch, and by the epoch
-- of the relay that found them: it is held FOR SHARE, so that no newer epoch begins
-- between this decision and its commit. The first loss comes back at once, ahead
-- of its queue (priority -1); later ones after a random 0-30 s, apart from their
-- neighbours; the fourth is dead. Locks queues, then jobs.
-- arrow: dispatched running -lose-> queued
-- arrow: dispatched running -poison-> dead
-- arrow: dispatched running -missing-> queued
WITH present AS (
    SELECT q.name FROM outbox.queues AS q WHERE q.name = @queue_name AND q.epoch = @epoch FOR SHARE
),
ended AS (
    SELECT unnest(@job_ids::bigint[]) AS job_id, unnest(@dispatch_ids::bigint[]) AS dispatch_id, unnest(@counts::boolean[]) AS counts
),
back AS (
    UPDATE outbox.jobs AS j
    SET status = CASE WHEN e.counts AND j.lost_count >= 3 THEN 'dead' ELSE 'queued' END,
        run_at = CASE WHEN e.counts AND j.lost_count BETWEEN 1 AND 2 THEN now() + random() * interval '30 seconds' ELSE j.run_at END,
        finished_at = CASE WHEN e.counts AND j.lost_count >= 3 THEN now() END,
        last_error = CASE WHEN e.counts AND j.lost_count >= 3 THEN 'poison pill: its worker was lost ' || j.lost_count + 1 || ' times' ELSE j.last_error END,
        lost_count = j.lost_count + CASE WHEN e.counts THEN 1 ELSE 0 END
    FROM present
    CROSS JOIN ended AS e
    WHERE j.id BETWEEN e.job_id AND e.job_id AND j.dispatch_id = e.dispatch_id AND j.status IN ('dispatched', 'running')
    RETURNING j.id, j.dispatch_id, j.queue_name, j.kind, j.priority, outbox.size_of(j.payload, j.headers) AS size, j.status, j.run_at, j.started_at, j.worker_id, j.attempt_count, e.counts
),
tried AS (
    INSERT INTO outbox.attempts (job_id, attempt_count, worker_id, started_at, outcome)
    SELECT back.id, back.attempt_count, back.worker_id, back.started_at, CASE WHEN back.counts THEN 'lose' ELSE 'missing' END
    FROM back
    ON CONFLICT DO NOTHING
),
due AS (
    INSERT INTO outbox.ready (queue_name, priority, job_id, size)
    SELECT back.queue_name, CASE WHEN back.counts THEN -1 ELSE back.priority END, back.id, back.size
    FROM back
    WHERE back.status = 'queued' AND back.run_at <= now()
    ON CONFLICT DO NOTHING
),
later AS (
    INSERT INTO outbox.scheduled (run_at, job_id, queue_name, priority, size)
    SELECT back.run_at, back.id, back.queue_name, CASE WHEN back.counts THEN -1 ELSE back.priority END, back.size
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
SELECT back.id, back.dispatch_id, back.status, coalesce((SELECT woken.sent FROM woken), false)::boolean AS woken
FROM back;

-- name: ListUnsettled :many
-- Attempts that ended epochs left behind and that no worker holds in Postgres, of
-- the next twenty ledger rows above the cursor.
WITH page AS (
    SELECT d.id, d.created_at, d.job_ids
    FROM outbox.dispatches AS d
    WHERE (d.created_at, d.id) > (@after_created_at::timestamptz, @after_id::bigint)
      AND d.queue_name = @queue_name AND d.epoch < @epoch AND d.lease_until IS NULL
    ORDER BY d.created_at, d.id
    LIMIT 20
),
member AS (
    SELECT page.id, page.created_at, unnest(page.job_ids) AS job_id FROM page
)
SELECT member.id AS dispatch_id, member.created_at, coalesce(j.id, 0)::bigint AS job_id
FROM member
LEFT JOIN outbox.jobs AS j ON j.id = member.job_id AND j.dispatch_id = member.id AND j.status IN ('dispatched', 'running')
ORDER BY member.created_at, member.id;

-- name: WorkersBehind :one
-- How many workers that serve the queue have not yet announced in the epoch what they
-- run. However long ago their last beat was: one that is cut off from Postgres alone
-- runs and renews as ever. One that crashed is forgotten after an hour; until then
-- settling takes a lease. A worker that does not serve the queue has no such key.
SELECT count(*)::bigint AS behind
FROM outbox.processes AS p
WHERE p.role = 'worker'
  AND (p.epochs ->> sqlc.arg(queue_name)::text)::bigint < sqlc.arg(epoch)::bigint;

-- name: PromoteScheduled :one
-- Up to a thousand jobs that have fallen due move from scheduled to ready. The
-- job's row is left alone: the claim's guard decides whether it is still queued.
WITH due AS (
    DELETE FROM outbox.scheduled
    WHERE ctid = ANY (ARRAY(
        SELECT s.ctid::tid AS place
        FROM outbox.scheduled AS s
        WHERE s.run_at >= @scheduled_from::timestamptz AND s.run_at <= now()
        ORDER BY s.run_at, s.job_id
        LIMIT 1000
        FOR UPDATE SKIP LOCKED
    ))
    RETURNING queue_name, priority, job_id, size, run_at
),
filed AS (
    INSERT INTO outbox.ready (queue_name, priority, job_id, size)
    SELECT due.queue_name, due.priority, due.job_id, due.size
    FROM due
    ON CONFLICT DO NOTHING
),
woken AS (
    SELECT outbox.wake() AS sent
    WHERE EXISTS (SELECT FROM due)
)
SELECT (SELECT count(*) FROM due)::bigint AS promoted,
    coalesce((SELECT min(due.run_at) FROM due), @scheduled_from)::timestamptz AS first_run_at,
    coalesce((SELECT woken.sent FROM woken), false)::boolean AS woken;

-- name: ListCancels :many
SELECT c.job_id, c.dispatch_id FROM outbox.cancels AS c WHERE c.queue_name = @queue_name ORDER BY c.job_id LIMIT 500;

-- name: CancelQueues :many
SELECT DISTINCT c.queue_name FROM outbox.cancels AS c;

-- name: DropCancels :exec
DELETE FROM outbox.cancels AS c
USING (SELECT unnest(@job_ids::bigint[]) AS job_id, unnest(@dispatch_ids::bigint[]) AS dispatch_id) AS told
WHERE c.job_id = told.job_id AND c.dispatch_id = told.dispatch_id;

-- name: WalkJobs :one
-- The slow walk: the next thousand jobs above the cursor. A queued job that stands
-- in neither narrow table, or an attempt without a ledger row, is filed again; it
-- must find nothing. One statement sees one state of all four tables, so it raises
-- no false alarm.
-- arrow: dispatched running -missing-> queued
WITH slice AS (
    SELECT j.id, j.status, j.dispatch_id, j.queue_name, j.priority, j.run_at
    FROM outbox.jobs AS j
    WHERE j.id > @after_id::bigint
    ORDER BY j.id
    LIMIT 1000
),
stray AS (
    SELECT slice.id, slice.queue_name, slice.priority
    FROM slice
    WHERE slice.status = 'queued'
      -- Two probes by the whole key: "priority IN" may read the queue's whole backlog.
      AND NOT EXISTS (SELECT FROM outbox.ready AS r WHERE r.queue_name = slice.queue_name AND r.priority = slice.priority AND r.job_id = slice.id)
      AND NOT EXISTS (SELECT FROM outbox.ready AS r WHERE r.queue_name = slice.queue_name AND r.priority = -1 AND r.job_id = slice.id)
      AND NOT EXISTS (SELECT FROM outbox.scheduled AS s WHERE s.run_at = slice.run_at AND s.job_id = slice.id)
),
back AS (
    UPDATE outbox.jobs AS j
    SET status = 'queued'
    FROM slice
    WHERE j.id BETWEEN slice.id AND slice.id
      AND slice.status IN ('dispatched', 'running')
      AND NOT EXISTS (SELECT FROM outbox.dispatches AS d WHERE d.id = slice.dispatch_id)
      AND j.dispatch_id = slice.dispatch_id
      AND j.status IN ('dispatched', 'running')
    RETURNING j.id, j.queue_name, j.priority, outbox.size_of(j.payload, j.headers) AS size
),
filed AS (
    INSERT INTO outbox.ready (queue_name, priority, job_id, size)
    -- No payload is read but those of strays.
    SELECT stray.queue_name, stray.priority, stray.id, outbox.size_of(j.payload, j.headers)
    FROM stray
    JOIN outbox.jobs AS j ON j.id BETWEEN stray.id AND stray.id
    UNION ALL
    SELECT back.queue_name, back.priority, back.id, back.size FROM back
    ON CONFLICT DO NOTHING
),
woken AS (
    SELECT outbox.wake() AS sent
    WHERE EXISTS (SELECT FROM stray) OR EXISTS (SELECT FROM back)
)
SELECT (SELECT count(*) FROM slice)::bigint AS seen,
    coalesce((SELECT max(slice.id) FROM slice), 0)::bigint AS last_id,
    coalesce((SELECT array_agg(stray.id) FROM stray), '{}')::bigint[] AS strays,
    coalesce((SELECT array_agg(back.id) FROM back), '{}')::bigint[] AS orphans,
    coalesce((SELECT woken.sent FROM woken), false)::boolean AS woken;
