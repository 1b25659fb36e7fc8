-- +goose Up

-- What an INSERT of one job costs: 64 µs of Postgres' CPU before, 47 after (a plain table: 17).
-- A generated column and a CHECK of operators are parsed anew by every statement that writes to
-- their table; what a trigger's statements hold is parsed once a session.

-- size_of counts the bytes of a job that travel: its payload and headers as text. A short jsonb
-- can be a very long text (1e100000), so its own size says nothing.
-- +goose StatementBegin
CREATE FUNCTION outbox.size_of(payload jsonb, headers jsonb) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT pg_catalog.octet_length(payload::pg_catalog.text) OPERATOR(pg_catalog.+) coalesce(pg_catalog.octet_length(headers::pg_catalog.text), 0)
$$;
-- +goose StatementEnd

-- headers_fit is a function so that the CHECK is short to parse, STRICT so that it is not called
-- for a job without headers, and plpgsql so that it is not written out into the CHECK again.
-- +goose StatementBegin
CREATE FUNCTION outbox.headers_fit(headers jsonb) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
    RETURN pg_catalog.jsonb_typeof(headers) OPERATOR(pg_catalog.=) 'object'
        AND pg_catalog.octet_length(headers::pg_catalog.text) OPERATOR(pg_catalog.<=) 8192;
END $$;
-- +goose StatementEnd

-- Both are asked with the rights of whoever inserts, and tell nothing.
GRANT EXECUTE ON FUNCTION outbox.size_of(jsonb, jsonb), outbox.headers_fit(jsonb) TO PUBLIC;

-- NOT VALID spares reading the table under a lock: what stands in it satisfied the same words.
ALTER TABLE outbox.jobs
    DROP CONSTRAINT jobs_headers_is_an_object_of_at_most_8192_bytes,
    ADD CONSTRAINT jobs_headers_is_an_object_of_at_most_8192_bytes CHECK (outbox.headers_fit(headers)) NOT VALID;

-- jobs_inserted files new jobs where the relay looks for them. It is a statement trigger: one
-- run for a COPY of a million rows. It runs with its owner's rights and the caller's search_path,
-- so every name in it is qualified. A job that is too large is refused by the domain to which
-- its size is cast, once, here: what files a job again must not fail for it.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION outbox.jobs_inserted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    due   bigint;
    later bigint;
    first timestamp with time zone; -- of those that are not due
    told  boolean;
BEGIN
    INSERT INTO outbox.ready (queue_name, priority, job_id, size)
    SELECT n.queue_name, n.priority, n.id, outbox.size_of(n.payload, n.headers)::outbox.byte_size
    FROM new_jobs AS n
    WHERE n.status OPERATOR(pg_catalog.=) 'queued' AND n.run_at OPERATOR(pg_catalog.<=) pg_catalog.now();
    GET DIAGNOSTICS due = ROW_COUNT;

    -- Most statements insert jobs that are due, all of them. To ask is half the price of
    -- an INSERT that finds nothing.
    SELECT CASE WHEN n.status OPERATOR(pg_catalog.=) 'queued' THEN n.run_at END
    INTO first
    FROM new_jobs AS n
    WHERE n.run_at OPERATOR(pg_catalog.>) pg_catalog.now() OR n.status OPERATOR(pg_catalog.<>) 'queued'
    LIMIT 1;
    IF FOUND THEN
        -- Jobs of the express lane are filed nowhere; the cast keeps them, too, from being
        -- too large.
        INSERT INTO outbox.scheduled (run_at, job_id, queue_name, priority, size)
        SELECT n.run_at, n.id, n.queue_name, n.priority, outbox.size_of(n.payload, n.headers)::outbox.byte_size
        FROM new_jobs AS n
        WHERE CASE
            WHEN n.status OPERATOR(pg_catalog.=) 'queued' THEN n.run_at OPERATOR(pg_catalog.>) pg_catalog.now()
            ELSE outbox.size_of(n.payload, n.headers)::outbox.byte_size OPERATOR(pg_catalog.<) 0
        END;
        GET DIAGNOSTICS later = ROW_COUNT;
        IF later OPERATOR(pg_catalog.>) 1 OR later OPERATOR(pg_catalog.=) 1 AND first IS NULL THEN
            first := (
                SELECT pg_catalog.min(n.run_at)
                FROM new_jobs AS n
                WHERE n.status OPERATOR(pg_catalog.=) 'queued' AND n.run_at OPERATOR(pg_catalog.>) pg_catalog.now()
            );
        END IF;
    END IF;

    -- A relay sets its timer anew at least every second, so of those that are not due
    -- only one that is within two seconds must tell it.
    IF due OPERATOR(pg_catalog.>) 0 OR first OPERATOR(pg_catalog.<=) (pg_catalog.now() OPERATOR(pg_catalog.+) interval '2 seconds') THEN
        told := outbox.wake(); -- PERFORM would start an executor
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- The table is not written anew. Relays and workers of before name this column, so they must be
-- replaced.
-- +goose StatementBegin
DO $$
BEGIN
    -- A dropped column would keep it.
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'rookery_readonly') THEN
        REVOKE SELECT (size) ON outbox.jobs FROM rookery_readonly;
    END IF;
