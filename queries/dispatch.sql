-- Step 3: hand due jobs to Redis.

-- name: Survey :one
-- Which queues have due jobs, and in how many ms the next scheduled one is due
-- (negative when it is overdue, the largest bigint when there is none). One index probe per queue: a
-- loose scan of ready_pkey, and the head of scheduled_pkey above a point before
-- which only dead entries lie. Queues in skipped are not looked at, and not reported:
-- the scan goes through the gaps between their names, for the dead entries of one
-- queue can be millions (relay/skip.go).
WITH RECURSIVE gap AS (
    SELECT edge.name AS above, lead(edge.name) OVER (ORDER BY edge.name) AS below
    FROM (SELECT '' AS name UNION SELECT unnest(@skipped::text[])) AS edge
),
found AS (
    SELECT gap.below, gap.above AS queue_name, true AS edge
    FROM gap
    UNION ALL
    SELECT found.below, next.queue_name, false
    FROM found
    CROSS JOIN LATERAL (
        (SELECT r.queue_name FROM outbox.ready AS r WHERE r.queue_name > found.queue_name AND r.queue_name < found.below ORDER BY r.queue_name LIMIT 1)
        UNION ALL
        (SELECT r.queue_name FROM outbox.ready AS r WHERE r.queue_name > found.queue_name AND found.below IS NULL ORDER BY r.queue_name LIMIT 1)
    ) AS next
)
SELECT
    coalesce((SELECT array_agg(f.queue_name) FROM found AS f WHERE NOT f.edge), '{}')::text[] AS queue_names,
    coalesce((
        SELECT (extract(epoch FROM s.run_at - clock_timestamp()) * 1000)::bigint
        FROM outbox.scheduled AS s
        WHERE s.run_at >= @scheduled_from
        ORDER BY s.run_at, s.job_id
        LIMIT 1
    ), 9223372036854775807)::bigint AS next_in_ms;

-- name: ClaimReady :many
-- D1, and D3 of the pushes before it: one statement, one commit. It takes due jobs
-- of one queue by priority, then id, through ready_pkey, and locks ready before
-- jobs. Nothing is claimed unless the queue's epoch and Postgres' life are what the
-- relay believes. The spans say which parts of the index to read, the most urgent
-- first (see relay/skip.go). With a worker_id and a lease it is a worker that claims
-- for itself, while Redis is away: the ledger row is its own.
-- The ledger is made of what the UPDATE returns: a job that was cancelled a moment
-- ago loses its row in ready and appears nowhere. With skip_locked it passes by jobs
-- whose rows others have locked, instead of waiting for them: each job is locked, and
-- written to, once more for that.
-- arrow: queued -dispatch-> dispatched
WITH present AS (
    SELECT q.epoch
    FROM outbox.queues AS q
    WHERE q.name = @queue_name AND q.epoch = @epoch AND q.life = @life AND NOT q.paused
),
pushed AS (
    SELECT unnest(@pushed_ids::bigint[]) AS id, unnest(@pushed_seqs::bigint[]) AS seq
),
recorded AS (
    UPDATE outbox.dispatches AS d
    SET seq = p.seq
    FROM pushed AS p
    WHERE d.id BETWEEN p.id AND p.id AND d.seq IS NULL
),
span AS (
    SELECT unnest(@lo_priorities::smallint[]) AS lo_priority, unnest(@lo_ids::bigint[]) AS lo_id, unnest(@hi_priorities::smallint[]) AS hi_priority, unnest(@hi_ids::bigint[]) AS hi_id
),
due AS (
    SELECT live.place, live.priority, live.job_id, live.size
    FROM present
    CROSS JOIN span
    CROSS JOIN LATERAL (
        SELECT r.ctid::tid AS place, r.priority, r.job_id, r.size
        FROM outbox.ready AS r
        WHERE r.queue_name = @queue_name
          AND (r.priority, r.job_id) > (span.lo_priority, span.lo_id)
          AND r.priority <= span.hi_priority
          AND r.job_id <= span.hi_id
          AND (NOT @skip_locked::boolean OR EXISTS (SELECT FROM outbox.jobs AS j WHERE j.id = r.job_id FOR NO KEY UPDATE SKIP LOCKED))
        ORDER BY r.priority, r.job_id
        FOR UPDATE SKIP LOCKED
    ) AS live
    LIMIT @max_jobs
),
measured AS (
    SELECT due.place, sum(due.size) OVER (ORDER BY due.priority, due.job_id) AS bytes, row_number() OVER (ORDER BY due.priority, due.job_id) AS nth
    FROM due
),
fit AS (
    SELECT measured.place FROM measured WHERE measured.bytes <= @max_bytes::bigint OR measured.nth = 1
),
gone AS (
    DELETE FROM outbox.ready
    WHERE ctid = ANY (ARRAY(SELECT fit.place FROM fit))
    RETURNING job_id
),
moved AS (
    UPDATE outbox.jobs AS j
    SET status = 'dispatched', attempt_count = j.attempt_count + 1, dispatch_id = @dispatch_id::bigint, dispatched_at = now(),
        started_at = NULL, worker_id = nullif(sqlc.arg(worker_id)::text, '') -- not of the attempt before: a loss would be put down to them
    FROM gone
    WHERE j.id BETWEEN gone.job_id AND gone.job_id AND j.status = 'queued'
    RETURNING j.id, j.attempt_count, j.kind, j.priority, j.max_attempts, j.failure_count, j.lost_count, j.created_at, j.run_at, j.dispatched_at, j.headers, j.payload
),
ledger AS (
    INSERT INTO outbox.dispatches (id, queue_name, job_ids, epoch, relay_id, worker_id, lease_until)
    SELECT @dispatch_id::bigint, @queue_name, array_agg(moved.id), @epoch, @relay_id, nullif(sqlc.arg(worker_id)::text, ''),
        CASE WHEN sqlc.arg(worker_id)::text <> '' THEN now() + sqlc.arg(lease_ms)::bigint * interval '1 millisecond' END
    FROM moved
    HAVING count(*) > 0
)
SELECT moved.id, moved.attempt_count, moved.kind, moved.priority, moved.max_attempts, moved.failure_count, moved.lost_count,
    moved.created_at, moved.run_at, moved.dispatched_at, moved.headers, moved.payload
