-- Step 3 after a crash, and step 7: the ledger.

-- name: TakeOverUnpushed :many
-- Batches of the present epoch that nobody has recorded as pushed for two seconds,
-- and that no worker holds: this relay takes them over, so that not all rebuild
-- them together. Only of queues it can push to: rows of one that it cannot reach
-- would fill the limit at every turn. Rows of ended epochs are never pushed again, nor
-- those of another Postgres' epoch: this one may have lost the record of a push that
-- Redis has long forgotten. Walks dispatches_by_age.
UPDATE outbox.dispatches AS d
SET relay_id = @relay_id, taken_at = now()
WHERE d.id = ANY (ARRAY(
    SELECT old.id
    FROM outbox.dispatches AS old
    WHERE old.epoch = (SELECT q.epoch FROM outbox.queues AS q WHERE q.name = old.queue_name AND q.life = @life)
      AND old.queue_name = ANY (@queue_names::text[])
      AND old.created_at < now() - interval '2 seconds'
      AND old.taken_at < now() - interval '2 seconds'
      AND old.seq IS NULL
      AND old.lease_until IS NULL
    ORDER BY old.created_at, old.id
    LIMIT 20
    FOR UPDATE OF old SKIP LOCKED
))
RETURNING d.id, d.queue_name, d.epoch, d.job_ids;

-- name: RebuildBatch :many
-- The jobs of a batch that still wait under its very dispatch. By id alone a later
-- attempt of a cancelled and redriven job would be pushed a second time.
SELECT j.id, j.attempt_count, j.kind, j.priority, j.max_attempts, j.failure_count, j.lost_count,
    j.created_at, j.run_at, j.dispatched_at, j.headers, j.payload
FROM outbox.jobs AS j
WHERE j.id = ANY (@job_ids::bigint[]) AND j.dispatch_id = @dispatch_id AND j.status = 'dispatched';

-- name: UnrecordedByOthers :many
-- Jobs that other relays have claimed and perhaps not pushed yet: they count
-- against the window.
SELECT d.queue_name, sum(cardinality(d.job_ids))::bigint AS jobs
FROM outbox.dispatches AS d
WHERE d.seq IS NULL AND d.lease_until IS NULL AND d.relay_id <> @relay_id
  AND d.epoch = (SELECT q.epoch FROM outbox.queues AS q WHERE q.name = d.queue_name)
GROUP BY d.queue_name;

-- name: SweepDispatches :one
-- Deletes, of the next fifty ledger rows above the cursor, those of which no job is
-- current, and shortens those of which under a tenth is left after a minute. A
-- dispatch id is never given twice, so "no job is current" cannot become false
-- again: this needs no lock on jobs, and may be late.
WITH page AS (
    SELECT d.id, d.created_at, d.job_ids
    FROM outbox.dispatches AS d
    WHERE (d.created_at, d.id) > (@after_created_at::timestamptz, @after_id::bigint)
    ORDER BY d.created_at, d.id
    LIMIT 50
    FOR UPDATE SKIP LOCKED
),
alive AS (
    -- Not a join: prepared on empty tables that reads all of jobs.
    SELECT page.id, page.created_at, cardinality(page.job_ids) AS listed, ARRAY(
        SELECT j.id
        FROM outbox.jobs AS j
        WHERE j.id = ANY (page.job_ids) AND j.dispatch_id = page.id AND j.status IN ('dispatched', 'running')
    ) AS job_ids
    FROM page
),
swept AS (
    DELETE FROM outbox.dispatches AS d
    WHERE d.id = ANY (ARRAY(SELECT alive.id FROM alive WHERE cardinality(alive.job_ids) = 0))
    RETURNING d.id
),
shortened AS (
    UPDATE outbox.dispatches AS d
    SET job_ids = (SELECT alive.job_ids FROM alive WHERE alive.id = d.id)
    WHERE d.id = ANY (ARRAY(
        SELECT alive.id
        FROM alive
        WHERE alive.created_at < now() - interval '1 minute'
          AND cardinality(alive.job_ids) > 0
          AND cardinality(alive.job_ids) * 10 < alive.listed
    ))
    RETURNING d.id
)
SELECT
    (SELECT count(*) FROM page)::bigint AS seen,
    (SELECT count(*) FROM swept)::bigint AS swept,
    (SELECT count(*) FROM shortened)::bigint AS shortened,
    coalesce((SELECT page.created_at FROM page ORDER BY page.created_at DESC, page.id DESC LIMIT 1), @after_created_at)::timestamptz AS last_created_at,
    coalesce((SELECT page.id FROM page ORDER BY page.created_at DESC, page.id DESC LIMIT 1), @after_id)::bigint AS last_id;