END $$;
-- +goose StatementEnd
ALTER TABLE outbox.jobs DROP COLUMN size;

-- jobs_changed keeps a payload that somebody changes by hand below the limit. No statement of
-- Rookery's changes one; the question whether it does is 0.2 µs a row, which is what the CHECK
-- of headers was.
-- +goose StatementBegin
CREATE FUNCTION outbox.jobs_changed() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    size outbox.byte_size;
BEGIN
    size := outbox.size_of(NEW.payload, NEW.headers);
    RETURN NULL;
END $$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION outbox.jobs_changed() FROM PUBLIC;
CREATE TRIGGER jobs_changed
AFTER UPDATE OF payload, headers ON outbox.jobs
FOR EACH ROW EXECUTE FUNCTION outbox.jobs_changed();

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION outbox.redrive(id bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    known outbox.jobs%ROWTYPE;
BEGIN
    SELECT j.* INTO known FROM outbox.jobs AS j WHERE j.id = redrive.id;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'no_data_found', MESSAGE = format('no job has id %s', id);
    END IF;
    IF known.status NOT IN ('dead', 'cancelled', 'completed') THEN
        RETURN false;
    END IF;
    -- ready before jobs, as cancel and the claim do. A row that an earlier race left
    -- behind is replaced, not kept: a claim that sees the job still cancelled may be
    -- about to delete it.
    DELETE FROM outbox.ready AS r
    WHERE r.queue_name = known.queue_name AND r.priority = -1 AND r.job_id = known.id;
    DELETE FROM outbox.ready AS r
    WHERE r.queue_name = known.queue_name AND r.priority = known.priority AND r.job_id = known.id;
    INSERT INTO outbox.ready (queue_name, priority, job_id, size)
    VALUES (known.queue_name, known.priority, known.id, outbox.size_of(known.payload, known.headers))
    ON CONFLICT DO NOTHING;
    -- arrow: dead cancelled completed -redrive-> queued
    UPDATE outbox.jobs AS j
    SET status = 'queued', failure_count = 0, lost_count = 0, run_at = now(), started_at = NULL, finished_at = NULL
    WHERE j.id = known.id AND j.status IN ('dead', 'cancelled', 'completed');
    IF NOT FOUND THEN
        RETURN false; -- another redrive was first; its row or ours dies at the claim's guard
    END IF;
    DELETE FROM outbox.dead_letters AS d WHERE d.job_id = known.id;
    PERFORM outbox.wake();
    RETURN true;
END $$;
-- +goose StatementEnd

-- +goose Down
-- (The table is written anew, and producers wait for as long.)
DROP TRIGGER jobs_changed ON outbox.jobs;
DROP FUNCTION outbox.jobs_changed();
-- +goose StatementBegin
DO $$
BEGIN
    ALTER TABLE outbox.jobs ADD COLUMN size outbox.byte_size NOT NULL
        GENERATED ALWAYS AS (octet_length(payload::text) + coalesce(octet_length(headers::text), 0)) STORED;
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'rookery_readonly') THEN
        GRANT SELECT (size) ON outbox.jobs TO rookery_readonly;
    END IF;
