-- What rookery doctor looks at in Postgres.

-- name: ServerFacts :one
SELECT current_setting('server_version_num')::integer AS version_num,
    pg_is_in_recovery()::boolean AS standby,
    current_user::text AS user_name,
    pg_backend_pid()::integer AS pid,
    current_setting('synchronous_commit')::text AS synchronous_commit,
    current_setting('fsync')::text AS fsync,
    (current_setting('max_connections')::integer)::integer AS max_connections;

-- name: MissingRoles :many
SELECT wanted.name::text AS name
FROM (SELECT unnest(ARRAY['rookery_producer', 'rookery_server', 'rookery_readonly', 'rookery_relay', 'rookery_worker', 'rookery_pusher', 'rookery_api']) AS name) AS wanted
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles AS r WHERE r.rolname = wanted.name);

-- name: MayServe :one
-- Whether this user can do what relays and workers do.
SELECT (has_table_privilege('outbox.jobs', 'SELECT, INSERT, UPDATE')
    AND has_table_privilege('outbox.ready', 'SELECT, INSERT, DELETE')
    AND has_table_privilege('outbox.dispatches', 'SELECT, INSERT, UPDATE, DELETE')
    AND has_table_privilege('outbox.seals', 'SELECT')
    AND has_function_privilege('outbox.wake()', 'EXECUTE'))::boolean AS may;

-- name: GateHolder :many
-- Which sessions hold the gate: at most one relay, while it is awake.
SELECT coalesce(a.pid, 0)::integer AS pid, coalesce(a.application_name, '')::text AS application_name
FROM pg_catalog.pg_locks AS l
LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.classid = 1380928331 AND l.objid = 1 AND l.mode = 'ExclusiveLock' AND l.granted
  AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = current_database());

-- name: WALFacts :one
-- What tailing the WAL takes. A relay that tails already is not in its own way.
SELECT quote_ident(current_user)::text AS user_name,
    quote_ident(current_database())::text AS database_name,
    current_setting('wal_level')::text AS wal_level,
    coalesce((SELECT r.rolreplication OR r.rolsuper FROM pg_catalog.pg_roles AS r WHERE r.rolname = current_user), false)::boolean AS may_replicate,
    EXISTS (SELECT FROM pg_catalog.pg_publication AS p WHERE p.pubname = 'outbox_wake')::boolean AS published,
    current_setting('max_replication_slots')::integer AS max_slots,
    (SELECT count(*) FROM pg_catalog.pg_replication_slots)::integer AS slots,
    (SELECT count(*) FROM pg_catalog.pg_replication_slots AS s WHERE s.slot_name LIKE 'rookery\_wake\_%')::integer AS our_slots,
    current_setting('max_wal_senders')::integer AS max_senders,
    (SELECT count(*) FROM pg_catalog.pg_stat_replication)::integer AS senders;

-- name: StateFacts :one
-- Who lives, who reaches Redis, what workers hold here, and whether jobs are due.
SELECT
    (SELECT count(*) FROM outbox.processes AS p WHERE p.role = 'relay' AND p.beat_at > now() - interval '20 seconds')::integer AS relays,
    (SELECT count(*) FROM outbox.processes AS p WHERE p.role = 'worker' AND p.beat_at > now() - interval '20 seconds')::integer AS workers,
    coalesce((extract(epoch FROM now() - (SELECT coalesce(max(p.redis_at), min(p.started_at)) FROM outbox.processes AS p)) * 1000)::bigint, 0)::bigint AS silent_ms,
    (SELECT coalesce(sum(cardinality(d.job_ids)), 0) FROM outbox.dispatches AS d WHERE d.lease_until > now())::bigint AS held,
    EXISTS (SELECT FROM outbox.ready)::boolean AS waiting;
