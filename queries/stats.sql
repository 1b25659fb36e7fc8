-- Figures for charts: what was done, and what waited, by minute.

-- name: PutStats :exec
-- Writes one writer's minutes. A row that is there is replaced, not added to, so
-- sending it again changes nothing. Nobody else writes these rows. Their rollups are due,
-- which it says itself, and tells the triggers (00019) that it does.
WITH given AS (
    SELECT unnest(@minutes::timestamptz[]) AS minute, unnest(@queue_names::text[]) AS queue_name,
        unnest(@dispatched::bigint[]) AS dispatched, unnest(@completed::bigint[]) AS completed, unnest(@failed::bigint[]) AS failed,
        unnest(@dead::bigint[]) AS dead, unnest(@cancelled::bigint[]) AS cancelled, unnest(@snoozed::bigint[]) AS snoozed,
        unnest(@lost::bigint[]) AS lost, unnest(@run_us::bigint[]) AS run_us, unnest(@wait_us::bigint[]) AS wait_us,
        unnest(@run_buckets::text[]) AS run_buckets, unnest(@wait_buckets::text[]) AS wait_buckets
),
due AS (
    INSERT INTO outbox.rollups_due (minutes, at)
    SELECT DISTINCT covers.minutes, date_bin(covers.minutes * interval '1 minute', g.minute, 'epoch')
    FROM given AS g
    CROSS JOIN (VALUES (5), (60)) AS covers (minutes)
)
INSERT INTO outbox.stats AS s (minute, queue_name, writer, dispatched, completed, failed, dead, cancelled, snoozed, lost, run_us, wait_us, run_buckets, wait_buckets)
SELECT r.minute, r.queue_name, @writer::bigint, r.dispatched, r.completed, r.failed, r.dead, r.cancelled, r.snoozed, r.lost, r.run_us, r.wait_us,
    r.run_buckets::integer[], r.wait_buckets::integer[]
FROM given AS r
WHERE set_config('rookery.rollups_due', 'said', true) = 'said'
ON CONFLICT (minute, queue_name, writer) DO UPDATE
SET dispatched = excluded.dispatched, completed = excluded.completed, failed = excluded.failed, dead = excluded.dead,
    cancelled = excluded.cancelled, snoozed = excluded.snoozed, lost = excluded.lost,
    run_us = excluded.run_us, wait_us = excluded.wait_us, run_buckets = excluded.run_buckets, wait_buckets = excluded.wait_buckets;

