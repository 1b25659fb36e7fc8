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

-- +goose StatementBegin
DO $$
DECLARE
    part text;
BEGIN
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
