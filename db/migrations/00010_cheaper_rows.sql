-- +goose Up

-- What a producer's INSERT, a claim and an outcome cost in Postgres: docs/adr/0009.
--
-- A CHECK of a table is parsed anew by every statement that writes to it, and computed
-- for every version of every row, whatever the statement changes. A domain's is parsed
-- once a session, and computed when a value is made. The constraints keep their names,
-- because an INSERT that breaks one shows its producer little else. headers stays
-- as it is: drivers that encode a value by the type the server asks for do not know
-- how to write a map for a domain.
-- (The table is written anew; producers wait for as long.)
CREATE DOMAIN outbox.queue_name AS text CONSTRAINT jobs_queue_name_is_1_to_100_of_letters_digits_and_dot_dash CHECK (octet_length(VALUE) BETWEEN 1 AND 100 AND VALUE !~ '[^A-Za-z0-9_.:-]');
CREATE DOMAIN outbox.kind AS text CONSTRAINT jobs_kind_has_at_most_200_characters CHECK (char_length(VALUE) <= 200);
CREATE DOMAIN outbox.priority AS smallint CONSTRAINT jobs_priority_is_0_to_1000 CHECK (VALUE BETWEEN 0 AND 1000);
CREATE DOMAIN outbox.status AS text CONSTRAINT jobs_status_is_known CHECK (VALUE IN ('queued', 'dispatched', 'running', 'completed', 'dead', 'cancelled'));
CREATE DOMAIN outbox.max_attempts AS smallint CONSTRAINT jobs_max_attempts_is_1_to_1000 CHECK (VALUE BETWEEN 1 AND 1000);
CREATE DOMAIN outbox.moment AS timestamptz CONSTRAINT jobs_run_at_is_between_years_1970_and_9999 CHECK (VALUE >= '1970-01-01 00:00:00+00' AND VALUE < '9999-01-01 00:00:00+00');
CREATE DOMAIN outbox.byte_size AS integer CONSTRAINT jobs_payload_has_at_most_262144_bytes CHECK (VALUE <= 262144);

-- sqlc knows no domains, and need not: in a DO it does not see them.
-- +goose StatementBegin
DO $$
BEGIN
    ALTER TABLE outbox.jobs
        DROP CONSTRAINT jobs_queue_name_is_1_to_100_of_letters_digits_and_dot_dash,
        DROP CONSTRAINT jobs_kind_has_at_most_200_characters,
        DROP CONSTRAINT jobs_priority_is_0_to_1000,
        DROP CONSTRAINT jobs_status_is_known,
        DROP CONSTRAINT jobs_max_attempts_is_1_to_1000,
        DROP CONSTRAINT jobs_run_at_is_between_years_1970_and_9999,
        DROP CONSTRAINT jobs_payload_has_at_most_262144_bytes,
        ALTER COLUMN queue_name TYPE outbox.queue_name,
        ALTER COLUMN kind TYPE outbox.kind,
        ALTER COLUMN priority TYPE outbox.priority,
        ALTER COLUMN status TYPE outbox.status,
        ALTER COLUMN max_attempts TYPE outbox.max_attempts,
        ALTER COLUMN run_at TYPE outbox.moment,
        ALTER COLUMN size TYPE outbox.byte_size;
END $$;
-- +goose StatementEnd
ALTER TABLE outbox.queues
    DROP CONSTRAINT queues_name_is_1_to_100_of_letters_digits_and_dot_dash,
    ADD CONSTRAINT queues_name_is_1_to_100_of_letters_digits_and_dot_dash CHECK (octet_length(name) BETWEEN 1 AND 100 AND name !~ '[^A-Za-z0-9_.:-]');