FROM moved;

-- name: RecordPushes :exec
-- D3 on its own: which batches Redis has accepted, and as which. A seq that is
-- there stays: a relay that was frozen since its push must not overwrite it.
UPDATE outbox.dispatches AS d
SET seq = p.seq
FROM (SELECT unnest(@pushed_ids::bigint[]) AS id, unnest(@pushed_seqs::bigint[]) AS seq) AS p
WHERE d.id BETWEEN p.id AND p.id AND d.seq IS NULL;

-- name: HeadOfQueue :one
-- The job a claim of one would take that passes by what others have locked; through ready_pkey.
SELECT r.priority, r.job_id
FROM outbox.ready AS r
WHERE r.queue_name = @queue_name
  AND r.priority <= @hi_priority
  AND EXISTS (SELECT FROM outbox.jobs AS j WHERE j.id = r.job_id FOR NO KEY UPDATE SKIP LOCKED)
ORDER BY r.priority, r.job_id
LIMIT 1
FOR UPDATE SKIP LOCKED;

-- name: RefuseJob :execrows
-- A job that cannot be claimed or encoded must not hold up the others. dispatch_id
-- 0 refuses a job that is still queued; with any other the narrow rows are left
-- alone: they would be a later attempt's. Locks ready, scheduled, then jobs: the
-- UPDATE asks for the DELETEs' counts, or it would run before them.
-- arrow: queued dispatched -refuse-> dead
WITH seen AS (
    SELECT j.id, j.queue_name, j.priority, j.run_at
    FROM outbox.jobs AS j
    WHERE j.id = @id AND j.status = 'queued' AND @dispatch_id::bigint = 0
),
place AS (
    SELECT seen.id, seen.queue_name, seen.priority FROM seen
    UNION ALL
    SELECT seen.id, seen.queue_name, -1 FROM seen
),
unready AS (
    DELETE FROM outbox.ready AS r
    USING place
    WHERE r.queue_name = place.queue_name AND r.priority = place.priority AND r.job_id = place.id
    RETURNING r.job_id
),
unscheduled AS (
    DELETE FROM outbox.scheduled AS s
    USING seen
    WHERE s.run_at = seen.run_at AND s.job_id = seen.id
    RETURNING s.job_id
),
refused AS (
    UPDATE outbox.jobs AS j
    SET status = 'dead', finished_at = now(), last_error = @reason::text
    FROM (SELECT count(*) AS rows FROM unready) AS first
    CROSS JOIN (SELECT count(*) AS rows FROM unscheduled) AS second
    WHERE j.id = @id
      AND (j.status = 'queued' AND @dispatch_id::bigint = 0 OR j.status = 'dispatched' AND j.dispatch_id = @dispatch_id)
    RETURNING j.id, j.queue_name, j.kind, j.attempt_count
),
tried AS (
    INSERT INTO outbox.attempts (job_id, attempt_count, outcome, error)
    SELECT refused.id, refused.attempt_count, 'refuse', jsonb_build_object('message', @reason::text)
    FROM refused
    ON CONFLICT DO NOTHING
),
noted AS (
    INSERT INTO outbox.events (job_ids, statuses, attempt_counts)
    SELECT array_agg(refused.id), array_agg('dead'::text), array_agg(refused.attempt_count)
    FROM refused
    WHERE (SELECT g.open_until > now() FROM outbox.event_gate AS g WHERE g.one)
    HAVING count(*) > 0
)
INSERT INTO outbox.dead_letters (job_id, queue_name, kind, reason)
SELECT refused.id, refused.queue_name, refused.kind, 'refused'
FROM refused
ON CONFLICT DO NOTHING;

-- name: InsertExpress :many
-- The express lane: a job inserted as already dispatched, with its ledger row, in
-- one statement. Its caller pushes it at once, and a relay does if the caller dies.
-- No row comes back when the queue is unknown, paused or in another epoch.
WITH present AS (
    SELECT q.epoch
    FROM outbox.queues AS q
    WHERE q.name = @queue_name AND q.epoch = @epoch AND q.life = @life AND NOT q.paused
),
fresh AS (
    INSERT INTO outbox.jobs AS j (queue_name, kind, payload, priority, max_attempts, headers, status, dispatch_id, attempt_count, dispatched_at)
    SELECT @queue_name, @kind, cast(@payload::text AS jsonb), @priority, @max_attempts, cast(nullif(@headers::text, '') AS jsonb), 'dispatched', @dispatch_id::bigint, 1, now()
    FROM present
    RETURNING j.id, j.attempt_count, j.kind, j.priority, j.max_attempts, j.failure_count, j.lost_count, j.created_at, j.run_at, j.dispatched_at, j.headers, j.payload
),
ledger AS (
    INSERT INTO outbox.dispatches (id, queue_name, job_ids, epoch, relay_id)
    SELECT @dispatch_id::bigint, @queue_name, ARRAY[fresh.id], @epoch, @relay_id
    FROM fresh
)
SELECT fresh.id, fresh.attempt_count, fresh.kind, fresh.priority, fresh.max_attempts, fresh.failure_count, fresh.lost_count,
    fresh.created_at, fresh.run_at, fresh.dispatched_at, fresh.headers, fresh.payload
FROM fresh;
