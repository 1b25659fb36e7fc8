-- +goose Up

-- What somebody does to many jobs at once: an operation goes through the jobs that its
-- filter finds, a batch at a time. A batch's changes and the place it came to are
-- written in one transaction, so that whoever goes on after a crash does nothing twice
-- and forgets nothing. holder is the process that works at it, until lease_until; the
-- lease only keeps others from waiting at the row, whose lock is what they exclude each
-- other by. Rows are kept: people make them, not jobs.
CREATE TABLE outbox.operations (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    action      text        NOT NULL,
    filter      jsonb       NOT NULL,
    status      text        NOT NULL DEFAULT 'running',
    principal   text        NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    error       text        NOT NULL DEFAULT '',
    -- Jobs that were found, changed, and found but not changed: another was first.
    matched     bigint      NOT NULL DEFAULT 0,
    done        bigint      NOT NULL DEFAULT 0,
    failed      bigint      NOT NULL DEFAULT 0,
    -- Where to go on: which of its lists, and behind which place there. Jobs with ids above
    -- up_to_id were inserted later, and are none of its business.
    up_to_id    bigint      NOT NULL,
    walk        smallint    NOT NULL DEFAULT 0,
    place       jsonb,
    holder      text        NOT NULL DEFAULT '',
    lease_until timestamptz NOT NULL DEFAULT '-infinity',
    CONSTRAINT operations_action_is_known CHECK (action IN ('cancel', 'redrive', 'delete', 'purge')),
    CONSTRAINT operations_status_is_known CHECK (status IN ('running', 'completed', 'cancelled', 'failed')),
    CONSTRAINT operations_filter_is_an_object_of_at_most_4096_bytes CHECK (jsonb_typeof(filter) = 'object' AND octet_length(filter::text) <= 4096),
    CONSTRAINT operations_principal_has_1_to_200_characters CHECK (char_length(principal) BETWEEN 1 AND 200)
) WITH (fillfactor = 50);
CREATE INDEX operations_running ON outbox.operations (id) WHERE status = 'running';

-- cancel_many is cancel for up to 1000 jobs, and returns the ids of those it called off.
-- Ids of no job are passed over. Locks ready, scheduled, then jobs, each in the order of ids.
-- +goose StatementBegin
CREATE FUNCTION outbox.cancel_many(ids bigint[]) RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    known record;
    done  bigint[];
    told  boolean;
BEGIN
    IF cardinality(ids) > 1000 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('%s ids, must be at most 1000', cardinality(ids));
    END IF;
    FOR known IN
        SELECT j.id, j.queue_name, j.priority, j.run_at FROM outbox.jobs AS j WHERE j.id = ANY (ids) ORDER BY j.id
    LOOP
        DELETE FROM outbox.ready AS r
        WHERE r.queue_name = known.queue_name AND r.priority = -1 AND r.job_id = known.id;
        DELETE FROM outbox.ready AS r
        WHERE r.queue_name = known.queue_name AND r.priority = known.priority AND r.job_id = known.id;
    END LOOP;
    FOR known IN
        SELECT j.id, j.run_at FROM outbox.jobs AS j WHERE j.id = ANY (ids) ORDER BY j.id
    LOOP
        DELETE FROM outbox.scheduled AS s
        WHERE s.run_at = known.run_at AND s.job_id = known.id;
    END LOOP;

    told := false;
    FOR known IN
        SELECT j.id, j.queue_name, j.status, j.dispatch_id
        FROM outbox.jobs AS j
        WHERE j.id = ANY (ids) AND j.status IN ('queued', 'dispatched', 'running')
        ORDER BY j.id
        FOR NO KEY UPDATE
    LOOP
        -- arrow: queued dispatched running -cancel-> cancelled
        UPDATE outbox.jobs AS j
        SET status = 'cancelled', finished_at = now()
        WHERE j.id = known.id AND j.status IN ('queued', 'dispatched', 'running');
        CONTINUE WHEN NOT FOUND;
        IF known.status IN ('dispatched', 'running') THEN
            INSERT INTO outbox.cancels (job_id, dispatch_id, queue_name)
            VALUES (known.id, known.dispatch_id, known.queue_name)
            ON CONFLICT DO NOTHING;
            told := true;
        END IF;
        done := done || known.id;
        RETURN NEXT known.id;
    END LOOP;
    PERFORM outbox.note(done);
    IF told THEN
        PERFORM outbox.wake();
    END IF;
END $$;
-- +goose StatementEnd

-- redrive_many is redrive for up to 1000 jobs, and returns the ids of those it sent
-- again. Locks ready, then jobs, each in the order of ids.
-- +goose StatementBegin
CREATE FUNCTION outbox.redrive_many(ids bigint[]) RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    known record;
    over  bigint[];
    done  bigint[];