-- name: SumStats :many
-- What all processes did, in steps that are counted from the first moment. An hour
-- within one step is read from its rollup, and so are five minutes; the rest, and what has
-- been written since its rollup was made, from the minutes: ranges of stats_pkey. The
-- sums are those of the minutes. An array that ends early has NULL there, which sum
-- passes over. OFFSET 0 has the planner probe an index for each part: it takes the
-- parts for thousands, and would rather read whole tables.
WITH hours AS MATERIALIZED (
    SELECT h.at
    FROM generate_series(date_bin('1 hour', sqlc.arg(from_at)::timestamptz, 'epoch'), sqlc.arg(to_at)::timestamptz, interval '1 hour') AS h (at)
    WHERE h.at >= sqlc.arg(from_at)::timestamptz AND h.at + interval '1 hour' <= sqlc.arg(to_at)::timestamptz
      AND date_bin(sqlc.arg(step_ms)::bigint * interval '1 millisecond', h.at, sqlc.arg(from_at)::timestamptz)
        = date_bin(sqlc.arg(step_ms)::bigint * interval '1 millisecond', h.at + interval '59 minutes', sqlc.arg(from_at)::timestamptz)
      AND EXISTS (SELECT FROM outbox.rollups AS r WHERE r.minutes = 60 AND r.at = h.at OFFSET 0)
      AND NOT EXISTS (SELECT FROM outbox.rollups_due AS d WHERE d.minutes = 60 AND d.at = h.at OFFSET 0)
),
others AS MATERIALIZED (
    SELECT f.at,
        f.at >= sqlc.arg(from_at)::timestamptz AND f.at + interval '5 minutes' <= sqlc.arg(to_at)::timestamptz
        AND date_bin(sqlc.arg(step_ms)::bigint * interval '1 millisecond', f.at, sqlc.arg(from_at)::timestamptz)
          = date_bin(sqlc.arg(step_ms)::bigint * interval '1 millisecond', f.at + interval '4 minutes', sqlc.arg(from_at)::timestamptz)
        AND EXISTS (SELECT FROM outbox.rollups AS r WHERE r.minutes = 5 AND r.at = f.at OFFSET 0)
        AND NOT EXISTS (SELECT FROM outbox.rollups_due AS d WHERE d.minutes = 5 AND d.at = f.at OFFSET 0) AS rolled_up
    FROM generate_series(date_bin('5 minutes', sqlc.arg(from_at)::timestamptz, 'epoch'), sqlc.arg(to_at)::timestamptz, interval '5 minutes') AS f (at)
    WHERE date_bin('1 hour', f.at, 'epoch') NOT IN (SELECT h.at FROM hours AS h)
),
parts AS (
    SELECT hour.*
    FROM hours AS h
    CROSS JOIN LATERAL (
        SELECT r.at, r.dispatched, r.completed, r.failed, r.dead, r.cancelled, r.snoozed, r.lost, r.run_us, r.wait_us, r.run_buckets, r.wait_buckets
        FROM outbox.rollups AS r
        WHERE r.minutes = 60 AND r.at = h.at AND (@queue_name::text = '' OR r.queue_name = @queue_name)
        OFFSET 0
    ) AS hour
    UNION ALL
    SELECT five.*
    FROM others AS f
    CROSS JOIN LATERAL (
        SELECT r.at, r.dispatched, r.completed, r.failed, r.dead, r.cancelled, r.snoozed, r.lost, r.run_us, r.wait_us, r.run_buckets, r.wait_buckets
        FROM outbox.rollups AS r
        WHERE r.minutes = 5 AND r.at = f.at AND (@queue_name::text = '' OR r.queue_name = @queue_name)
        OFFSET 0
    ) AS five
    WHERE f.rolled_up
    UNION ALL
    SELECT minute.*
    FROM others AS f
    CROSS JOIN LATERAL (
        SELECT s.minute AS at, s.dispatched, s.completed, s.failed, s.dead, s.cancelled, s.snoozed, s.lost, s.run_us, s.wait_us, s.run_buckets::bigint[] AS run_buckets, s.wait_buckets::bigint[] AS wait_buckets
        FROM outbox.stats AS s
        WHERE s.minute >= greatest(f.at, sqlc.arg(from_at)::timestamptz) AND s.minute < least(f.at + interval '5 minutes', sqlc.arg(to_at)::timestamptz)
          AND (@queue_name::text = '' OR s.queue_name = @queue_name)
        OFFSET 0
    ) AS minute
    WHERE NOT f.rolled_up
)
SELECT date_bin(sqlc.arg(step_ms)::bigint * interval '1 millisecond', p.at, sqlc.arg(from_at)::timestamptz)::timestamptz AS at,
    sum(p.dispatched)::bigint AS dispatched, sum(p.completed)::bigint AS completed, sum(p.failed)::bigint AS failed, sum(p.dead)::bigint AS dead,
    sum(p.cancelled)::bigint AS cancelled, sum(p.snoozed)::bigint AS snoozed, sum(p.lost)::bigint AS lost,
    sum(p.run_us)::bigint AS run_us, sum(p.wait_us)::bigint AS wait_us,
    array_replace(ARRAY[sum(p.run_buckets[1]), sum(p.run_buckets[2]), sum(p.run_buckets[3]), sum(p.run_buckets[4]), sum(p.run_buckets[5]), sum(p.run_buckets[6]),
        sum(p.run_buckets[7]), sum(p.run_buckets[8]), sum(p.run_buckets[9]), sum(p.run_buckets[10]), sum(p.run_buckets[11]), sum(p.run_buckets[12]),
        sum(p.run_buckets[13]), sum(p.run_buckets[14]), sum(p.run_buckets[15]), sum(p.run_buckets[16]), sum(p.run_buckets[17]), sum(p.run_buckets[18])], NULL, 0)::bigint[] AS run_buckets,
    array_replace(ARRAY[sum(p.wait_buckets[1]), sum(p.wait_buckets[2]), sum(p.wait_buckets[3]), sum(p.wait_buckets[4]), sum(p.wait_buckets[5]), sum(p.wait_buckets[6]),
        sum(p.wait_buckets[7]), sum(p.wait_buckets[8]), sum(p.wait_buckets[9]), sum(p.wait_buckets[10]), sum(p.wait_buckets[11]), sum(p.wait_buckets[12]),
        sum(p.wait_buckets[13]), sum(p.wait_buckets[14]), sum(p.wait_buckets[15]), sum(p.wait_buckets[16]), sum(p.wait_buckets[17]), sum(p.wait_buckets[18])], NULL, 0)::bigint[] AS wait_buckets
FROM parts AS p
GROUP BY 1
ORDER BY 1;

-- name: ListRates :many
-- How many attempts of each queue ended in the last minutes that are over, from its first
-- such minute to the last one in which any queue's did. Reads a range of stats_pkey.
SELECT s.queue_name, sum(s.completed + s.failed + s.dead + s.cancelled)::bigint AS ended, sum(s.run_us)::bigint AS run_us,
    (extract(epoch FROM max(max(s.minute)) OVER () - min(s.minute)) + 60)::bigint AS span_s
