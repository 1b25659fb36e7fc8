-- +goose Up

-- Three group roles, to be granted to login roles. They belong to the whole
-- server, so they may be there already, and another database may be making them
-- at this moment; a migrator that may not make roles goes on without them, and
-- "rookery doctor" says so.
-- +goose StatementBegin
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['rookery_producer', 'rookery_server', 'rookery_readonly'] LOOP
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

    REVOKE ALL ON ALL FUNCTIONS IN SCHEMA outbox FROM PUBLIC;

    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'rookery_producer') THEN
        -- Inserts jobs, and nothing else: no status, no id, no look at payloads.
        GRANT USAGE ON SCHEMA outbox TO rookery_producer;
        GRANT INSERT (queue_name, kind, payload, priority, run_at, max_attempts, headers), SELECT (id) ON outbox.jobs TO rookery_producer;
        GRANT EXECUTE ON FUNCTION
            outbox.enqueue(text, jsonb, text, integer, timestamptz, integer, jsonb),
            outbox.enqueue_many(jsonb),
            outbox.jobs_of(jsonb),
            outbox.misfit(jsonb),
            outbox.problem(text, text, jsonb, integer, timestamptz, integer, jsonb)
        TO rookery_producer;
    END IF;
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'rookery_server') THEN
        GRANT USAGE ON SCHEMA outbox TO rookery_server;
        GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA outbox TO rookery_server;
        GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA outbox TO rookery_server;
    END IF;
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'rookery_readonly') THEN
        -- Sees everything but payloads and headers.
        GRANT USAGE ON SCHEMA outbox TO rookery_readonly;
        GRANT SELECT ON outbox.ready, outbox.scheduled, outbox.dispatches, outbox.queues, outbox.processes,
            outbox.cancels, outbox.attempts, outbox.dead_letters TO rookery_readonly;
        GRANT SELECT (id, queue_name, kind, priority, status, dispatch_id, attempt_count, failure_count, lost_count, max_attempts,
            run_at, created_at, dispatched_at, started_at, finished_at, worker_id, last_error, size) ON outbox.jobs TO rookery_readonly;
    END IF;
    -- So that doctor and "migrate status" can tell them how far the schema is.
    FOR wanted IN SELECT rolname FROM pg_catalog.pg_roles WHERE rolname IN ('rookery_server', 'rookery_readonly') LOOP
        IF to_regclass('rookery_migrations') IS NOT NULL THEN
            EXECUTE format('GRANT SELECT ON rookery_migrations TO %I', wanted);
        END IF;
    END LOOP;
END $$;
-- +goose StatementEnd

-- +goose Down
-- The roles stay: other databases of this server may use them.
-- +goose StatementBegin
DO $$
DECLARE
    known text;
BEGIN
    FOR known IN SELECT rolname FROM pg_catalog.pg_roles WHERE rolname IN ('rookery_producer', 'rookery_server', 'rookery_readonly') LOOP
        EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA outbox FROM %I', known);
        EXECUTE format('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA outbox FROM %I', known);
        EXECUTE format('REVOKE ALL ON SCHEMA outbox FROM %I', known);
        IF to_regclass('rookery_migrations') IS NOT NULL THEN
            EXECUTE format('REVOKE ALL ON rookery_migrations FROM %I', known);
        END IF;
    END LOOP;
END $$;
-- +goose StatementEnd
