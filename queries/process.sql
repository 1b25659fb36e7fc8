-- Who lives.

-- name: BeatProcess :many
-- Says that a process lives, and answers with the epoch of every queue.
WITH beat AS (
    INSERT INTO outbox.processes AS p (id, role, host, pid, redis_at, epochs)
    VALUES (@id, @role, @host, @pid, CASE WHEN @redis_ok::boolean THEN now() END, @epochs)
    ON CONFLICT (id) DO UPDATE
    SET beat_at = now(), redis_at = coalesce(excluded.redis_at, p.redis_at), epochs = excluded.epochs
)
SELECT q.name, q.epoch FROM outbox.queues AS q;

-- name: RetireProcess :exec
DELETE FROM outbox.processes AS p WHERE p.id = @id;

-- name: RetireSilentProcesses :execrows
DELETE FROM outbox.processes AS p WHERE p.beat_at < now() - interval '1 hour';
