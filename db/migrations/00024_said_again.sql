-- +goose Up
-- What a client says of its attempt it may say again, later and to another server, when it has
-- not heard the answer. It knows the attempt by the dispatch it was handed out as, so
-- Postgres keeps that for longer than the ledger's row.
--
-- A worker that holds an attempt in Postgres, with Redis away, gives it another dispatch. The pair is good as
-- long as moved_to is dispatch_id: a claim need not clear it. (dispatches.moved_from, of
-- 00022, said it until the row was swept; nothing reads it any more, and a later release drops it.)
ALTER TABLE outbox.jobs ADD COLUMN moved_to bigint, ADD COLUMN moved_from bigint;

-- The dispatch that the attempt was handed out as, of those that ended by an outcome. Unlike
-- attempt_count it is never given twice, whatever Postgres forgets.
ALTER TABLE outbox.attempts ADD COLUMN dispatch_id bigint;

-- +goose StatementBegin
DO $$
DECLARE
    part text;
BEGIN
    FOR part IN SELECT rolname FROM pg_catalog.pg_roles WHERE rolname IN ('rookery_relay', 'rookery_worker', 'rookery_api') LOOP
        EXECUTE format('GRANT UPDATE (moved_to, moved_from) ON outbox.jobs TO %I', part);
    END LOOP;
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'rookery_readonly') THEN
        GRANT SELECT (moved_to, moved_from) ON outbox.jobs TO rookery_readonly;
    END IF;
END $$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
DO $$
DECLARE
    part text;
BEGIN
    FOR part IN SELECT rolname FROM pg_catalog.pg_roles WHERE rolname IN ('rookery_relay', 'rookery_worker', 'rookery_api') LOOP
        EXECUTE format('REVOKE UPDATE (moved_to, moved_from) ON outbox.jobs FROM %I', part);
    END LOOP;
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'rookery_readonly') THEN
        REVOKE SELECT (moved_to, moved_from) ON outbox.jobs FROM rookery_readonly;
    END IF;
END $$;
-- +goose StatementEnd
ALTER TABLE outbox.attempts DROP COLUMN dispatch_id;
ALTER TABLE outbox.jobs DROP COLUMN moved_to, DROP COLUMN moved_from;