BEGIN
    IF cardinality(ids) > 1000 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('%s ids, must be at most 1000', cardinality(ids));
    END IF;
    FOR known IN
        SELECT j.id, j.queue_name, j.priority, outbox.size_of(j.payload, j.headers) AS size
        FROM outbox.jobs AS j
        WHERE j.id = ANY (ids) AND j.status IN ('dead', 'cancelled', 'completed')
        ORDER BY j.id
    LOOP
        over := over || known.id; -- what ends after this has no row in ready, and is left alone
        DELETE FROM outbox.ready AS r
        WHERE r.queue_name = known.queue_name AND r.priority = -1 AND r.job_id = known.id;
        DELETE FROM outbox.ready AS r
        WHERE r.queue_name = known.queue_name AND r.priority = known.priority AND r.job_id = known.id;
        INSERT INTO outbox.ready (queue_name, priority, job_id, size)
        VALUES (known.queue_name, known.priority, known.id, known.size)
        ON CONFLICT DO NOTHING;
    END LOOP;

    FOR known IN
        SELECT j.id
        FROM outbox.jobs AS j
        WHERE j.id = ANY (over) AND j.status IN ('dead', 'cancelled', 'completed')
        ORDER BY j.id
        FOR NO KEY UPDATE
    LOOP
        -- arrow: dead cancelled completed -redrive-> queued
        UPDATE outbox.jobs AS j
        SET status = 'queued', failure_count = 0, lost_count = 0, run_at = now(), started_at = NULL, finished_at = NULL
        WHERE j.id = known.id AND j.status IN ('dead', 'cancelled', 'completed');
        CONTINUE WHEN NOT FOUND; -- another redrive was first; its row or ours dies at the claim's guard
        DELETE FROM outbox.dead_letters AS d WHERE d.job_id = known.id;
        done := done || known.id;
        RETURN NEXT known.id;
    END LOOP;
    PERFORM outbox.note(done);
    IF done IS NOT NULL THEN
        PERFORM outbox.wake();
    END IF;
END $$;
-- +goose StatementEnd

-- delete_many is delete for up to 1000 jobs, and returns the ids of those that are gone.
-- It runs with its owner's rights, as delete does. Locks jobs in the order of ids.
-- +goose StatementBegin
CREATE FUNCTION outbox.delete_many(ids bigint[]) RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    done bigint[];
BEGIN
    IF cardinality(ids) > 1000 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('%s ids, must be at most 1000', cardinality(ids));
    END IF;
    -- What is on its way is not waited for; what is redriven while we wait is not over.
    SELECT array_agg(over.id) INTO done
    FROM (
        SELECT j.id
        FROM outbox.jobs AS j
        WHERE j.id = ANY (ids) AND j.status IN ('completed', 'dead', 'cancelled')
        ORDER BY j.id
        FOR UPDATE
    ) AS over;
    DELETE FROM outbox.attempts AS a WHERE a.job_id = ANY (done);
    DELETE FROM outbox.dead_letters AS d WHERE d.job_id = ANY (done);
    RETURN QUERY DELETE FROM outbox.jobs AS j WHERE j.id = ANY (done) RETURNING j.id;
END $$;
-- +goose StatementEnd

-- How long a queue's jobs that are over are kept, where it differs from what the relays say:
-- completed and cancelled ones, and dead ones. NULL: as the relays say; 0: for ever.
ALTER TABLE outbox.queues
    ADD COLUMN retention_seconds      bigint CONSTRAINT queues_retention_is_0_or_a_minute_to_10_years CHECK (retention_seconds = 0 OR retention_seconds BETWEEN 60 AND 315360000),
    ADD COLUMN retention_dead_seconds bigint CONSTRAINT queues_retention_dead_is_0_or_a_minute_to_10_years CHECK (retention_dead_seconds = 0 OR retention_dead_seconds BETWEEN 60 AND 315360000);

-- A worker that is to take no more jobs: people say so here, and it reads it with its beat.
ALTER TABLE outbox.processes ADD COLUMN quiet boolean NOT NULL DEFAULT false;

-- +goose StatementBegin
DO $$
DECLARE
    part text;
BEGIN
    REVOKE ALL ON FUNCTION outbox.cancel_many(bigint[]), outbox.redrive_many(bigint[]), outbox.delete_many(bigint[]) FROM PUBLIC;
    FOR part IN SELECT rolname FROM pg_catalog.pg_roles WHERE rolname IN ('rookery_server', 'rookery_api') LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION outbox.cancel_many(bigint[]), outbox.redrive_many(bigint[]), outbox.delete_many(bigint[]) TO %I', part);
        EXECUTE format('GRANT SELECT, INSERT (action, filter, principal, up_to_id, holder, lease_until),
            UPDATE (status, finished_at, error, matched, done, failed, walk, place, holder, lease_until) ON outbox.operations TO %I', part);
        EXECUTE format('GRANT UPDATE (quiet) ON outbox.processes TO %I', part);
        EXECUTE format('GRANT INSERT (retention_seconds, retention_dead_seconds), UPDATE (retention_seconds, retention_dead_seconds) ON outbox.queues TO %I', part);
    END LOOP;
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'rookery_readonly') THEN
        GRANT SELECT ON outbox.operations TO rookery_readonly;
    END IF;
END $$;
-- +goose StatementEnd

-- +goose Down
-- (A dropped column would keep its grants.)
-- +goose StatementBegin
DO $$
DECLARE
    part text;
BEGIN
    FOR part IN SELECT rolname FROM pg_catalog.pg_roles WHERE rolname IN ('rookery_server', 'rookery_api') LOOP
        EXECUTE format('REVOKE UPDATE (quiet) ON outbox.processes FROM %I', part);
        EXECUTE format('REVOKE INSERT (retention_seconds, retention_dead_seconds), UPDATE (retention_seconds, retention_dead_seconds) ON outbox.queues FROM %I', part);
    END LOOP;
END $$;
-- +goose StatementEnd
ALTER TABLE outbox.processes DROP COLUMN quiet;
ALTER TABLE outbox.queues DROP COLUMN retention_seconds, DROP COLUMN retention_dead_seconds;
DROP FUNCTION outbox.cancel_many(bigint[]), outbox.redrive_many(bigint[]), outbox.delete_many(bigint[]);
DROP TABLE outbox.operations;
