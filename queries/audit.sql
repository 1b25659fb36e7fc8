-- The audit, and the forgetting of batches: what the ledger says of Redis.

-- name: ListEntrusted :many
-- Attempts that Redis must have: of batches of the present epoch which it accepted
-- up to a seq, and that nobody has taken over lately. The next ledger rows above the
-- cursor, until about a thousand jobs are listed. Walks dispatches_by_age; without
-- a lock.
WITH page AS (
    SELECT d.id, d.created_at, d.job_ids
    FROM outbox.dispatches AS d
    WHERE (d.created_at, d.id) > (@after_created_at::timestamptz, @after_id::bigint)
      AND d.created_at < now() - sqlc.arg(age_ms)::bigint * interval '1 millisecond'
      AND d.taken_at < now() - sqlc.arg(age_ms)::bigint * interval '1 millisecond'
      AND d.queue_name = @queue_name AND d.epoch = @epoch AND d.seq <= sqlc.arg(known_seq)::bigint AND d.lease_until IS NULL
      AND d.epoch = (SELECT q.epoch FROM outbox.queues AS q WHERE q.name = @queue_name)
    ORDER BY d.created_at, d.id
    LIMIT 200
),
measured AS (
    SELECT page.id, page.created_at, page.job_ids,
        sum(cardinality(page.job_ids)) OVER (ORDER BY page.created_at, page.id) - cardinality(page.job_ids) AS before
    FROM page
),
member AS (
    SELECT measured.id, measured.created_at, unnest(measured.job_ids) AS job_id FROM measured WHERE measured.before < 1000
)
SELECT member.id AS dispatch_id, member.created_at, coalesce(j.id, 0)::bigint AS job_id
FROM member
LEFT JOIN outbox.jobs AS j ON j.id = member.job_id AND j.dispatch_id = member.id AND j.status IN ('dispatched', 'running')
ORDER BY member.created_at, member.id;

-- name: ListUnrecorded :many
-- Those of these batches whose seq is not recorded: somebody may push them again, so
-- Redis must not forget them.
SELECT d.id
FROM outbox.dispatches AS d
WHERE d.id = ANY (@dispatch_ids::bigint[]) AND d.seq IS NULL;