-- A bounded repetition, {1,100}, cost 7 µs for a name of 17 letters; looking for what
-- must not be there costs 0.1.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION outbox.problem(queue_name text, kind text, payload jsonb, priority integer, run_at timestamptz, max_attempts integer, headers jsonb) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE
        WHEN queue_name IS NULL OR octet_length(queue_name) NOT BETWEEN 1 AND 100 OR queue_name ~ '[^A-Za-z0-9_.:-]'
            THEN 'queue_name must have 1 to 100 letters, digits and _ . : -'
        WHEN kind IS NULL OR char_length(kind) > 200
            THEN format('kind has %s characters, must have at most 200', coalesce(char_length(kind)::text, 'no'))
        WHEN payload IS NULL
            THEN 'payload must not be NULL'
        WHEN priority IS NULL OR priority NOT BETWEEN 0 AND 1000
            THEN format('priority is %s, must be 0 to 1000', coalesce(priority::text, 'NULL'))
        WHEN max_attempts IS NULL OR max_attempts NOT BETWEEN 1 AND 1000
            THEN format('max_attempts is %s, must be 1 to 1000', coalesce(max_attempts::text, 'NULL'))
        WHEN run_at IS NULL OR run_at < '1970-01-01 00:00:00+00' OR run_at >= '9999-01-01 00:00:00+00'
            THEN 'run_at must lie between the years 1970 and 9999'
        WHEN headers IS NOT NULL AND jsonb_typeof(headers) <> 'object'
            THEN 'headers must be a JSON object'
        WHEN octet_length(headers::text) > 8192
            THEN format('headers has %s bytes, must have at most 8192', octet_length(headers::text))
        WHEN octet_length(payload::text) + coalesce(octet_length(headers::text), 0) > 262144
            THEN format('payload has %s bytes, must have at most 262144 together with its headers', octet_length(payload::text))
    END
$$;
-- +goose StatementEnd

-- pglz takes 1 µs a job to compress the ids of a batch, and lz4 a tenth of it. A Postgres that was
-- built without it goes on with pglz.
-- +goose StatementBegin
DO $$
BEGIN
    ALTER TABLE outbox.dispatches ALTER COLUMN job_ids SET COMPRESSION lz4;
EXCEPTION
    WHEN feature_not_supported OR invalid_parameter_value THEN NULL;
END $$;
-- +goose StatementEnd

-- Without SET search_path, which costs some 20 µs a call: so every name and every operator in them
-- says that it is pg_catalog's, whatever the caller's search_path. Both run with their
-- owner's rights.
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

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION outbox.wake() RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $$
BEGIN
    IF pg_catalog.current_setting('outbox.wake', true) OPERATOR(pg_catalog.=) 'off' THEN
        RETURN false;
    END IF;
    IF pg_catalog.pg_try_advisory_lock_shared(1380928331, 1) AND pg_catalog.pg_advisory_unlock_shared(1380928331, 1) THEN
        PERFORM pg_catalog.pg_notify('outbox', '');
        RETURN true;
    ELSIF NOT (pg_catalog.pg_try_advisory_lock_shared(1380928331, 2) AND pg_catalog.pg_advisory_unlock_shared(1380928331, 2)) THEN
        PERFORM pg_catalog.pg_logical_emit_message(true, 'outbox', '');
        RETURN true;
    END IF;
    RETURN false;
END $$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION outbox.wake() RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF current_setting('outbox.wake', true) = 'off' THEN
        RETURN false;
    END IF;
    IF pg_try_advisory_lock_shared(1380928331, 1) AND pg_advisory_unlock_shared(1380928331, 1) THEN
        PERFORM pg_notify('outbox', '');
        RETURN true;
    ELSIF NOT (pg_try_advisory_lock_shared(1380928331, 2) AND pg_advisory_unlock_shared(1380928331, 2)) THEN
        PERFORM pg_logical_emit_message(true, 'outbox', '');
        RETURN true;
    END IF;
    RETURN false;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION outbox.jobs_inserted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    due  bigint;
    soon boolean;
BEGIN
    INSERT INTO outbox.ready (queue_name, priority, job_id, size)
    SELECT queue_name, priority, id, size
    FROM new_jobs
    WHERE status = 'queued' AND run_at <= now();
    GET DIAGNOSTICS due = ROW_COUNT;

    INSERT INTO outbox.scheduled (run_at, job_id, queue_name, priority, size)
    SELECT run_at, id, queue_name, priority, size
    FROM new_jobs
    WHERE status = 'queued' AND run_at > now();
    -- A relay sets its timer anew at least every second, so only a job due within
    -- two seconds must tell it.
    IF FOUND THEN
        soon := EXISTS (SELECT FROM new_jobs WHERE status = 'queued' AND run_at > now() AND run_at <= now() + interval '2 seconds');
    END IF;

    IF due > 0 OR soon THEN
        PERFORM outbox.wake();
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd

