-- +goose Up

-- delete forgets a job that is over, with its attempts and its dead letter, and
-- reports whether it did; false: the job is on its way. Raises P0002 when there is no
-- such job. It runs with its owner's rights, so that those who may call it can delete
-- no other job. Locks the job's row; cancel orders stay for who still has to be told.
-- +goose StatementBegin
CREATE FUNCTION outbox.delete(id bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    was text;
BEGIN
    -- A first look without the lock: a job that runs is not to wait for this.
    SELECT j.status INTO was FROM outbox.jobs AS j WHERE j.id = $1;
    IF FOUND AND was NOT IN ('completed', 'dead', 'cancelled') THEN
        RETURN false;
    END IF;
    SELECT j.status INTO was FROM outbox.jobs AS j WHERE j.id = $1 FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'no_data_found', MESSAGE = format('no job has id %s', $1);
    END IF;
    IF was NOT IN ('completed', 'dead', 'cancelled') THEN
        RETURN false; -- somebody has redriven it meanwhile
    END IF;
    DELETE FROM outbox.attempts AS a WHERE a.job_id = $1;
    DELETE FROM outbox.dead_letters AS d WHERE d.job_id = $1;
    DELETE FROM outbox.jobs AS j WHERE j.id = $1;
    RETURN true;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
DO $$
DECLARE
    part text;
BEGIN
    REVOKE ALL ON FUNCTION outbox.delete(bigint) FROM PUBLIC;
    FOR part IN SELECT rolname FROM pg_catalog.pg_roles WHERE rolname IN ('rookery_server', 'rookery_api') LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION outbox.delete(bigint) TO %I', part);
    END LOOP;
END $$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION outbox.delete(bigint);
