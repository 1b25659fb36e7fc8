-- +goose Up

-- Attempts whose receiver has answered that it will call back, and has asked for more
-- time since: until when they are to stay open. A row is no lease: it dies of age, and
-- what is in it of an attempt that is over is read by nobody. dispatch_id is the fence
-- that the receiver's token has.
CREATE TABLE outbox.callbacks (
    job_id      bigint      NOT NULL,
    dispatch_id bigint      NOT NULL,
    open_until  timestamptz NOT NULL,
    noted_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job_id, dispatch_id)
);
CREATE INDEX callbacks_by_age ON outbox.callbacks (noted_at);

-- rookery_pusher is what push workers may beside rookery_worker (00007): they speak to
-- the internet, and so have no part of rookery_api. They sign, disable an endpoint whose
-- receiver is gone, which pauses its queue and is recorded, and ask what became of open
-- attempts. As there, a migrator that may not make roles goes on without.
-- +goose StatementBegin
DO $$
DECLARE
    part text;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'rookery_pusher') THEN
        BEGIN
            CREATE ROLE rookery_pusher NOLOGIN;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN RAISE WARNING 'role rookery_pusher is missing and this user may not make it';
        END;
    END IF;
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'rookery_pusher') THEN
        GRANT SELECT (queue_name, url, secret, old_secret, old_secret_until, timeout_ms, max_in_flight, rate_per_second, disabled_at, disabled_reason,
            created_at, updated_at), UPDATE (disabled_at, disabled_reason, paused_queue) ON outbox.endpoints TO rookery_pusher;
        GRANT INSERT (name, paused), UPDATE (paused) ON outbox.queues TO rookery_pusher;
        GRANT INSERT (principal, action, target, queue_name, detail, request_id, ip) ON outbox.audit TO rookery_pusher;
        GRANT SELECT (job_id, attempt_count, outcome) ON outbox.attempts TO rookery_pusher;
        GRANT SELECT (job_id, dispatch_id, open_until) ON outbox.callbacks TO rookery_pusher;
    END IF;
    FOR part IN SELECT rolname FROM pg_catalog.pg_roles WHERE rolname IN ('rookery_server', 'rookery_api') LOOP
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON outbox.callbacks TO %I', part);
    END LOOP;
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'rookery_readonly') THEN
        GRANT SELECT ON outbox.callbacks TO rookery_readonly;
    END IF;
END $$;
-- +goose StatementEnd

-- +goose Down
DROP TABLE outbox.callbacks;
-- The role stays: other databases of this server may use it.
-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'rookery_pusher') THEN
        REVOKE ALL ON ALL TABLES IN SCHEMA outbox FROM rookery_pusher;
    END IF;
END $$;
-- +goose StatementEnd
