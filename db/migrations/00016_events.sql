-- +goose Up

-- Events: what became of jobs, for those who listen. docs/adr/0014-events.md has why.
--
-- The statements that end an attempt, or a job, note which jobs they changed: one row a
-- statement, however many jobs, and none while the gate is shut, which is whenever
-- nobody has listened lately. A row is not to be found by its id or time, which are drawn
-- before it is committed, but by its transaction: readers ask for those that an earlier
-- snapshot did not see.
CREATE TABLE outbox.events (
    tx             bigint      NOT NULL DEFAULT (pg_current_xact_id()::text::bigint),
    id             bigint      GENERATED ALWAYS AS IDENTITY,
    at             timestamptz NOT NULL DEFAULT now(),
    job_ids        bigint[]    NOT NULL,
    statuses       text[],    -- of each; NULL: all completed
    attempt_counts integer[], -- of each; NULL: those of the jobs' rows
    PRIMARY KEY (tx, id)
);

-- The gate, one row. opening counts how often it was opened after it had been shut:
-- what happened in between was not noted. The mark is the snapshot that was the present one
-- at mark_at. When it is old enough, pruned_at becomes mark_at, so that who stopped reading
-- before learns of it; a minute later, when no reader is still on a page, what the mark
-- sees is deleted.
CREATE TABLE outbox.event_gate (
    one        boolean     PRIMARY KEY DEFAULT true CONSTRAINT event_gate_has_one_row CHECK (one),
    open_until timestamptz NOT NULL DEFAULT '-infinity',
    keep_until timestamptz NOT NULL DEFAULT '-infinity', -- until then rows are kept for job.EventsKeptLong
    opening    bigint      NOT NULL DEFAULT 0,
    opened_at  timestamptz NOT NULL DEFAULT '-infinity',
    mark       text        NOT NULL DEFAULT pg_current_snapshot()::text,
    mark_at    timestamptz NOT NULL DEFAULT now(),
    pruned_at  timestamptz NOT NULL DEFAULT now(),
    warned_at  timestamptz -- since when pruned_at has said that the mark is to go
) WITH (fillfactor = 50);
INSERT INTO outbox.event_gate DEFAULT VALUES;

-- As the ledger's job_ids (00010): lz4 where Postgres has it.
-- +goose StatementBegin
DO $$
BEGIN
    ALTER TABLE outbox.events ALTER COLUMN job_ids SET COMPRESSION lz4;
EXCEPTION
    WHEN feature_not_supported OR invalid_parameter_value THEN NULL;
END $$;
-- +goose StatementEnd

