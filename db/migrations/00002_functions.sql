-- +goose Up

-- wake tells a sleeping relay that there is something to claim, and reports
-- whether it did. NOTIFY takes a database-wide lock through commit (14,000
-- inserts/s fall to 3,000), so it is sent only while no relay is awake: an awake
-- relay holds advisory lock (1380928331, 1) = 'ROOK' exclusively.
-- The lock is tried and given back at once: kept to commit, one long producer
-- transaction would hold the gate open for everybody.
-- Key (1380928331, 2) is kept for "somebody tails the WAL".
-- SET LOCAL outbox.wake = 'off' is for two-phase producers: PREPARE refuses a
-- transaction that has notified.
-- +goose StatementBegin
CREATE FUNCTION outbox.wake() RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF current_setting('outbox.wake', true) = 'off' THEN
        RETURN false;
    END IF;
    IF pg_try_advisory_lock_shared(1380928331, 1) AND pg_advisory_unlock_shared(1380928331, 1) THEN
        PERFORM pg_notify('outbox', '');
        RETURN true;
    END IF;
    RETURN false;
END $$;
-- +goose StatementEnd

-- jobs_inserted files new jobs where the relay looks for them. It is a statement
-- trigger: one run for a COPY of a million rows.
-- +goose StatementBegin
CREATE FUNCTION outbox.jobs_inserted() RETURNS trigger
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

CREATE TRIGGER jobs_inserted
AFTER INSERT ON outbox.jobs
REFERENCING NEW TABLE AS new_jobs
FOR EACH STATEMENT EXECUTE FUNCTION outbox.jobs_inserted();

-- problem says what is wrong with a job that somebody wants to insert, or NULL.
-- The CHECKs of outbox.jobs are the law; this puts it into words.
-- +goose StatementBegin
CREATE FUNCTION outbox.problem(queue_name text, kind text, payload jsonb, priority integer, run_at timestamptz, max_attempts integer, headers jsonb) RETURNS text
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

-- enqueue inserts one job and returns its id. Bad input raises SQLSTATE 23514
-- (check_violation) with the field and its limit.
--   SELECT outbox.enqueue('welcome', '{"to": "a@b.c"}', queue_name => 'email:processing');
-- +goose StatementBegin
CREATE FUNCTION outbox.enqueue(
    kind         text        DEFAULT '',
    payload      jsonb       DEFAULT '{}',
    queue_name   text        DEFAULT 'default',
    priority     integer     DEFAULT 100,
    run_at       timestamptz DEFAULT now(),
    max_attempts integer     DEFAULT 25,
    headers      jsonb       DEFAULT NULL
) RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    problem text := outbox.problem(queue_name, kind, payload, priority, run_at, max_attempts, headers);
    new_id  bigint;
BEGIN
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'check_violation', MESSAGE = problem, SCHEMA = 'outbox', TABLE = 'jobs', COLUMN = split_part(problem, ' ', 1);
    END IF;
    INSERT INTO outbox.jobs AS j (kind, payload, queue_name, priority, run_at, max_attempts, headers)
    VALUES (enqueue.kind, enqueue.payload, enqueue.queue_name, enqueue.priority, enqueue.run_at, enqueue.max_attempts, enqueue.headers)
    RETURNING j.id INTO new_id;
    RETURN new_id;
END $$;
-- +goose StatementEnd

-- misfit says what is wrong with the shape of one element of enqueue_many, or NULL:
-- a field that is unknown or of another type. null stands for a field's default.
-- +goose StatementBegin
CREATE FUNCTION outbox.misfit(element jsonb) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE
        WHEN jsonb_typeof(element) <> 'object' THEN 'must be an object'
        ELSE (
            SELECT CASE
                WHEN wanted.type IS NULL THEN format('%s is not a field of a job', given.key)
                ELSE format('%s must be %s', given.key, wanted.words)
            END
            FROM jsonb_each(CASE WHEN jsonb_typeof(element) = 'object' THEN element ELSE '{}' END) AS given (key, value)
            LEFT JOIN (VALUES
                ('kind', 'string', 'a string'), ('queue_name', 'string', 'a string'), ('run_at', 'string', 'a time such as "2026-11-23T15:04:05Z"'),
                ('priority', 'number', 'a whole number from 0 to 1000'), ('max_attempts', 'number', 'a whole number from 1 to 1000'),
                ('headers', 'object', 'a JSON object'), ('payload', '', '')
            ) AS wanted (key, type, words) USING (key)
            WHERE wanted.type IS NULL
               OR wanted.type <> '' AND jsonb_typeof(given.value) <> 'null' AND jsonb_typeof(given.value) <> wanted.type
               OR wanted.type = 'number' AND given.value::text !~ '^(null|-?[0-9]{1,9})$'
               -- Stricter than Postgres: what the cast finds wrong names neither job nor field.
               OR given.key = 'run_at' AND given.value::text !~ '^(null|"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])([ T]([01][0-9]|2[0-3]):[0-5][0-9](:([0-5][0-9]|60)([.][0-9]{1,9})?)?)? ?(Z|[+-](0[0-9]|1[0-5])(:?[0-5][0-9])?)?")$'
            ORDER BY given.key
            LIMIT 1)
    END
