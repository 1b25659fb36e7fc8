-- Who lives.

-- name: BeatProcess :many
-- Says that a process lives, and answers with the epoch of every queue, and whether it is
-- to be quiet: by what people say, or what it has been told itself. Another life of the
-- same id has been told nothing: a process that comes back takes jobs, whatever host and
-- pid it has. Without queues there is one row, of no name.
WITH beat AS (
    INSERT INTO outbox.processes AS p (id, role, host, pid, redis_at, epochs, quiet, life)
    VALUES (@id, @role, @host, @pid, CASE WHEN @redis_ok::boolean THEN now() END, @epochs, @quiet, @life)
    ON CONFLICT (id) DO UPDATE
    SET beat_at = now(), redis_at = coalesce(excluded.redis_at, p.redis_at), epochs = excluded.epochs, host = excluded.host, pid = excluded.pid,
        quiet = excluded.quiet OR p.quiet AND p.life = excluded.life,
        started_at = CASE WHEN p.life = excluded.life THEN p.started_at ELSE now() END, life = excluded.life
    RETURNING p.quiet
)
SELECT coalesce(q.name, '') AS name, coalesce(q.epoch, 0)::bigint AS epoch, beat.quiet
FROM beat
LEFT JOIN outbox.queues AS q ON true;

-- name: SetQuiet :one
-- Has a worker take no more jobs, or take them again; it knows with its next beat. One
-- over HTTP is told by every server that it asks.
WITH process AS (
    UPDATE outbox.processes AS p SET quiet = @quiet WHERE p.id = @id AND p.role = 'worker' RETURNING p.id
),
client AS (
    UPDATE outbox.clients AS c SET quiet = @quiet WHERE c.id = @id RETURNING c.id
)
SELECT (SELECT count(*) FROM process) + (SELECT count(*) FROM client) AS workers;

-- name: RetireProcess :exec
DELETE FROM outbox.processes AS p WHERE p.id = @id;

-- name: RetireSilentProcesses :execrows
DELETE FROM outbox.processes AS p WHERE p.beat_at < now() - interval '1 hour';
