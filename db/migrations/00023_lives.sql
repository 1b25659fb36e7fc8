-- +goose Up

-- The life of a process: a number that it draws when it starts. What people told a
-- process of the same name before, such as to take no more jobs, was said to another life: in
-- a container every process has pid 1, and often the host's name again. 0: a version of before,
-- or a relay, which nobody tells anything.
ALTER TABLE outbox.processes ADD COLUMN life bigint NOT NULL DEFAULT 0;

-- purge_many is cancel_many for what waits: a job that is found waiting and has begun to run
-- when its row is locked runs on. Locks ready, scheduled, then jobs, each in the order of ids.
-- +goose StatementBegin
CREATE FUNCTION outbox.purge_many(ids bigint[]) RETURNS SETOF bigint
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
        WHERE j.id = ANY (ids) AND j.status IN ('queued', 'dispatched')
        ORDER BY j.id
        FOR NO KEY UPDATE
    LOOP
        -- arrow: queued dispatched -cancel-> cancelled
        UPDATE outbox.jobs AS j
        SET status = 'cancelled', finished_at = now()
        WHERE j.id = known.id AND j.status IN ('queued', 'dispatched');
        CONTINUE WHEN NOT FOUND;
        IF known.status = 'dispatched' THEN
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

-- Relays delete operations that have been over for long. What people did stays in the audit.
-- +goose StatementBegin
DO $$
DECLARE
    part text;
BEGIN
    REVOKE ALL ON FUNCTION outbox.purge_many(bigint[]) FROM PUBLIC;
    FOR part IN SELECT rolname FROM pg_catalog.pg_roles WHERE rolname IN ('rookery_server', 'rookery_api') LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION outbox.purge_many(bigint[]) TO %I', part);
    END LOOP;
    FOR part IN SELECT rolname FROM pg_catalog.pg_roles WHERE rolname IN ('rookery_server', 'rookery_relay') LOOP
        EXECUTE format('GRANT SELECT (id, status, finished_at), DELETE ON outbox.operations TO %I', part);
    END LOOP;
END $$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'rookery_server') THEN
        REVOKE DELETE ON outbox.operations FROM rookery_server;
    END IF;
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'rookery_relay') THEN
        REVOKE SELECT (id, status, finished_at), DELETE ON outbox.operations FROM rookery_relay;
    END IF;
END $$;
-- +goose StatementEnd
DROP FUNCTION outbox.purge_many(bigint[]);
ALTER TABLE outbox.processes DROP COLUMN life;
