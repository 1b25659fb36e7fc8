-- What people do to many jobs at once. On the pool whose plans are free.

-- name: CancelMany :many
SELECT outbox.cancel_many(@ids::bigint[])::bigint AS id;

-- name: PurgeMany :many
SELECT outbox.purge_many(@ids::bigint[])::bigint AS id;

-- name: PurgeLeft :one
-- Whether a job of a queue waits, due or handed out, that a purge has not come by: one
-- look at both lists in one snapshot, so that none slips from one to the other. Probes
-- ready_pkey once for each priority that is there, and reads the queue's ledger.
WITH RECURSIVE priorities AS (
    (SELECT r.priority FROM outbox.ready AS r WHERE r.queue_name = @queue_name::text ORDER BY r.priority LIMIT 1)
    UNION ALL
    SELECT (SELECT r.priority FROM outbox.ready AS r WHERE r.queue_name = @queue_name AND r.priority > p.priority ORDER BY r.priority LIMIT 1)
    FROM priorities AS p
    WHERE p.priority IS NOT NULL
)
SELECT (EXISTS (
    SELECT
    FROM priorities AS p
    JOIN outbox.ready AS r ON r.queue_name = @queue_name AND r.priority = p.priority AND r.job_id <= @up_to_id::bigint
    JOIN outbox.jobs AS j ON j.id = r.job_id AND j.status = 'queued'
) OR EXISTS (
    SELECT
    FROM outbox.dispatches AS d
    CROSS JOIN LATERAL unnest(d.job_ids) AS entrusted (job_id)
    JOIN outbox.jobs AS j ON j.id = entrusted.job_id
    WHERE d.queue_name = @queue_name AND entrusted.job_id <= @up_to_id AND j.status = 'dispatched'
))::boolean AS waits;

-- name: RedriveMany :many
SELECT outbox.redrive_many(@ids::bigint[])::bigint AS id;

-- name: DeleteMany :many
SELECT outbox.delete_many(@ids::bigint[])::bigint AS id;

-- name: StatusesOf :many
SELECT j.id, j.status FROM outbox.jobs AS j WHERE j.id = ANY (@ids::bigint[]);

-- name: QueuesOfJobs :many
SELECT j.id, j.queue_name FROM outbox.jobs AS j WHERE j.id = ANY (@ids::bigint[]) ORDER BY j.id;

-- name: StartOperation :one
-- Begins an operation over the jobs that are there now. None begins while there are as
-- many as may be at a time: two that begin at once may be one too many.
INSERT INTO outbox.operations AS o (action, filter, principal, up_to_id, holder, lease_until)
SELECT sqlc.arg(action)::text, sqlc.arg(filter)::jsonb, sqlc.arg(principal)::text,
    coalesce((SELECT max(j.id) FROM outbox.jobs AS j), 0),
    sqlc.arg(holder)::text, now() + sqlc.arg(lease_ms)::bigint * interval '1 millisecond'
WHERE sqlc.arg(max_running)::bigint > (SELECT count(*) FROM outbox.operations AS other WHERE other.status = 'running')
RETURNING o.id, o.action, o.filter, o.status, o.principal, o.started_at, o.finished_at, o.error, o.matched, o.done, o.failed, o.total, o.up_to_id, o.walk, o.place;

-- name: SetOperationTotal :exec
-- How many jobs there are, once they have been counted.
UPDATE outbox.operations AS o SET total = @total::bigint WHERE o.id = @id;

-- name: GetOperation :one
SELECT o.id, o.action, o.filter, o.status, o.principal, o.started_at, o.finished_at, o.error, o.matched, o.done, o.failed, o.total, o.up_to_id, o.walk, o.place
FROM outbox.operations AS o WHERE o.id = @id;

-- name: ListOperations :many
-- The newest first.
SELECT o.id, o.action, o.filter, o.status, o.principal, o.started_at, o.finished_at, o.error, o.matched, o.done, o.failed, o.total, o.up_to_id, o.walk, o.place
FROM outbox.operations AS o WHERE o.id < @before_id::bigint ORDER BY o.id DESC LIMIT @max_operations;

-- name: TakeOperation :many
-- Takes up the oldest operation that nobody works at, if there is one.
UPDATE outbox.operations AS o
SET holder = @holder, lease_until = now() + sqlc.arg(lease_ms)::bigint * interval '1 millisecond'
WHERE o.id = (
    SELECT free.id
    FROM outbox.operations AS free
    WHERE free.status = 'running' AND (free.lease_until < now() OR free.holder = @holder)
    ORDER BY free.id
    LIMIT 1
    FOR UPDATE SKIP LOCKED
) AND o.status = 'running'
RETURNING o.id;

-- name: HoldOperation :many
-- Locks an operation for a batch; none: it is over, or another works at it.
SELECT o.id, o.action, o.filter, o.status, o.principal, o.started_at, o.finished_at, o.error, o.matched, o.done, o.failed, o.total, o.up_to_id, o.walk, o.place
FROM outbox.operations AS o
WHERE o.id = @id AND o.status = 'running' AND o.holder = @holder
FOR UPDATE;

-- name: AdvanceOperation :one
-- Writes what a batch has done and where it came to, in its transaction.
UPDATE outbox.operations AS o
SET matched = o.matched + sqlc.arg(matched)::bigint, done = o.done + sqlc.arg(done)::bigint, failed = o.failed + sqlc.arg(failed)::bigint, walk = sqlc.arg(walk)::smallint, place = sqlc.narg(place),
    lease_until = now() + sqlc.arg(lease_ms)::bigint * interval '1 millisecond',
    status = CASE WHEN sqlc.arg(ended)::boolean THEN 'completed' ELSE o.status END,
    finished_at = CASE WHEN sqlc.arg(ended)::boolean THEN now() END
WHERE o.id = @id AND o.status = 'running'
RETURNING o.id, o.action, o.filter, o.status, o.principal, o.started_at, o.finished_at, o.error, o.matched, o.done, o.failed, o.total, o.up_to_id, o.walk, o.place;

-- name: PruneOperations :execrows
-- Deletes operations that have been over for so long. They begin in the order of ids, so
-- the first thousand that are there tell: of those few run long enough to stay.
DELETE FROM outbox.operations AS o
WHERE o.id = ANY (ARRAY(
    SELECT old.id
    FROM (SELECT x.id, x.status, x.finished_at FROM outbox.operations AS x ORDER BY x.id LIMIT 1000) AS old
    WHERE old.status <> 'running' AND old.finished_at < now() - sqlc.arg(keep_ms)::bigint * interval '1 millisecond'
)) AND o.status <> 'running';

-- name: EndOperation :many
-- Ends an operation before its time; a batch under way is waited for. With a holder only
-- if that works at it.
UPDATE outbox.operations AS o
SET status = @status, error = @error, finished_at = now()
WHERE o.id = @id AND o.status = 'running' AND (@holder::text = '' OR o.holder = @holder)
RETURNING o.id, o.action, o.filter, o.status, o.principal, o.started_at, o.finished_at, o.error, o.matched, o.done, o.failed, o.total, o.up_to_id, o.walk, o.place;
