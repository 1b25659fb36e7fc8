-- Endpoints: where queues are delivered to. A handful of rows, on the unpinned pool.

-- name: ListEndpoints :many
-- Without secrets, for people. By endpoints_pkey.
SELECT e.queue_name, e.url, e.timeout_ms, e.max_in_flight, e.rate_per_second, e.disabled_at, e.disabled_reason, e.created_at, e.updated_at
FROM outbox.endpoints AS e
ORDER BY e.queue_name
LIMIT @max_endpoints;

-- name: EndpointSecrets :many
-- All secrets that sign at this moment, by queue.
SELECT e.queue_name, e.secret, coalesce(CASE WHEN e.old_secret_until > now() THEN e.old_secret END, '')::text AS old_secret
FROM outbox.endpoints AS e
WHERE @queue_name::text = '' OR e.queue_name = @queue_name
ORDER BY e.queue_name
LIMIT @max_endpoints;

-- name: GetEndpoint :one
SELECT e.queue_name, e.url, e.timeout_ms, e.max_in_flight, e.rate_per_second, e.disabled_at, e.disabled_reason, e.created_at, e.updated_at
FROM outbox.endpoints AS e
WHERE e.queue_name = @queue_name;

-- name: LockEndpoint :one
-- paused says whether disabling this endpoint is what paused its queue.
SELECT e.paused_queue
FROM outbox.endpoints AS e
WHERE e.queue_name = @queue_name
FOR UPDATE;

-- name: CountEndpoints :one
-- At most job.MaxEndpoints rows.
SELECT count(*) FROM outbox.endpoints;

-- name: PutEndpoint :one
-- A new endpoint with its secret, or another place for one that is there, which keeps
-- its secrets and is enabled.
INSERT INTO outbox.endpoints AS e (queue_name, url, secret, timeout_ms, max_in_flight, rate_per_second)
VALUES (@queue_name, @url, @secret, @timeout_ms, @max_in_flight, @rate_per_second)
ON CONFLICT (queue_name) DO UPDATE
SET url = excluded.url, timeout_ms = excluded.timeout_ms, max_in_flight = excluded.max_in_flight, rate_per_second = excluded.rate_per_second,
    disabled_at = NULL, disabled_reason = '', paused_queue = false, updated_at = now()
RETURNING e.created_at, e.updated_at, (e.secret = @secret)::boolean AS created;

-- name: RotateEndpoint :execrows
-- A new secret; the one before signs too for a while.
UPDATE outbox.endpoints AS e
SET old_secret = e.secret, old_secret_until = now() + make_interval(secs => @keep_seconds::double precision), secret = @secret, updated_at = now()
WHERE e.queue_name = @queue_name;

-- name: DisableEndpoint :execrows
-- The URL is the guard: whoever got this answer may have asked one that was replaced.
UPDATE outbox.endpoints AS e
SET disabled_at = now(), disabled_reason = @disabled_reason
WHERE e.queue_name = @queue_name
  AND e.url = @asked_url
  AND e.disabled_at IS NULL;

-- name: NotePausedByEndpoint :exec
UPDATE outbox.endpoints AS e
SET paused_queue = true
WHERE e.queue_name = @queue_name;

-- name: DeleteEndpoint :execrows
DELETE FROM outbox.endpoints AS e
WHERE e.queue_name = @queue_name;

-- name: EnableEndpoint :execrows
-- What its disabling had paused is resumed beside it. The time of the change tells push
-- workers to forget what the receiver had said.
UPDATE outbox.endpoints AS e
SET disabled_at = NULL, disabled_reason = '', paused_queue = false, updated_at = now()
WHERE e.queue_name = sqlc.arg(queue_name)
  AND e.disabled_at IS NOT NULL;

-- name: EndpointResults :many
-- What became of the attempts of the last hour in queues with an endpoint. Reads the
-- hour's rows of all queues, by stats_pkey.
SELECT s.queue_name, sum(s.completed)::bigint AS completed, sum(s.failed + s.dead)::bigint AS failed
FROM outbox.stats AS s
WHERE s.minute >= now() - interval '1 hour'
  AND s.queue_name IN (SELECT e.queue_name FROM outbox.endpoints AS e)
GROUP BY s.queue_name;
