-- +goose Up

-- Requests that were inserted under a key, and the jobs that came of each: what a
-- spooled copy, or a request that is sent again, would otherwise insert twice.
-- Rows are kept for 8 days; see RetireSpooled in queries/spool.sql.
CREATE TABLE outbox.spooled (
    key        uuid        PRIMARY KEY,
    digest     bytea       NOT NULL,
    job_ids    bigint[]    NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT spooled_digest_has_16_bytes CHECK (octet_length(digest) = 16)
) WITH (fillfactor = 80);
CREATE INDEX spooled_by_age ON outbox.spooled (created_at);

-- insert_spooled inserts the jobs of one request, all or none, unless that was done
-- under its key before, and returns their ids, in order, either way. The key's row
-- comes first: a second transaction with the same key waits for the first one's
-- end, and then finds its jobs or inserts its own, never both. Raises RK001 when
-- the key belongs to a request with another body, and class 22 or 23 for a value
-- that no job may have. jobs is an array of objects with every default written out;
-- only run_at, which then means now, and headers may be missing.
-- +goose StatementBegin
CREATE FUNCTION outbox.insert_spooled(key uuid, digest bytea, jobs jsonb) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    known outbox.spooled%ROWTYPE;
    ids   bigint[];
BEGIN
    -- The spool forgets its copy once this has committed: a crash must not take it back.
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    INSERT INTO outbox.spooled (key, digest)
    VALUES (insert_spooled.key, insert_spooled.digest)
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        SELECT s.* INTO known FROM outbox.spooled AS s WHERE s.key = insert_spooled.key;
        IF NOT FOUND THEN
            RAISE EXCEPTION USING ERRCODE = 'serialization_failure', MESSAGE = 'the key was retired at this moment';
        ELSIF known.digest <> insert_spooled.digest THEN
            RAISE EXCEPTION USING ERRCODE = 'RK001', MESSAGE = 'the key belongs to another request';
        END IF;
        RETURN known.job_ids;
    END IF;

    -- Ids are drawn in the order of the array: INSERT … SELECT … ORDER BY computes
    -- defaults after sorting.
    WITH inserted AS (
        INSERT INTO outbox.jobs (queue_name, kind, payload, priority, run_at, max_attempts, headers)
        SELECT e.value ->> 'queue_name', e.value ->> 'kind', e.value -> 'payload', (e.value ->> 'priority')::smallint,
            coalesce((e.value ->> 'run_at')::timestamptz, now()), (e.value ->> 'max_attempts')::smallint, e.value -> 'headers'
        FROM jsonb_array_elements(jobs) WITH ORDINALITY AS e (value, place)
        ORDER BY e.place
        RETURNING id
    )
    SELECT array_agg(i.id ORDER BY i.id) INTO ids FROM inserted AS i;
    UPDATE outbox.spooled AS s SET job_ids = ids WHERE s.key = insert_spooled.key;
    RETURN ids;
END $$;
-- +goose StatementEnd

-- The grants of 00003, for what is new.
-- +goose StatementBegin
DO $$
BEGIN
    REVOKE ALL ON FUNCTION outbox.insert_spooled(uuid, bytea, jsonb) FROM PUBLIC;
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'rookery_server') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON outbox.spooled TO rookery_server;
        GRANT EXECUTE ON FUNCTION outbox.insert_spooled(uuid, bytea, jsonb) TO rookery_server;
    END IF;
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'rookery_readonly') THEN
        GRANT SELECT ON outbox.spooled TO rookery_readonly;
    END IF;
END $$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION outbox.insert_spooled(uuid, bytea, jsonb);
DROP TABLE outbox.spooled;
