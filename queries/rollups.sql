-- Rollups: outbox.stats by five minutes and by the hour.

-- name: ListRollUps :many
-- Of which lengths rollups are due: a probe of rollups_due_pkey for each, and mostly none.
SELECT covers.minutes::smallint AS minutes
FROM (VALUES (5), (60)) AS covers (minutes)
WHERE EXISTS (SELECT FROM outbox.rollups_due AS d WHERE d.minutes = covers.minutes AND d.at < now() - (covers.minutes + 2) * interval '1 minute');

-- name: TryRollUp :one
-- Takes the right to make rollups, advisory lock (1380928331, 5), to the transaction's end. The
-- next statement has a snapshot of its own: it sees what the last who had it did.
SELECT pg_try_advisory_xact_lock(1380928331, 5) AS got;

-- name: RollUp :one
-- Adds up those of the rollups of so many minutes that are due and have been over for two
-- minutes, when all processes have written theirs; the newest first, a few. Returns how many there
-- were. What is written meanwhile leaves a row that this snapshot does not see, so it is due again.
-- Reads rollups_due_pkey from its end, and a range of stats_pkey for each.
WITH due AS MATERIALIZED (
    SELECT DISTINCT d.at
    FROM outbox.rollups_due AS d
    WHERE d.minutes = sqlc.arg(minutes)::smallint AND d.at < now() - (sqlc.arg(minutes)::smallint + 2) * interval '1 minute'
    ORDER BY d.at DESC
    LIMIT @most
),
cleared AS (
    DELETE FROM outbox.rollups_due AS d
    USING due
    WHERE d.minutes = sqlc.arg(minutes)::smallint AND d.at = due.at
),
summed AS (
    INSERT INTO outbox.rollups AS r (minutes, at, queue_name, dispatched, completed, failed, dead, cancelled, snoozed, lost, run_us, wait_us, run_buckets, wait_buckets)
    SELECT sqlc.arg(minutes)::smallint, due.at, s.queue_name,
        sum(s.dispatched), sum(s.completed), sum(s.failed), sum(s.dead), sum(s.cancelled), sum(s.snoozed), sum(s.lost), sum(s.run_us), sum(s.wait_us),
        ARRAY[sum(s.run_buckets[1]), sum(s.run_buckets[2]), sum(s.run_buckets[3]), sum(s.run_buckets[4]), sum(s.run_buckets[5]), sum(s.run_buckets[6]),
        sum(s.run_buckets[7]), sum(s.run_buckets[8]), sum(s.run_buckets[9]), sum(s.run_buckets[10]), sum(s.run_buckets[11]), sum(s.run_buckets[12]),
        sum(s.run_buckets[13]), sum(s.run_buckets[14]), sum(s.run_buckets[15]), sum(s.run_buckets[16]), sum(s.run_buckets[17]), sum(s.run_buckets[18])],
        ARRAY[sum(s.wait_buckets[1]), sum(s.wait_buckets[2]), sum(s.wait_buckets[3]), sum(s.wait_buckets[4]), sum(s.wait_buckets[5]), sum(s.wait_buckets[6]),
        sum(s.wait_buckets[7]), sum(s.wait_buckets[8]), sum(s.wait_buckets[9]), sum(s.wait_buckets[10]), sum(s.wait_buckets[11]), sum(s.wait_buckets[12]),
        sum(s.wait_buckets[13]), sum(s.wait_buckets[14]), sum(s.wait_buckets[15]), sum(s.wait_buckets[16]), sum(s.wait_buckets[17]), sum(s.wait_buckets[18])]
    FROM due
    JOIN outbox.stats AS s ON s.minute >= due.at AND s.minute < due.at + sqlc.arg(minutes)::smallint * interval '1 minute'
    GROUP BY due.at, s.queue_name
    ON CONFLICT (minutes, at, queue_name) DO UPDATE
    SET dispatched = excluded.dispatched, completed = excluded.completed, failed = excluded.failed, dead = excluded.dead, cancelled = excluded.cancelled,
        snoozed = excluded.snoozed, lost = excluded.lost, run_us = excluded.run_us, wait_us = excluded.wait_us,
        run_buckets = excluded.run_buckets, wait_buckets = excluded.wait_buckets
)
SELECT count(*) FROM due;

-- name: PruneRollups :execrows
-- Deletes rollups that begin before the minutes that are kept, a slice at a time. Reads
-- rollups_pkey from the beginning of each kind.
DELETE FROM outbox.rollups AS r
WHERE r.ctid = ANY (ARRAY(
    (SELECT o.ctid FROM outbox.rollups AS o WHERE o.minutes = 5 AND o.at < now() - interval '8 days' ORDER BY o.at LIMIT 10000)
    UNION ALL
    (SELECT o.ctid FROM outbox.rollups AS o WHERE o.minutes = 60 AND o.at < now() - interval '8 days' ORDER BY o.at LIMIT 10000)
));

-- name: PruneRollupsDue :execrows
-- As PruneStats: of minutes that are gone, or will be.
DELETE FROM outbox.rollups_due AS d
WHERE d.ctid = ANY (ARRAY(
    (SELECT o.ctid FROM outbox.rollups_due AS o WHERE o.minutes = 5 AND (o.at < now() - interval '8 days' OR o.at > now() + interval '1 hour') LIMIT 10000)
    UNION ALL
    (SELECT o.ctid FROM outbox.rollups_due AS o WHERE o.minutes = 60 AND (o.at < now() - interval '8 days' OR o.at > now() + interval '1 hour') LIMIT 10000)
));
