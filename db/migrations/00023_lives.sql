-- +goose Up

-- The life of a process: a number that it draws when it starts. What people told a
-- process of the same name before, such as to take no more jobs, was said to another life: in
-- a container every process has pid 1, and often the host's name again. 0: a version of before,
-- or a relay, which nobody tells anything.
ALTER TABLE outbox.processes ADD COLUMN life bigint NOT NULL DEFAULT 0;

-- Relays delete operations that have been over for long. What people did stays in the audit.
-- +goose StatementBegin
DO $$
DECLARE
    part text;
BEGIN
    FOR part IN SELECT rolname FROM pg_catalog.pg_roles WHERE rolname IN ('rookery_server', 'rookery_relay') LOOP
        EXECUTE format('GRANT SELECT (id, status, finished_at), DELETE ON outbox.operations TO %I', part);
    END LOOP;
END $$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'rookery_server') THEN
        REVOKE DELETE ON outbox.operations FROM rookery_server;
    END IF;
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'rookery_relay') THEN
        REVOKE SELECT (id, status, finished_at), DELETE ON outbox.operations FROM rookery_relay;
    END IF;
END $$;
-- +goose StatementEnd
ALTER TABLE outbox.processes DROP COLUMN life;
