-- +goose Up

-- Rollups: what outbox.stats has, added up over all processes for each five minutes and
-- each hour, so that a chart of a week reads thousands of rows and not hundreds of
-- thousands. They change no figure: histograms are added up bucket by bucket, so the
-- quantiles are those of the minutes.
CREATE TABLE outbox.rollups (
    minutes    smallint    NOT NULL, -- how many it covers: 5 or 60
    at         timestamptz NOT NULL, -- when the first of them begins; a multiple of them since 1970
    queue_name text        NOT NULL,
    dispatched bigint      NOT NULL,
    completed  bigint      NOT NULL,
    failed     bigint      NOT NULL,
    dead       bigint      NOT NULL,
    cancelled  bigint      NOT NULL,
    snoozed    bigint      NOT NULL,
    lost       bigint      NOT NULL,
    run_us     bigint      NOT NULL,
    wait_us    bigint      NOT NULL,
    -- As in outbox.stats; NULL where no row has a bucket.
    run_buckets  bigint[]  NOT NULL,
    wait_buckets bigint[]  NOT NULL,
    PRIMARY KEY (minutes, at, queue_name),
    CONSTRAINT rollups_minutes_are_5_or_60 CHECK (minutes IN (5, 60))
);

-- Which rollups are to be made, or made again: minutes of theirs were written since. Who
-- writes minutes adds rows of its own in the same transaction, and a rollup deletes
-- those that its snapshot saw; so one that has no row here has seen all there is. A
-- reader goes to the minutes where there is no rollup or a row here.
CREATE TABLE outbox.rollups_due (
    minutes smallint    NOT NULL,
    at      timestamptz NOT NULL,
    id      bigint      GENERATED ALWAYS AS IDENTITY,
    PRIMARY KEY (minutes, at, id)
);

-- For processes of earlier versions, and for people. PutStats says itself what is due, in the
-- statement that writes the minutes, and sets rookery.rollups_due for its transaction.
-- +goose StatementBegin
CREATE FUNCTION outbox.stats_written() RETURNS trigger
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO outbox.rollups_due (minutes, at)
    SELECT DISTINCT covers.minutes, date_bin(covers.minutes * interval '1 minute', w.minute, 'epoch')
    FROM written AS w
    CROSS JOIN (VALUES (5), (60)) AS covers (minutes);
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER stats_inserted AFTER INSERT ON outbox.stats
REFERENCING NEW TABLE AS written FOR EACH STATEMENT
WHEN (current_setting('rookery.rollups_due', true) IS DISTINCT FROM 'said') EXECUTE FUNCTION outbox.stats_written();
CREATE TRIGGER stats_updated AFTER UPDATE ON outbox.stats
REFERENCING NEW TABLE AS written FOR EACH STATEMENT
WHEN (current_setting('rookery.rollups_due', true) IS DISTINCT FROM 'said') EXECUTE FUNCTION outbox.stats_written();

-- The minutes that are there already. The triggers stand: whatever is written from now on is due too.
INSERT INTO outbox.rollups_due (minutes, at)
SELECT DISTINCT covers.minutes, date_bin(covers.minutes * interval '1 minute', s.minute, 'epoch')
FROM (SELECT DISTINCT minute FROM outbox.stats) AS s
CROSS JOIN (VALUES (5), (60)) AS covers (minutes);

-- How many jobs an operation found when it began; NULL: more than could be counted then.
ALTER TABLE outbox.operations ADD COLUMN total bigint;

-- +goose StatementBegin
DO $$
DECLARE
    part text;
BEGIN
    FOR part IN SELECT rolname FROM pg_catalog.pg_roles WHERE rolname IN ('rookery_relay', 'rookery_server') LOOP
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON outbox.rollups TO %I', part);
        EXECUTE format('GRANT SELECT, INSERT, DELETE ON outbox.rollups_due TO %I', part);
    END LOOP;
    FOR part IN SELECT rolname FROM pg_catalog.pg_roles WHERE rolname IN ('rookery_api', 'rookery_server') LOOP
        EXECUTE format('GRANT UPDATE (total) ON outbox.operations TO %I', part);
    END LOOP;
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'rookery_worker') THEN
        GRANT INSERT ON outbox.rollups_due TO rookery_worker; -- by the trigger
    END IF;
    FOR part IN SELECT rolname FROM pg_catalog.pg_roles WHERE rolname IN ('rookery_api', 'rookery_readonly') LOOP
        EXECUTE format('GRANT SELECT ON outbox.rollups, outbox.rollups_due TO %I', part);
    END LOOP;
END $$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
DO $$
DECLARE
    part text;
BEGIN
    FOR part IN SELECT rolname FROM pg_catalog.pg_roles WHERE rolname IN ('rookery_api', 'rookery_server') LOOP
        EXECUTE format('REVOKE UPDATE (total) ON outbox.operations FROM %I', part); -- a dropped column keeps its grants
    END LOOP;
END $$;
-- +goose StatementEnd
ALTER TABLE outbox.operations DROP COLUMN total;
DROP TRIGGER stats_inserted ON outbox.stats;
DROP TRIGGER stats_updated ON outbox.stats;
DROP FUNCTION outbox.stats_written();
DROP TABLE outbox.rollups_due;
DROP TABLE outbox.rollups;