FROM outbox.stats AS s
WHERE s.minute >= date_trunc('minute', now()) - sqlc.arg(span_ms)::bigint * interval '1 millisecond' AND s.minute < date_trunc('minute', now())
  AND s.completed + s.failed + s.dead + s.cancelled > 0
GROUP BY s.queue_name;

-- name: SampleDepths :many
-- Notes what waits in each queue, once a minute, and returns it; no row: another
-- relay has done so. Two at the same moment are told apart by advisory lock
-- (1380928331, 4), to the statement's end; a relay whose snapshot is from before the
-- other's commit finds the rows in its way. Counts no further than the cap.
WITH turn AS MATERIALIZED (
    SELECT pg_try_advisory_xact_lock(1380928331, 4) AS got
),
due AS MATERIALIZED (
    SELECT date_trunc('minute', now())::timestamptz AS minute
    FROM turn
    WHERE turn.got AND NOT EXISTS (SELECT FROM outbox.depths AS d WHERE d.minute = date_trunc('minute', now()))
),
later AS MATERIALIZED (
    SELECT head.queue_name, count(*) AS jobs
    FROM due
    CROSS JOIN LATERAL (SELECT s.queue_name FROM outbox.scheduled AS s ORDER BY s.run_at, s.job_id LIMIT @cap) AS head
    GROUP BY head.queue_name
),
away AS MATERIALIZED (
    SELECT d.queue_name, sum(cardinality(d.job_ids)) AS jobs
    FROM due
    CROSS JOIN outbox.dispatches AS d
    GROUP BY d.queue_name
)
INSERT INTO outbox.depths AS d (minute, queue_name, paused, ready, scheduled, out, workers, oldest_ms)
SELECT due.minute, q.name, q.paused,
    (SELECT count(*) FROM (SELECT FROM outbox.ready AS r WHERE r.queue_name = q.name LIMIT @cap) AS head),
    coalesce((SELECT l.jobs FROM later AS l WHERE l.queue_name = q.name), 0),
    coalesce((SELECT a.jobs FROM away AS a WHERE a.queue_name = q.name), 0),
    (SELECT count(*) FROM outbox.processes AS p WHERE p.role = 'worker' AND p.beat_at > now() - interval '15 seconds' AND p.epochs -> q.name IS NOT NULL),
    coalesce((
        SELECT greatest(extract(epoch FROM now() - min(j.run_at)) * 1000, 0)::bigint
        FROM (SELECT r.job_id FROM outbox.ready AS r WHERE r.queue_name = q.name ORDER BY r.priority, r.job_id LIMIT 100) AS head
        JOIN outbox.jobs AS j ON j.id = head.job_id
    ), 0)
FROM due
CROSS JOIN outbox.queues AS q
ON CONFLICT DO NOTHING
RETURNING d.minute, d.queue_name, d.paused, d.ready, d.scheduled, d.out, d.workers, d.oldest_ms;

-- name: ListDepths :many
-- What waited in one queue, or in all, when each step was last noted: a minute has a row
-- of every queue. Two probes of depths_pkey for each step, however long it is.
SELECT steps.at::timestamptz AS at, d.queue_name, d.paused, d.ready, d.scheduled, d.out, d.workers, d.oldest_ms
FROM generate_series(sqlc.arg(from_at)::timestamptz, sqlc.arg(to_at)::timestamptz - interval '1 microsecond', sqlc.arg(step_ms)::bigint * interval '1 millisecond') AS steps (at)
CROSS JOIN LATERAL (
    SELECT max(l.minute) AS minute
    FROM outbox.depths AS l
    WHERE l.minute >= steps.at AND l.minute < least(steps.at + sqlc.arg(step_ms)::bigint * interval '1 millisecond', sqlc.arg(to_at)::timestamptz)
) AS last
JOIN outbox.depths AS d ON d.minute = last.minute
WHERE @queue_name::text = '' OR d.queue_name = @queue_name
ORDER BY d.queue_name, steps.at
LIMIT @max_rows;

-- name: PruneStats :execrows
-- Deletes figures older than job.StatKept, a slice at a time, and those of clocks that run far ahead.
-- Reads stats_pkey from its ends.
DELETE FROM outbox.stats AS s
WHERE s.ctid = ANY (ARRAY(
    (SELECT o.ctid FROM outbox.stats AS o WHERE o.minute < now() - interval '8 days' ORDER BY o.minute LIMIT 10000)
    UNION ALL
    (SELECT f.ctid FROM outbox.stats AS f WHERE f.minute > now() + interval '1 hour' ORDER BY f.minute DESC LIMIT 10000)
));

-- name: PruneDepths :execrows
-- As PruneStats.
DELETE FROM outbox.depths AS d
WHERE d.ctid = ANY (ARRAY(
    SELECT o.ctid FROM outbox.depths AS o WHERE o.minute < now() - interval '8 days' ORDER BY o.minute LIMIT 10000
));
