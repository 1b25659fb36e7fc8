-- +goose Up

-- Figures for charts, so that a chart reads neither jobs nor their history. A row is
-- what one process did for one queue in one minute; processes count in memory and
-- write a minute once it has ended, whole: written again, after a lost answer, it
-- replaces itself. writer is a number the process draws at its start.
CREATE TABLE outbox.stats (
    minute     timestamptz NOT NULL,
    queue_name text        NOT NULL,
    writer     bigint      NOT NULL,
    dispatched bigint      NOT NULL DEFAULT 0,
    completed  bigint      NOT NULL DEFAULT 0,
    failed     bigint      NOT NULL DEFAULT 0,
    dead       bigint      NOT NULL DEFAULT 0,
    cancelled  bigint      NOT NULL DEFAULT 0,
    snoozed    bigint      NOT NULL DEFAULT 0,
    lost       bigint      NOT NULL DEFAULT 0,
    run_us     bigint      NOT NULL DEFAULT 0,
    wait_us    bigint      NOT NULL DEFAULT 0,
    -- Attempts by how long they ran and waited: job.Histogram, without the zeros at its end.
    run_buckets  integer[] NOT NULL DEFAULT '{}',
    wait_buckets integer[] NOT NULL DEFAULT '{}',
    PRIMARY KEY (minute, queue_name, writer)
);

-- What waited in each queue, once a minute, as one relay saw it. Counting stops at
-- job.StatsCap.
CREATE TABLE outbox.depths (
    minute     timestamptz NOT NULL,
    queue_name text        NOT NULL,
    paused     boolean     NOT NULL,
    ready      bigint      NOT NULL,
    scheduled  bigint      NOT NULL,
    out        bigint      NOT NULL,
    workers    bigint      NOT NULL,
    oldest_ms  bigint      NOT NULL,
    PRIMARY KEY (minute, queue_name)
);

-- +goose StatementBegin
DO $$
DECLARE
    part text;
BEGIN
    FOR part IN SELECT rolname FROM pg_catalog.pg_roles WHERE rolname IN ('rookery_relay', 'rookery_server') LOOP
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON outbox.stats TO %I', part);
        EXECUTE format('GRANT SELECT, INSERT, DELETE ON outbox.depths TO %I', part);
    END LOOP;
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'rookery_worker') THEN
        GRANT SELECT, INSERT, UPDATE ON outbox.stats TO rookery_worker;
    END IF;
    FOR part IN SELECT rolname FROM pg_catalog.pg_roles WHERE rolname IN ('rookery_api', 'rookery_readonly') LOOP
        EXECUTE format('GRANT SELECT ON outbox.stats, outbox.depths TO %I', part);
    END LOOP;
END $$;
-- +goose StatementEnd

-- +goose Down
DROP TABLE outbox.depths;
DROP TABLE outbox.stats;
