-- Requests inserted under a key: those that were spooled while Postgres was away,
-- and those that bring an Idempotency-Key. These run on the unpinned pool.

-- name: InsertSpooled :many
-- Inserts the jobs of some requests, all requests or none, and returns each one's
-- ids. A request whose key is known is not inserted again. Keys are locked in the
-- given order; drainers give them by age, so that two of them wait and do not
-- deadlock.
SELECT cast(outbox.insert_spooled(cast(r.key AS uuid), r.digest, cast(r.jobs AS jsonb)) AS bigint[]) AS job_ids
FROM (SELECT unnest(@keys::text[]) AS key, unnest(@digests::bytea[]) AS digest, unnest(@jobs::text[]) AS jobs) AS r;

-- name: SpooledJobs :one
SELECT s.job_ids FROM outbox.spooled AS s WHERE s.key = cast(@key::text AS uuid);

-- name: RetireSpooled :execrows
-- Forgets keys that are 8 days old, the oldest thousand. That is safe because a
-- drainer leaves alone what has been in the spool for 7 days: an entry that could
-- still be inserted is at least a day younger than the row that says it was.
DELETE FROM outbox.spooled AS s
WHERE s.key IN (
    SELECT old.key
    FROM outbox.spooled AS old
    WHERE old.created_at < now() - interval '8 days'
    ORDER BY old.created_at
    LIMIT 1000
);

-- name: InsertOnce :one
-- Inserts the jobs of one request unless its key is known, and returns their ids either
-- way; fresh says that this statement has inserted them. The inner SELECT is finished
-- before the outer one asks: it has a volatile function, so it is not merged into it.
SELECT done.job_ids, outbox.is_fresh(done.key)::boolean AS fresh
FROM (
    SELECT r.key, cast(outbox.insert_spooled(r.key, @digest::bytea, cast(@jobs::text AS jsonb)) AS bigint[]) AS job_ids
    FROM (SELECT cast(@key::text AS uuid) AS key) AS r
) AS done;
