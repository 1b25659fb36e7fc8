-- +goose Up

-- Roles for processes that do one thing: rookery_relay, rookery_worker and
-- rookery_api, which is "rookery serve" together with rookery_relay. Each may what
-- its statements do, and no more: none changes a payload, a queue's name or a
-- priority, none deletes a job, and what is append-only stays so. rookery_server
-- (00003) is all of them in one. As there, they belong to the whole server, and a
-- migrator that may not make them goes on without.
-- +goose StatementBegin
DO $$
DECLARE
    wanted text;
    part   text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['rookery_relay', 'rookery_worker', 'rookery_api'] LOOP
        IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted) THEN
            CONTINUE;
        END IF;
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN RAISE WARNING 'role % is missing and this user may not make it', wanted;
        END;
    END LOOP;

    FOR part IN SELECT rolname FROM pg_catalog.pg_roles WHERE rolname IN ('rookery_relay', 'rookery_worker', 'rookery_api') LOOP
        EXECUTE format('GRANT USAGE ON SCHEMA outbox TO %I', part);
        EXECUTE format('GRANT SELECT ON outbox.jobs, outbox.ready, outbox.scheduled, outbox.dispatches, outbox.queues, outbox.processes TO %I', part);
        EXECUTE format('GRANT UPDATE (status, dispatch_id, attempt_count, failure_count, lost_count, run_at, dispatched_at, started_at, finished_at, worker_id, last_error) ON outbox.jobs TO %I', part);
        EXECUTE format('GRANT EXECUTE ON FUNCTION outbox.wake() TO %I', part);
        IF to_regclass('rookery_migrations') IS NOT NULL THEN
            EXECUTE format('GRANT SELECT ON rookery_migrations TO %I', part);
        END IF;
    END LOOP;

    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'rookery_relay') THEN
        -- It inserts jobs on the express lane only, for the API in its process.
        GRANT INSERT (queue_name, kind, payload, priority, max_attempts, headers, status, dispatch_id, attempt_count, dispatched_at) ON outbox.jobs TO rookery_relay;
        GRANT INSERT, UPDATE, DELETE ON outbox.ready, outbox.scheduled, outbox.dispatches, outbox.processes TO rookery_relay;
        GRANT INSERT (name, life), UPDATE (epoch, epoch_at, life) ON outbox.queues TO rookery_relay;
        GRANT SELECT, DELETE ON outbox.cancels TO rookery_relay;
        GRANT INSERT ON outbox.attempts, outbox.dead_letters TO rookery_relay;
        GRANT SELECT ON outbox.seals TO rookery_relay;
    END IF;
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'rookery_worker') THEN
        -- It claims for itself while Redis is away; the ledger's rows are the relays' to delete.
        GRANT INSERT, UPDATE, DELETE ON outbox.ready, outbox.processes TO rookery_worker;
        GRANT INSERT ON outbox.scheduled, outbox.attempts, outbox.dead_letters TO rookery_worker;
        GRANT INSERT, UPDATE ON outbox.dispatches TO rookery_worker;
        GRANT SELECT ON outbox.seals TO rookery_worker;
    END IF;
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'rookery_api') THEN
        GRANT INSERT (queue_name, kind, payload, priority, run_at, max_attempts, headers) ON outbox.jobs TO rookery_api;
        GRANT INSERT, DELETE ON outbox.ready TO rookery_api;
        GRANT DELETE ON outbox.scheduled TO rookery_api;
        GRANT INSERT (name, paused, window_size), UPDATE (paused, window_size) ON outbox.queues TO rookery_api;
        GRANT SELECT, INSERT ON outbox.cancels TO rookery_api;
        GRANT SELECT ON outbox.attempts TO rookery_api;
        GRANT SELECT, DELETE ON outbox.dead_letters TO rookery_api;
        GRANT SELECT, INSERT, UPDATE, DELETE ON outbox.spooled TO rookery_api;
        GRANT SELECT (id, created_at, retired_at) ON outbox.seals TO rookery_api;
        GRANT EXECUTE ON FUNCTION
            outbox.enqueue(text, jsonb, text, integer, timestamptz, integer, jsonb),
            outbox.enqueue_many(jsonb),
            outbox.jobs_of(jsonb),
            outbox.misfit(jsonb),
            outbox.problem(text, text, jsonb, integer, timestamptz, integer, jsonb),
            outbox.cancel(bigint),
            outbox.redrive(bigint),
            outbox.insert_spooled(uuid, bytea, jsonb)
        TO rookery_api;
    END IF;
END $$;
-- +goose StatementEnd

-- +goose Down
-- The roles stay: other databases of this server may use them.
-- +goose StatementBegin
DO $$
DECLARE
    known text;
BEGIN
    FOR known IN SELECT rolname FROM pg_catalog.pg_roles WHERE rolname IN ('rookery_relay', 'rookery_worker', 'rookery_api') LOOP
        EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA outbox FROM %I', known);
        EXECUTE format('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA outbox FROM %I', known);
        EXECUTE format('REVOKE ALL ON SCHEMA outbox FROM %I', known);
        IF to_regclass('rookery_migrations') IS NOT NULL THEN
            EXECUTE format('REVOKE ALL ON rookery_migrations FROM %I', known);
        END IF;
    END LOOP;
END $$;
-- +goose StatementEnd
