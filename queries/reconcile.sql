-- Step 6: what became of an attempt. What is noted is for those who listen to events;
-- while nobody does, the gate is shut, and asking it is all that is done.

-- name: Reconcile :many
-- Records the outcomes of one worker, at most one per attempt: UPDATE ... FROM would
-- apply an arbitrary one of two. What comes back is the verdict; an attempt that
-- does not is over. The row's own counts decide between retry and dead. Finds its
-- rows by jobs_pkey, in id order when the arrays are.
-- arrow: dispatched running -complete-> completed
-- arrow: dispatched running -fail-> queued
-- arrow: dispatched running -exhaust-> dead
-- arrow: dispatched running -discard-> dead
-- arrow: dispatched running -snooze-> queued
-- arrow: dispatched running -cancel-> cancelled
WITH outcome AS (
    SELECT unnest(@job_ids::bigint[]) AS job_id, unnest(@dispatch_ids::bigint[]) AS dispatch_id, unnest(@outcomes::text[]) AS outcome,
        unnest(@delays_ms::bigint[]) AS delay_ms, unnest(@ran_us::bigint[]) AS ran_us, unnest(@errors::text[]) AS error, unnest(@stacks::text[]) AS stack
),
accepted AS (
    UPDATE outbox.jobs AS j
    SET status = CASE
            WHEN o.outcome = 'complete' THEN 'completed'
            WHEN o.outcome = 'cancel' THEN 'cancelled'
            WHEN o.outcome = 'discard' THEN 'dead'
            WHEN o.outcome = 'fail' AND j.failure_count + 1 >= j.max_attempts THEN 'dead'
            ELSE 'queued'
        END,
        failure_count = j.failure_count + CASE WHEN o.outcome IN ('fail', 'discard') THEN 1 ELSE 0 END,
        run_at = CASE WHEN o.outcome IN ('fail', 'snooze') THEN now() + o.delay_ms * interval '1 millisecond' ELSE j.run_at END,
        started_at = now() - o.ran_us * interval '1 microsecond',
        finished_at = CASE
            WHEN o.outcome IN ('complete', 'cancel', 'discard') OR o.outcome = 'fail' AND j.failure_count + 1 >= j.max_attempts THEN now()
        END,
        worker_id = @worker_id::text,
        last_error = CASE WHEN o.error = '' THEN j.last_error ELSE o.error END
    FROM outcome AS o
    WHERE j.id BETWEEN o.job_id AND o.job_id AND j.dispatch_id = o.dispatch_id AND j.status IN ('dispatched', 'running')
    RETURNING j.id, j.dispatch_id, j.status, j.queue_name, j.kind, j.priority, j.run_at, j.started_at, j.attempt_count, o.outcome, o.error, o.stack,
        CASE WHEN j.status = 'queued' THEN outbox.size_of(j.payload, j.headers) END AS size,
        CASE WHEN j.moved_to = j.dispatch_id THEN j.moved_from ELSE j.dispatch_id END AS handed_out_as
),
tried AS (
    INSERT INTO outbox.attempts (job_id, attempt_count, worker_id, started_at, outcome, error, dispatch_id)
    SELECT a.id, a.attempt_count, @worker_id::text, a.started_at, a.outcome,
        CASE
            WHEN a.stack <> '' THEN jsonb_build_object('message', a.error, 'stack', a.stack)
            WHEN a.error <> '' THEN jsonb_build_object('message', a.error)
        END,
        a.handed_out_as
    FROM accepted AS a
    WHERE a.outcome IN ('fail', 'discard', 'cancel')
    ON CONFLICT DO NOTHING
),
buried AS (
    INSERT INTO outbox.dead_letters (job_id, queue_name, kind, reason)
    SELECT a.id, a.queue_name, a.kind, CASE WHEN a.outcome = 'discard' THEN 'discarded' ELSE 'exhausted' END
    FROM accepted AS a
    WHERE a.status = 'dead'
    ON CONFLICT DO NOTHING
),
due AS (
    INSERT INTO outbox.ready (queue_name, priority, job_id, size)
    SELECT a.queue_name, a.priority, a.id, a.size
    FROM accepted AS a
    WHERE a.status = 'queued' AND a.run_at <= now()
    ON CONFLICT DO NOTHING
),
later AS (
    INSERT INTO outbox.scheduled (run_at, job_id, queue_name, priority, size)
    SELECT a.run_at, a.id, a.queue_name, a.priority, a.size
    FROM accepted AS a
    WHERE a.status = 'queued' AND a.run_at > now()
    ON CONFLICT DO NOTHING
),
noted AS (
    INSERT INTO outbox.events (job_ids, statuses, attempt_counts)
    SELECT array_agg(a.id), array_agg(a.status::text), array_agg(a.attempt_count)
    FROM accepted AS a
    WHERE (SELECT g.open_until > now() FROM outbox.event_gate AS g WHERE g.one)
    HAVING count(*) > 0
),
woken AS (
    SELECT outbox.wake() AS sent
    WHERE EXISTS (SELECT FROM accepted AS a WHERE a.status = 'queued' AND a.run_at <= now() + interval '2 seconds')
)
SELECT a.id, a.dispatch_id, a.status, coalesce((SELECT woken.sent FROM woken), false)::boolean AS woken
FROM accepted AS a;