END $$;
-- +goose StatementEnd
ALTER TABLE outbox.jobs
    DROP CONSTRAINT jobs_headers_is_an_object_of_at_most_8192_bytes,
    ADD CONSTRAINT jobs_headers_is_an_object_of_at_most_8192_bytes CHECK (jsonb_typeof(headers) = 'object' AND octet_length(headers::text) <= 8192);

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION outbox.redrive(id bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    known outbox.jobs%ROWTYPE;
BEGIN
    SELECT j.* INTO known FROM outbox.jobs AS j WHERE j.id = redrive.id;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'no_data_found', MESSAGE = format('no job has id %s', id);
    END IF;
    IF known.status NOT IN ('dead', 'cancelled', 'completed') THEN
        RETURN false;
    END IF;
    -- ready before jobs, as cancel and the claim do. A row that an earlier race left
    -- behind is replaced, not kept: a claim that sees the job still cancelled may be
    -- about to delete it.
    DELETE FROM outbox.ready AS r
    WHERE r.queue_name = known.queue_name AND r.priority = -1 AND r.job_id = known.id;
    DELETE FROM outbox.ready AS r
    WHERE r.queue_name = known.queue_name AND r.priority = known.priority AND r.job_id = known.id;
    INSERT INTO outbox.ready (queue_name, priority, job_id, size)
    VALUES (known.queue_name, known.priority, known.id, known.size)
    ON CONFLICT DO NOTHING;
    -- arrow: dead cancelled completed -redrive-> queued
    UPDATE outbox.jobs AS j
    SET status = 'queued', failure_count = 0, lost_count = 0, run_at = now(), started_at = NULL, finished_at = NULL
    WHERE j.id = known.id AND j.status IN ('dead', 'cancelled', 'completed');
    IF NOT FOUND THEN
        RETURN false; -- another redrive was first; its row or ours dies at the claim's guard
    END IF;
    DELETE FROM outbox.dead_letters AS d WHERE d.job_id = known.id;
    PERFORM outbox.wake();
    RETURN true;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION outbox.jobs_inserted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    due  bigint;
    soon boolean;
BEGIN
    INSERT INTO outbox.ready (queue_name, priority, job_id, size)
    SELECT n.queue_name, n.priority, n.id, n.size
    FROM new_jobs AS n
    WHERE n.status OPERATOR(pg_catalog.=) 'queued' AND n.run_at OPERATOR(pg_catalog.<=) pg_catalog.now();
    GET DIAGNOSTICS due = ROW_COUNT;

    INSERT INTO outbox.scheduled (run_at, job_id, queue_name, priority, size)
    SELECT n.run_at, n.id, n.queue_name, n.priority, n.size
    FROM new_jobs AS n
    WHERE n.status OPERATOR(pg_catalog.=) 'queued' AND n.run_at OPERATOR(pg_catalog.>) pg_catalog.now();
    -- A relay sets its timer anew at least every second, so only a job due within
    -- two seconds must tell it.
    IF FOUND THEN
        soon := EXISTS (
            SELECT
            FROM new_jobs AS n
            WHERE n.status OPERATOR(pg_catalog.=) 'queued'
              AND n.run_at OPERATOR(pg_catalog.>) pg_catalog.now()
              AND n.run_at OPERATOR(pg_catalog.<=) (pg_catalog.now() OPERATOR(pg_catalog.+) interval '2 seconds')
        );
    END IF;

    IF due OPERATOR(pg_catalog.>) 0 OR soon THEN
        PERFORM outbox.wake();
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd

DROP FUNCTION outbox.size_of(jsonb, jsonb), outbox.headers_fit(jsonb);
