-- The keys that envelopes are sealed with.

-- name: SealKeys :many
-- What relays and workers seal and open with. The newest key that is older than a
-- minute signs: whoever reads the keys every half minute knows it before it is
-- used. Before there is such a key the oldest one signs: nobody can have read the
-- keys without it.
SELECT s.id, s.secret,
    (s.id = coalesce(
        (SELECT m.id FROM outbox.seals AS m
         WHERE m.retired_at IS NULL AND m.created_at <= clock_timestamp() - interval '1 minute'
         ORDER BY m.created_at DESC, m.id LIMIT 1),
        (SELECT f.id FROM outbox.seals AS f
         WHERE f.retired_at IS NULL
         ORDER BY f.created_at, f.id LIMIT 1)))::boolean AS signs
FROM outbox.seals AS s
WHERE s.retired_at IS NULL
ORDER BY s.id;

-- name: ListSeals :many
-- For people: no secrets.
SELECT s.id, s.created_at, s.retired_at
FROM outbox.seals AS s
ORDER BY s.created_at, s.id;

-- name: RotateSeals :one
SELECT outbox.rotate_seals()::integer AS id;

-- name: RetireSeal :execrows
-- Forgets a key's secret. Unless forced, a newer key must have been known to every
-- relay for two minutes, and no batch from before that may be under way: an envelope
-- that a forgotten key has sealed is refused like a forged one.
UPDATE outbox.seals AS s
SET retired_at = clock_timestamp(), secret = ''
WHERE s.id = @id AND s.retired_at IS NULL
  AND EXISTS (
    SELECT FROM outbox.seals AS n
    WHERE n.retired_at IS NULL AND n.id <> s.id
      AND (@forced::boolean
        OR n.created_at > s.created_at AND n.created_at <= clock_timestamp() - interval '3 minutes'
          AND NOT EXISTS (
            SELECT FROM outbox.dispatches AS d
            WHERE d.lease_until IS NULL AND d.created_at < n.created_at + interval '3 minutes')));
