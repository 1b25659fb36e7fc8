-- +goose Up

-- Relays delete finished jobs (queries/retention.sql). A fifth of the table dead, as
-- is the default, would be days of deleted jobs between two vacuums. Truncating the
-- table takes a lock that producers wait for, on a standby too; freed pages are used
-- again. VACUUM (TRUNCATE) outbox.jobs gives them back to the disk.
ALTER TABLE outbox.jobs SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 10000, vacuum_truncate = false);
ALTER TABLE outbox.attempts SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 10000, vacuum_truncate = false);

-- What a relay needs for it: to delete jobs with their history, without reading that,
-- and to know how far ids go.
-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'rookery_relay') THEN
        GRANT DELETE ON outbox.jobs, outbox.attempts, outbox.dead_letters TO rookery_relay;
        GRANT SELECT (job_id) ON outbox.attempts, outbox.dead_letters TO rookery_relay;
        GRANT SELECT ON SEQUENCE outbox.jobs_id_seq TO rookery_relay;
    END IF;
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'rookery_server') THEN
        GRANT SELECT ON SEQUENCE outbox.jobs_id_seq TO rookery_server;
    END IF;
END $$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'rookery_relay') THEN
        REVOKE DELETE ON outbox.jobs, outbox.attempts, outbox.dead_letters FROM rookery_relay;
        REVOKE SELECT (job_id) ON outbox.attempts, outbox.dead_letters FROM rookery_relay;
        REVOKE SELECT ON SEQUENCE outbox.jobs_id_seq FROM rookery_relay;
    END IF;
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'rookery_server') THEN
        REVOKE SELECT ON SEQUENCE outbox.jobs_id_seq FROM rookery_server;
    END IF;
END $$;
-- +goose StatementEnd
ALTER TABLE outbox.attempts RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold, vacuum_truncate);
ALTER TABLE outbox.jobs RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold, vacuum_truncate);