-- note is what the functions below say of jobs that they have changed: the status that
-- they have now. It runs with its owner's rights, and can say nothing that is not so.
-- +goose StatementBegin
CREATE FUNCTION outbox.note(ids bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF (SELECT g.open_until > now() FROM outbox.event_gate AS g WHERE g.one) THEN
        INSERT INTO outbox.events (job_ids, statuses, attempt_counts)
        SELECT array_agg(j.id), array_agg(j.status::text), array_agg(j.attempt_count)
        FROM outbox.jobs AS j
        WHERE j.id = ANY (ids)
        HAVING count(*) > 0;
    END IF;
END $$;
-- +goose StatementEnd

-- As in 00002, and it notes.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION outbox.cancel(id bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    known outbox.jobs%ROWTYPE;
    was   text;
BEGIN
    SELECT j.* INTO known FROM outbox.jobs AS j WHERE j.id = cancel.id;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'no_data_found', MESSAGE = format('no job has id %s', id);
    END IF;
    -- Two probes by the whole key: "priority IN" may read the queue's whole backlog.
    DELETE FROM outbox.ready AS r
    WHERE r.queue_name = known.queue_name AND r.priority = -1 AND r.job_id = known.id;
    DELETE FROM outbox.ready AS r
    WHERE r.queue_name = known.queue_name AND r.priority = known.priority AND r.job_id = known.id;
    DELETE FROM outbox.scheduled AS s
    WHERE s.run_at = known.run_at AND s.job_id = known.id;

    SELECT j.status, j.dispatch_id INTO was, known.dispatch_id FROM outbox.jobs AS j WHERE j.id = known.id FOR NO KEY UPDATE;
    -- arrow: queued dispatched running -cancel-> cancelled
    UPDATE outbox.jobs AS j
    SET status = 'cancelled', finished_at = now()
    WHERE j.id = known.id AND j.status IN ('queued', 'dispatched', 'running');
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM outbox.note(ARRAY[known.id]);
    IF was IN ('dispatched', 'running') THEN
        INSERT INTO outbox.cancels (job_id, dispatch_id, queue_name)
        VALUES (known.id, known.dispatch_id, known.queue_name)
        ON CONFLICT DO NOTHING;
        PERFORM outbox.wake();
    END IF;
    RETURN true;
END $$;
-- +goose StatementEnd

-- As in 00011, and it notes.
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
    PERFORM outbox.note(ARRAY[known.id]);
    PERFORM outbox.wake();
    RETURN true;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
DO $$
DECLARE
    part text;
BEGIN
    REVOKE ALL ON FUNCTION outbox.note(bigint[]) FROM PUBLIC;
    -- Whoever may call a job off may say so.
    FOR part IN
        SELECT r.rolname
        FROM pg_catalog.pg_proc AS p
        CROSS JOIN LATERAL aclexplode(p.proacl) AS a
        JOIN pg_catalog.pg_roles AS r ON r.oid = a.grantee
        WHERE p.oid = 'outbox.cancel(bigint)'::regprocedure AND a.privilege_type = 'EXECUTE' AND a.grantee <> p.proowner
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION outbox.note(bigint[]) TO %I', part);
    END LOOP;
    FOR part IN SELECT rolname FROM pg_catalog.pg_roles WHERE rolname IN ('rookery_server', 'rookery_relay', 'rookery_worker') LOOP
        EXECUTE format('GRANT INSERT ON outbox.events TO %I', part);
        EXECUTE format('GRANT SELECT ON outbox.event_gate TO %I', part);
    END LOOP;
    FOR part IN SELECT rolname FROM pg_catalog.pg_roles WHERE rolname IN ('rookery_server', 'rookery_relay') LOOP
        EXECUTE format('GRANT SELECT, DELETE ON outbox.events TO %I', part);
        EXECUTE format('GRANT UPDATE (mark, mark_at, pruned_at, warned_at) ON outbox.event_gate TO %I', part);
    END LOOP;
    FOR part IN SELECT rolname FROM pg_catalog.pg_roles WHERE rolname IN ('rookery_server', 'rookery_api') LOOP
        EXECUTE format('GRANT SELECT ON outbox.events, outbox.event_gate TO %I', part);
        EXECUTE format('GRANT UPDATE (open_until, keep_until, opening, opened_at) ON outbox.event_gate TO %I', part);
    END LOOP;
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'rookery_readonly') THEN
        GRANT SELECT ON outbox.events, outbox.event_gate TO rookery_readonly;
    END IF;
END $$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION outbox.cancel(id bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    known outbox.jobs%ROWTYPE;
    was   text;
BEGIN
    SELECT j.* INTO known FROM outbox.jobs AS j WHERE j.id = cancel.id;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'no_data_found', MESSAGE = format('no job has id %s', id);
    END IF;
    -- Two probes by the whole key: "priority IN" may read the queue's whole backlog.
    DELETE FROM outbox.ready AS r
    WHERE r.queue_name = known.queue_name AND r.priority = -1 AND r.job_id = known.id;
    DELETE FROM outbox.ready AS r
    WHERE r.queue_name = known.queue_name AND r.priority = known.priority AND r.job_id = known.id;
    DELETE FROM outbox.scheduled AS s
    WHERE s.run_at = known.run_at AND s.job_id = known.id;

    SELECT j.status, j.dispatch_id INTO was, known.dispatch_id FROM outbox.jobs AS j WHERE j.id = known.id FOR NO KEY UPDATE;
    -- arrow: queued dispatched running -cancel-> cancelled
    UPDATE outbox.jobs AS j
    SET status = 'cancelled', finished_at = now()
    WHERE j.id = known.id AND j.status IN ('queued', 'dispatched', 'running');
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF was IN ('dispatched', 'running') THEN
        INSERT INTO outbox.cancels (job_id, dispatch_id, queue_name)
        VALUES (known.id, known.dispatch_id, known.queue_name)
        ON CONFLICT DO NOTHING;
        PERFORM outbox.wake();
    END IF;
    RETURN true;
END $$;
-- +goose StatementEnd

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

DROP FUNCTION outbox.note(bigint[]);
DROP TABLE outbox.event_gate;
DROP TABLE outbox.events;
