-- Workers over HTTP, for people.

-- name: BeatClients :many
-- Says which clients came to a server lately, and answers with those that are to be quiet.
-- One that is quiet elsewhere is so here. Through clients_pkey.
INSERT INTO outbox.clients AS c (id, server_id, address, about, beat_at, quiet)
SELECT seen.id, @server_id::text, seen.address, seen.about::jsonb, now() - seen.silent_ms * interval '1 millisecond',
    coalesce((SELECT bool_or(known.quiet) FROM outbox.clients AS known WHERE known.id = seen.id), false)
FROM (SELECT unnest(@ids::text[]) AS id, unnest(@addresses::text[]) AS address, unnest(@abouts::text[]) AS about, unnest(@silent_ms::bigint[]) AS silent_ms) AS seen
ORDER BY seen.id
ON CONFLICT (id, server_id) DO UPDATE SET address = excluded.address, about = excluded.about, beat_at = excluded.beat_at
RETURNING c.id, c.quiet;

-- name: ForgetClients :exec
-- Reads the whole table, which is small.
DELETE FROM outbox.clients AS c WHERE c.beat_at < now() - interval '1 hour';

-- name: ListClients :many
-- Each client once for each server that it asks, with its age by Postgres' clock: those
-- that were heard last, for a name costs nothing. Reads the whole table, which is small.
SELECT c.id, c.server_id, c.address, c.about, c.started_at, c.beat_at, c.quiet,
    (extract(epoch FROM clock_timestamp() - c.beat_at) * 1000)::bigint AS beat_age_ms
FROM (
    SELECT latest.id, latest.server_id, latest.address, latest.about, latest.started_at, latest.beat_at, latest.quiet
    FROM outbox.clients AS latest
    ORDER BY latest.beat_at DESC
    LIMIT @max_clients
) AS c
ORDER BY c.id, c.server_id;