-- name: CompleteJobs :one
-- Records successes: what Reconcile does with them, at half its cost. At most one per
-- job; what comes back are the jobs whose attempt was current. Finds its rows by
-- jobs_pkey, in id order when the arrays are.
-- arrow: dispatched running -complete-> completed
WITH outcome AS (
    SELECT unnest(@job_ids::bigint[]) AS job_id, unnest(@dispatch_ids::bigint[]) AS dispatch_id, unnest(@ran_us::bigint[]) AS ran_us
),
accepted AS (
    UPDATE outbox.jobs AS j
    SET status = 'completed', started_at = now() - o.ran_us * interval '1 microsecond', finished_at = now(), worker_id = @worker_id::text
    FROM outcome AS o
    WHERE j.id BETWEEN o.job_id AND o.job_id AND j.dispatch_id = o.dispatch_id AND j.status IN ('dispatched', 'running')
    RETURNING j.id
),
noted AS (
    INSERT INTO outbox.events (job_ids)
    SELECT array_agg(a.id)
    FROM accepted AS a
    WHERE (SELECT g.open_until > now() FROM outbox.event_gate AS g WHERE g.one)
    HAVING count(*) > 0
)
SELECT coalesce(array_agg(a.id), '{}')::bigint[] AS job_ids
FROM accepted AS a;

-- name: MarkRunning :many
-- The lazy mark that a handler is still running after 250 ms.
-- arrow: dispatched -start-> running
WITH started AS (
    UPDATE outbox.jobs AS j
    SET status = 'running', started_at = now() - o.ran_us * interval '1 microsecond', worker_id = @worker_id::text
    FROM (SELECT unnest(@job_ids::bigint[]) AS job_id, unnest(@dispatch_ids::bigint[]) AS dispatch_id, unnest(@ran_us::bigint[]) AS ran_us) AS o
    WHERE j.id BETWEEN o.job_id AND o.job_id AND j.dispatch_id = o.dispatch_id AND j.status = 'dispatched'
    RETURNING j.id, j.dispatch_id, j.attempt_count
),
noted AS (
    INSERT INTO outbox.events (job_ids, statuses, attempt_counts)
    SELECT array_agg(s.id), array_agg('running'::text), array_agg(s.attempt_count)
    FROM started AS s
    WHERE (SELECT g.open_until > now() FROM outbox.event_gate AS g WHERE g.one)
    HAVING count(*) > 0
)
SELECT s.id, s.dispatch_id
FROM started AS s;

-- name: VerifyAttempts :many
-- Which of these attempts are current.
SELECT j.id, j.dispatch_id
FROM (SELECT unnest(@job_ids::bigint[]) AS job_id, unnest(@dispatch_ids::bigint[]) AS dispatch_id) AS held
JOIN outbox.jobs AS j ON j.id BETWEEN held.job_id AND held.job_id
WHERE j.dispatch_id = held.dispatch_id AND j.status IN ('dispatched', 'running');

-- name: FreeJobs :many
-- Which of these jobs nobody else has locked: asked after a lock_timeout, so that one
-- row in somebody's hands does not hold up the outcomes of all others in its batch.
SELECT j.id
FROM outbox.jobs AS j
WHERE j.id = ANY (@job_ids::bigint[])
ORDER BY j.id
FOR NO KEY UPDATE SKIP LOCKED;
