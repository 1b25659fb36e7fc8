-- +goose Up
CREATE SCHEMA outbox;

-- The truth about every job. No index mentions a column that changes, so that
-- every update is a HOT update; fillfactor 36 leaves room for the two or three
-- versions of a row's way (measured: docs/adr/0003-fillfactor-36.md). Nothing
-- refers to it by a foreign key: each child row would lock its parent.
-- The names of the CHECKs say the limit, because an INSERT that breaks one shows
-- its producer little else.
CREATE TABLE outbox.jobs (
    id            bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    queue_name    text        NOT NULL DEFAULT 'default',
    kind          text        NOT NULL DEFAULT '',
    payload       jsonb       NOT NULL DEFAULT '{}',
    priority      smallint    NOT NULL DEFAULT 100,
    status        text        NOT NULL DEFAULT 'queued',
    dispatch_id   bigint,
    attempt_count integer     NOT NULL DEFAULT 0,
    failure_count smallint    NOT NULL DEFAULT 0,
    lost_count    smallint    NOT NULL DEFAULT 0,
    max_attempts  smallint    NOT NULL DEFAULT 25,
    run_at        timestamptz NOT NULL DEFAULT now(),
    created_at    timestamptz NOT NULL DEFAULT now(),
    dispatched_at timestamptz,
    started_at    timestamptz,
    finished_at   timestamptz,
    worker_id     text,
    last_error    text,
    headers       jsonb,
    -- Bytes of payload and headers as text: what travels. A short jsonb can be a
    -- very long text (1e100000), so its own size says nothing.
    size          integer     NOT NULL GENERATED ALWAYS AS (octet_length(payload::text) + coalesce(octet_length(headers::text), 0)) STORED,
    CONSTRAINT jobs_status_is_known CHECK (status IN ('queued', 'dispatched', 'running', 'completed', 'dead', 'cancelled')),
    CONSTRAINT jobs_queue_name_is_1_to_100_of_letters_digits_and_dot_dash CHECK (queue_name ~ '^[A-Za-z0-9_.:-]{1,100}$'),
    CONSTRAINT jobs_kind_has_at_most_200_characters CHECK (char_length(kind) <= 200),
    CONSTRAINT jobs_priority_is_0_to_1000 CHECK (priority BETWEEN 0 AND 1000),
    CONSTRAINT jobs_max_attempts_is_1_to_1000 CHECK (max_attempts BETWEEN 1 AND 1000),
    CONSTRAINT jobs_run_at_is_between_years_1970_and_9999 CHECK (run_at >= '1970-01-01 00:00:00+00' AND run_at < '9999-01-01 00:00:00+00'),
    CONSTRAINT jobs_headers_is_an_object_of_at_most_8192_bytes CHECK (jsonb_typeof(headers) = 'object' AND octet_length(headers::text) <= 8192),
    CONSTRAINT jobs_payload_has_at_most_262144_bytes CHECK (size <= 262144)
) WITH (fillfactor = 36, autovacuum_vacuum_insert_scale_factor = 0.5);

-- Jobs that are due and not dispatched: the claim reads it in the order of its
-- key. priority is the job's, or -1 for a job whose worker was lost: it has waited
-- before, so it is claimed ahead of the others, and counts with the high band for
-- the part of the window that is kept free.
CREATE TABLE outbox.ready (
    queue_name text     NOT NULL,
    priority   smallint NOT NULL,
    job_id     bigint   NOT NULL,
    size       integer  NOT NULL,
    PRIMARY KEY (queue_name, priority, job_id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0, vacuum_truncate = false);

-- Jobs whose run_at lies in the future, in the order in which they fall due.
CREATE TABLE outbox.scheduled (
    run_at     timestamptz NOT NULL,
    job_id     bigint      NOT NULL,
    queue_name text        NOT NULL,
    priority   smallint    NOT NULL,
    size       integer     NOT NULL,
    PRIMARY KEY (run_at, job_id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0, vacuum_truncate = false);

-- The ledger: one row per batch entrusted to Redis, or held by a worker in
-- Postgres (lease_until). id is the fencing token that jobs.dispatch_id names.
CREATE TABLE outbox.dispatches (
    id          bigint      PRIMARY KEY,
    queue_name  text        NOT NULL,
    job_ids     bigint[]    NOT NULL,
    epoch       bigint      NOT NULL,
    seq         bigint,
    relay_id    text        NOT NULL,
    taken_at    timestamptz NOT NULL DEFAULT now(),
    worker_id   text,
    lease_until timestamptz,
    created_at  timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0, vacuum_truncate = false);
CREATE INDEX dispatches_by_age ON outbox.dispatches (created_at, id);

-- What relays and operators know of a queue. Never written in a producer's
-- transaction: it would make producers of new queues wait for each other.
CREATE TABLE outbox.queues (
    name        text        PRIMARY KEY CONSTRAINT queues_name_is_1_to_100_of_letters_digits_and_dot_dash CHECK (name ~ '^[A-Za-z0-9_.:-]{1,100}$'),
    paused      boolean     NOT NULL DEFAULT false,
    window_size integer     NOT NULL DEFAULT 10000 CONSTRAINT queues_window_size_is_1_to_1000000 CHECK (window_size BETWEEN 1 AND 1000000),
    epoch       bigint      NOT NULL DEFAULT 0,
    epoch_at    timestamptz NOT NULL DEFAULT now(),
    life        text        NOT NULL DEFAULT '',
    created_at  timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

-- One row per relay and worker process: who lives, and who reaches Redis.
CREATE TABLE outbox.processes (
    id         text        PRIMARY KEY,
    role       text        NOT NULL CONSTRAINT processes_role_is_relay_or_worker CHECK (role IN ('relay', 'worker')),
    host       text        NOT NULL DEFAULT '',
    pid        integer     NOT NULL DEFAULT 0,
    started_at timestamptz NOT NULL DEFAULT now(),
    beat_at    timestamptz NOT NULL DEFAULT now(),
    redis_at   timestamptz,
    epochs     jsonb       NOT NULL DEFAULT '{}'
) WITH (fillfactor = 50);

-- Cancel orders on their way to Redis.
CREATE TABLE outbox.cancels (
    job_id      bigint      NOT NULL,
    dispatch_id bigint      NOT NULL,
    queue_name  text        NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job_id, dispatch_id)
);

-- Append-only: every attempt that did not simply succeed.
CREATE TABLE outbox.attempts (
    job_id        bigint      NOT NULL,
    attempt_count integer     NOT NULL,
    worker_id     text,
    started_at    timestamptz,
    finished_at   timestamptz NOT NULL DEFAULT now(),
    outcome       text        NOT NULL,
    error         jsonb,
    PRIMARY KEY (job_id, attempt_count)
);

-- The list of dead jobs; the job's row keeps the payload.
CREATE TABLE outbox.dead_letters (
    job_id     bigint      PRIMARY KEY,
    queue_name text        NOT NULL,
    kind       text        NOT NULL,
    dead_at    timestamptz NOT NULL DEFAULT now(),
    reason     text        NOT NULL
);
CREATE INDEX dead_letters_by_age ON outbox.dead_letters (dead_at, job_id);

-- +goose Down
DROP SCHEMA outbox CASCADE;