$$;
-- +goose StatementEnd

-- enqueue_many inserts all jobs of a JSON array of objects, or none, and returns
-- their ids in its order. Bad input raises 23514 and names the element.
--   SELECT outbox.enqueue_many('[{"kind": "welcome", "payload": {"to": "a@b.c"}}, {"kind": "bill", "priority": 20}]');
-- +goose StatementBegin
CREATE FUNCTION outbox.enqueue_many(jobs jsonb) RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    wrong text;
    field text;
BEGIN
    IF jobs IS NULL OR jsonb_typeof(jobs) <> 'array' THEN
        RAISE EXCEPTION USING ERRCODE = 'check_violation', MESSAGE = 'jobs must be a JSON array of objects';
    END IF;
    SELECT format('jobs[%s] %s', element.place - 1, outbox.misfit(element.value))
    INTO wrong
    FROM jsonb_array_elements(jobs) WITH ORDINALITY AS element (value, place)
    WHERE outbox.misfit(element.value) IS NOT NULL
    ORDER BY element.place
    LIMIT 1;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'check_violation', MESSAGE = wrong, SCHEMA = 'outbox', TABLE = 'jobs', COLUMN = split_part(wrong, ' ', 2);
    END IF;

    SELECT format('jobs[%s] %s', given.place - 1, given.problem), split_part(given.problem, ' ', 1)
    INTO wrong, field
    FROM (
        SELECT e.place, outbox.problem(e.queue_name, e.kind, e.payload, e.priority, e.run_at, e.max_attempts, e.headers) AS problem
        FROM outbox.jobs_of(jobs) AS e
    ) AS given
    WHERE given.problem IS NOT NULL
    ORDER BY given.place
    LIMIT 1;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'check_violation', MESSAGE = wrong, SCHEMA = 'outbox', TABLE = 'jobs', COLUMN = field;
    END IF;

    RETURN QUERY
    INSERT INTO outbox.jobs AS j (kind, payload, queue_name, priority, run_at, max_attempts, headers)
    SELECT e.kind, e.payload, e.queue_name, e.priority, e.run_at, e.max_attempts, e.headers
    FROM outbox.jobs_of(jobs) AS e
    ORDER BY e.place
    RETURNING j.id;
END $$;
-- +goose StatementEnd

-- jobs_of reads a JSON array of jobs as rows, with the defaults filled in.
-- +goose StatementBegin
CREATE FUNCTION outbox.jobs_of(jobs jsonb)
RETURNS TABLE (place bigint, kind text, payload jsonb, queue_name text, priority integer, run_at timestamptz, max_attempts integer, headers jsonb)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT e.place,
        coalesce(e.value ->> 'kind', ''),
        coalesce(e.value -> 'payload', '{}'),
        coalesce(e.value ->> 'queue_name', 'default'),
        coalesce((e.value ->> 'priority')::integer, 100),
        coalesce((e.value ->> 'run_at')::timestamptz, now()),
        coalesce((e.value ->> 'max_attempts')::integer, 25),
        CASE WHEN jsonb_typeof(e.value -> 'headers') <> 'null' THEN e.value -> 'headers' END
    FROM jsonb_array_elements(jobs) WITH ORDINALITY AS e (value, place)
$$;
-- +goose StatementEnd

-- cancel calls a job off and reports whether it did; false: the job was over.
-- A running handler's context ends within 5 s. Raises P0002 when there is no such
-- job. Locks ready, scheduled, then jobs.
-- +goose StatementBegin
CREATE FUNCTION outbox.cancel(id bigint) RETURNS boolean
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

-- redrive sends a dead, cancelled or completed job again, with its counts reset,
-- and reports whether it did; false: the job is still on its way. Raises P0002
-- when there is no such job. Locks ready, then jobs.
-- +goose StatementBegin
CREATE FUNCTION outbox.redrive(id bigint) RETURNS boolean
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

-- +goose Down
DROP TRIGGER jobs_inserted ON outbox.jobs;
DROP FUNCTION outbox.jobs_inserted(), outbox.redrive(bigint), outbox.cancel(bigint), outbox.enqueue_many(jsonb), outbox.jobs_of(jsonb), outbox.misfit(jsonb),
    outbox.enqueue(text, jsonb, text, integer, timestamptz, integer, jsonb),
    outbox.problem(text, text, jsonb, integer, timestamptz, integer, jsonb), outbox.wake();
