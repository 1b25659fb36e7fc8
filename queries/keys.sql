-- The keys of the HTTP API, and what people have changed. These run on the unpinned
-- pool.

-- name: GetAPIKey :one
-- A key that is good at this moment, by its id (api_keys_pkey). left_ms is how long it
-- stays so, -1 meaning until it is revoked.
SELECT k.name, k.hash, k.scopes, k.queue_patterns,
    coalesce(floor(extract(epoch FROM k.expires_at - now()) * 1000), -1)::bigint AS left_ms
FROM outbox.api_keys AS k
WHERE k.id = @id
  AND k.revoked_at IS NULL
  AND (k.expires_at IS NULL OR k.expires_at > now());

-- name: ListAPIKeys :many
-- For people: no hashes. By api_keys_pkey, the ids behind one, which are drawn: their
-- order means nothing.
SELECT k.id, k.name, k.scopes, k.queue_patterns, k.created_at, k.created_by, k.expires_at, k.revoked_at, k.last_used_at
FROM outbox.api_keys AS k
WHERE k.id > @after_id
ORDER BY k.id
LIMIT @max_keys;

-- name: InsertAPIKey :one
INSERT INTO outbox.api_keys (id, name, hash, scopes, queue_patterns, created_by, expires_at)
VALUES (@id, @name, @hash, @scopes, @queue_patterns, @created_by, @expires_at)
RETURNING created_at;

-- name: RevokeAPIKey :one
-- Revokes a key for good; revoked says whether it was this statement that did. No row:
-- there is no such key.
UPDATE outbox.api_keys AS k
SET revoked_at = coalesce(k.revoked_at, now())
WHERE k.id = @id
RETURNING k.name, (k.revoked_at = now())::boolean AS revoked;

-- name: TouchAPIKeys :exec
-- Notes that keys were used within the last minute or so. In the order of ids: two
-- processes that note the same keys wait for each other and do not deadlock.
UPDATE outbox.api_keys AS k
SET last_used_at = now()
FROM (
    SELECT used.id
    FROM outbox.api_keys AS used
    WHERE used.id = ANY (@ids::text[])
    ORDER BY used.id
    FOR NO KEY UPDATE
) AS u
WHERE k.id = u.id;

-- name: RecordChange :exec
-- Append-only: there is no statement that changes or deletes what this has written.
INSERT INTO outbox.audit (principal, action, target, queue_name, detail, request_id, ip)
VALUES (@principal, @action, @target, @queue_name, @detail, @request_id, cast(nullif(@ip::text, '') AS inet));

-- name: ListChanges :many
-- The newest first, of the next so many lines below an id (audit_pkey). A filter that
-- is empty lets all through; one that ends in * means a beginning.
SELECT a.id, a.at, a.principal, a.action, a.target, a.queue_name, a.detail, a.request_id, coalesce(host(a.ip), '')::text AS ip, coalesce(a.database_role, '')::text AS database_role
FROM (SELECT newest.id, newest.at, newest.principal, newest.action, newest.target, newest.queue_name, newest.detail, newest.request_id, newest.ip, newest.database_role FROM outbox.audit AS newest WHERE newest.id < @before_id ORDER BY newest.id DESC LIMIT @cap) AS a
WHERE (@principal::text IN ('', a.principal) OR right(@principal, 1) = '*' AND starts_with(a.principal, left(@principal, -1)))
  AND (@action::text IN ('', a.action) OR right(@action, 1) = '*' AND starts_with(a.action, left(@action, -1)))
  AND (@target::text IN ('', a.target) OR right(@target, 1) = '*' AND starts_with(a.target, left(@target, -1)))
  AND @queue_name::text IN ('', a.queue_name)
ORDER BY a.id DESC
LIMIT @max_changes;

-- name: ChangesEdge :one
-- How far a capped look at the newest lines reaches: its lowest id, and how many it saw.
SELECT coalesce(min(head.id), 0)::bigint AS id, count(*)::bigint AS seen
FROM (SELECT a.id FROM outbox.audit AS a WHERE a.id < @before_id ORDER BY a.id DESC LIMIT @cap) AS head;