ALTER TABLE outbox.dispatches ALTER COLUMN job_ids SET COMPRESSION default;
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION outbox.problem(queue_name text, kind text, payload jsonb, priority integer, run_at timestamptz, max_attempts integer, headers jsonb) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE
        WHEN queue_name IS NULL OR queue_name !~ '^[A-Za-z0-9_.:-]{1,100}$'
            THEN 'queue_name must have 1 to 100 letters, digits and _ . : -'
        WHEN kind IS NULL OR char_length(kind) > 200
            THEN format('kind has %s characters, must have at most 200', coalesce(char_length(kind)::text, 'no'))
        WHEN payload IS NULL
            THEN 'payload must not be NULL'
        WHEN priority IS NULL OR priority NOT BETWEEN 0 AND 1000
            THEN format('priority is %s, must be 0 to 1000', coalesce(priority::text, 'NULL'))
        WHEN max_attempts IS NULL OR max_attempts NOT BETWEEN 1 AND 1000
            THEN format('max_attempts is %s, must be 1 to 1000', coalesce(max_attempts::text, 'NULL'))
        WHEN run_at IS NULL OR run_at < '1970-01-01 00:00:00+00' OR run_at >= '9999-01-01 00:00:00+00'
            THEN 'run_at must lie between the years 1970 and 9999'
        WHEN headers IS NOT NULL AND jsonb_typeof(headers) <> 'object'
            THEN 'headers must be a JSON object'
        WHEN octet_length(headers::text) > 8192
            THEN format('headers has %s bytes, must have at most 8192', octet_length(headers::text))
        WHEN octet_length(payload::text) + coalesce(octet_length(headers::text), 0) > 262144
            THEN format('payload has %s bytes, must have at most 262144 together with its headers', octet_length(payload::text))
    END
$$;
-- +goose StatementEnd

ALTER TABLE outbox.queues
    DROP CONSTRAINT queues_name_is_1_to_100_of_letters_digits_and_dot_dash,
    ADD CONSTRAINT queues_name_is_1_to_100_of_letters_digits_and_dot_dash CHECK (name ~ '^[A-Za-z0-9_.:-]{1,100}$');
-- +goose StatementBegin
DO $$
BEGIN
    ALTER TABLE outbox.jobs
        ALTER COLUMN queue_name TYPE text,
        ALTER COLUMN kind TYPE text,
        ALTER COLUMN priority TYPE smallint,
        ALTER COLUMN status TYPE text,
        ALTER COLUMN max_attempts TYPE smallint,
        ALTER COLUMN run_at TYPE timestamptz,
        ALTER COLUMN size TYPE integer,
        ADD CONSTRAINT jobs_queue_name_is_1_to_100_of_letters_digits_and_dot_dash CHECK (queue_name ~ '^[A-Za-z0-9_.:-]{1,100}$'),
        ADD CONSTRAINT jobs_kind_has_at_most_200_characters CHECK (char_length(kind) <= 200),
        ADD CONSTRAINT jobs_priority_is_0_to_1000 CHECK (priority BETWEEN 0 AND 1000),
        ADD CONSTRAINT jobs_status_is_known CHECK (status IN ('queued', 'dispatched', 'running', 'completed', 'dead', 'cancelled')),
        ADD CONSTRAINT jobs_max_attempts_is_1_to_1000 CHECK (max_attempts BETWEEN 1 AND 1000),
        ADD CONSTRAINT jobs_run_at_is_between_years_1970_and_9999 CHECK (run_at >= '1970-01-01 00:00:00+00' AND run_at < '9999-01-01 00:00:00+00'),
        ADD CONSTRAINT jobs_payload_has_at_most_262144_bytes CHECK (size <= 262144);
END $$;
-- +goose StatementEnd
DROP DOMAIN outbox.queue_name, outbox.kind, outbox.priority, outbox.status, outbox.max_attempts, outbox.moment, outbox.byte_size;
