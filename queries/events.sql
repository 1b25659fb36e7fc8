-- What became of jobs, for those who listen (00016_events.sql). On a pool whose plans
-- are not pinned.

-- name: OpenEventGate :exec
-- Has transitions noted for so long from now on, and kept for long. A gate that had been
-- shut is opened anew.
UPDATE outbox.event_gate AS g
SET open_until = greatest(g.open_until, now() + sqlc.arg(open_ms)::bigint * interval '1 millisecond'),
    keep_until = greatest(g.keep_until, now() + sqlc.arg(keep_ms)::bigint * interval '1 millisecond'),
    opening = g.opening + CASE WHEN g.open_until > now() THEN 0 ELSE 1 END,
    opened_at = CASE WHEN g.open_until > now() THEN g.opened_at ELSE clock_timestamp() END
WHERE g.one;

-- name: GetEventGate :one
-- The gate, and what is committed at this moment: the snapshot.
SELECT g.opening, g.open_until > now() AS open, (extract(epoch FROM clock_timestamp() - greatest(g.opened_at, '2000-01-01')) * 1000)::bigint AS open_ms,
    g.pruned_at, clock_timestamp()::timestamptz AS now, pg_current_snapshot()::text AS snapshot,
    substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)::text AS timeline
FROM outbox.event_gate AS g
WHERE g.one;

-- name: ListEvents :many
-- What was committed between two snapshots, a page above a place. A transaction that
-- the later one sees is committed or gone, so none is passed over, whatever the order in
-- which they commit. Reads a range of events_pkey.
SELECT e.tx, e.id, e.at, e.job_ids, e.statuses, e.attempt_counts
FROM outbox.events AS e
WHERE e.tx >= cast(cast(pg_snapshot_xmin(cast(@since::text AS pg_snapshot)) AS text) AS bigint)
  AND NOT pg_visible_in_snapshot(cast(cast(e.tx AS text) AS xid8), cast(@since AS pg_snapshot))
  AND pg_visible_in_snapshot(cast(cast(e.tx AS text) AS xid8), cast(@upto::text AS pg_snapshot))
  AND (e.tx, e.id) > (@after_tx::bigint, @after_id::bigint)
ORDER BY e.tx, e.id
LIMIT @max_rows;

-- name: SeekEvents :many
-- The first row behind a place whose transaction did not begin before a moment, or, when
-- none of the next max_scanned is one, the last of those. None: nothing lies behind the
-- place. Reads a range of events_pkey.
SELECT s.tx, s.id, (s.at >= @from_at::timestamptz)::boolean AS found
FROM (
    SELECT e.tx, e.id, e.at, row_number() OVER (ORDER BY e.tx, e.id) AS nth
    FROM outbox.events AS e
    WHERE (e.tx, e.id) > (@after_tx::bigint, @after_id::bigint)
    ORDER BY e.tx, e.id
    LIMIT sqlc.arg(max_scanned)::bigint
) AS s
WHERE s.at >= @from_at OR s.nth = sqlc.arg(max_scanned)::bigint
ORDER BY s.tx, s.id
LIMIT 1;

-- name: ListEventJobs :many
-- The jobs of events, without payloads.
SELECT j.id, j.queue_name, j.kind, j.attempt_count, j.created_at, j.dispatched_at, j.started_at, j.finished_at, j.worker_id
FROM outbox.jobs AS j
WHERE j.id = ANY (@ids::bigint[]);

-- name: ListEventAttempts :many
-- The attempts of events that did not simply succeed. Through attempts_pkey.
SELECT a.job_id, a.attempt_count, a.worker_id, a.started_at, a.finished_at, a.outcome, coalesce(left(a.error ->> 'message', 300), '')::text AS error
FROM (SELECT unnest(@job_ids::bigint[]) AS job_id, unnest(@attempt_counts::integer[]) AS attempt_count) AS e
JOIN outbox.attempts AS a ON a.job_id = e.job_id AND a.attempt_count = e.attempt_count;

-- name: MarkEvents :many
-- Says that the mark is to go, once it is old enough, and whether it has said so for a
-- minute.
UPDATE outbox.event_gate AS g
SET pruned_at = g.mark_at, warned_at = coalesce(g.warned_at, now())
WHERE g.one
  AND g.mark_at < now() - CASE WHEN g.keep_until > now() THEN sqlc.arg(long_ms)::bigint ELSE sqlc.arg(short_ms)::bigint END * interval '1 millisecond'
RETURNING g.mark, coalesce(g.warned_at < now() - interval '1 minute', false)::boolean AS due;

-- name: PruneEvents :execrows
-- Deletes a slice of what the mark sees. Reads events_pkey from its end.
DELETE FROM outbox.events AS e
WHERE e.ctid = ANY (ARRAY(
    SELECT o.ctid
    FROM outbox.events AS o
    WHERE o.tx < cast(cast(pg_snapshot_xmax(cast(@mark::text AS pg_snapshot)) AS text) AS bigint)
      AND pg_visible_in_snapshot(cast(cast(o.tx AS text) AS xid8), cast(@mark AS pg_snapshot))
    ORDER BY o.tx, o.id
    LIMIT @max_rows
));

-- name: MoveEventMark :exec
-- The next mark is the present, unless another relay has set it.
UPDATE outbox.event_gate AS g
SET mark_at = now(), mark = pg_current_snapshot()::text, warned_at = NULL
WHERE g.one AND g.mark = @mark::text;
