-- +goose Up

-- Where the jobs of a queue are delivered to, when no worker of one's own takes them: a
-- URL. secret signs the requests, and old_secret does too until old_secret_until, so
-- that a receiver can change over. Who signs must have the secret itself, so it stands
-- here as it is. rookery_server and rookery_api may read it, rookery_readonly may not.
-- paused_queue: it was the disabling that paused the queue, so enabling resumes it.
CREATE TABLE outbox.endpoints (
    queue_name       text             PRIMARY KEY,
    url              text             NOT NULL,
    secret           text             NOT NULL,
    old_secret       text,
    old_secret_until timestamptz,
    timeout_ms       integer          NOT NULL DEFAULT 30000,
    max_in_flight    integer          NOT NULL DEFAULT 10,
    rate_per_second  double precision NOT NULL DEFAULT 0,
    disabled_at      timestamptz,
    disabled_reason  text             NOT NULL DEFAULT '',
    paused_queue     boolean          NOT NULL DEFAULT false,
    created_at       timestamptz      NOT NULL DEFAULT now(),
    updated_at       timestamptz      NOT NULL DEFAULT now(),
    CONSTRAINT endpoints_queue_name_is_1_to_100_of_letters_digits_and_dot_dash CHECK (queue_name ~ '^[A-Za-z0-9_.:-]{1,100}$'),
    CONSTRAINT endpoints_url_has_at_most_2048_bytes CHECK (octet_length(url) BETWEEN 1 AND 2048 AND url ~ '^https?://'),
    CONSTRAINT endpoints_secret_is_whsec CHECK (secret ~ '^whsec_[A-Za-z0-9+/=]{32,88}$' AND old_secret ~ '^whsec_[A-Za-z0-9+/=]{32,88}$'),
    CONSTRAINT endpoints_timeout_ms_is_1000_to_600000 CHECK (timeout_ms BETWEEN 1000 AND 600000),
    CONSTRAINT endpoints_max_in_flight_is_1_to_1000 CHECK (max_in_flight BETWEEN 1 AND 1000),
    CONSTRAINT endpoints_rate_per_second_is_at_most_10000 CHECK (rate_per_second = 0 OR rate_per_second BETWEEN 0.01 AND 10000),
    CONSTRAINT endpoints_disabled_reason_has_at_most_500_characters CHECK (char_length(disabled_reason) <= 500)
);

-- +goose StatementBegin
DO $$
DECLARE
    part text;
BEGIN
    FOR part IN SELECT rolname FROM pg_catalog.pg_roles WHERE rolname IN ('rookery_server', 'rookery_api') LOOP
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON outbox.endpoints TO %I', part);
    END LOOP;
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'rookery_readonly') THEN
        GRANT SELECT (queue_name, url, old_secret_until, timeout_ms, max_in_flight, rate_per_second, disabled_at, disabled_reason,
            paused_queue, created_at, updated_at) ON outbox.endpoints TO rookery_readonly;
    END IF;
END $$;
-- +goose StatementEnd

-- +goose Down
DROP TABLE outbox.endpoints;
