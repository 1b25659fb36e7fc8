-- Which filling of which window is the present one.

-- name: ListQueues :many
SELECT q.name, q.paused, q.window_size, q.retention_seconds, q.retention_dead_seconds, q.epoch, q.life, (extract(epoch FROM clock_timestamp() - q.epoch_at) * 1000)::bigint AS epoch_age_ms,
    clock_timestamp()::timestamptz AS clock
FROM outbox.queues AS q
ORDER BY q.name;

-- name: RegisterQueues :exec
-- Only relays register queues, never a producer's transaction.
INSERT INTO outbox.queues (name, life)
SELECT unnest(@names::text[]), @life::text
ON CONFLICT DO NOTHING;

-- name: BeginEpoch :many
-- A new epoch: everything the window held is given up. Guarded by the epoch the
-- relay has seen, so that of several relays one begins it.
UPDATE outbox.queues AS q
SET epoch = greatest(q.epoch, @redis_epoch::bigint) + 1, epoch_at = now(), life = @life
WHERE q.name = @name AND q.epoch = @seen_epoch
RETURNING q.epoch, q.paused;

-- name: SetPaused :execrows
INSERT INTO outbox.queues AS q (name, paused)
VALUES (@name, @paused)
ON CONFLICT (name) DO UPDATE SET paused = excluded.paused
WHERE q.paused <> excluded.paused;

-- name: SetWindow :exec
INSERT INTO outbox.queues AS q (name, window_size)
VALUES (@name, @window_size)
ON CONFLICT (name) DO UPDATE SET window_size = excluded.window_size;

-- name: SetRetention :exec
-- NULL: as the relays say; 0: for ever. What is not set stays as it is.
INSERT INTO outbox.queues AS q (name, retention_seconds, retention_dead_seconds)
VALUES (@name, sqlc.narg(retention_seconds), sqlc.narg(retention_dead_seconds))
ON CONFLICT (name) DO UPDATE
SET retention_seconds = CASE WHEN @set_retention::boolean THEN excluded.retention_seconds ELSE q.retention_seconds END,
    retention_dead_seconds = CASE WHEN @set_retention_dead::boolean THEN excluded.retention_dead_seconds ELSE q.retention_dead_seconds END;

-- name: PostgresLife :one
-- Which Postgres this is: system identifier and timeline. After a failover to a
-- standby, or a restore, the timeline differs, and what Redis holds may speak of
-- jobs that this Postgres gives to others.
SELECT ((SELECT s.system_identifier FROM pg_control_system() AS s)::text || ':' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::text AS life;
