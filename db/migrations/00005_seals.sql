-- +goose Up

-- The secrets that envelopes are sealed with: a relay signs what it puts into
-- Redis, a worker runs nothing that is not signed (job/seal.go has the bytes).
-- Only rookery_server reads the secrets; a producer or a person who looks does
-- not, and Redis never has one. id is drawn, not counted: a Postgres that lost its
-- tail must not give it to another secret.
CREATE TABLE outbox.seals (
    id         integer     PRIMARY KEY CONSTRAINT seals_id_is_positive CHECK (id > 0),
    secret     bytea       NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    retired_at timestamptz,
    CONSTRAINT seals_secret_has_32_bytes_until_it_is_retired CHECK (octet_length(secret) = CASE WHEN retired_at IS NULL THEN 32 ELSE 0 END)
);

-- rotate_seals makes a new key and returns its id. gen_random_uuid is the one
-- cryptographic generator that Postgres has without an extension (it reads
-- pg_strong_random); a UUID has 122 random bits, so three of them, mixed by
-- SHA-256, are more than the 256 that are kept.
-- +goose StatementBegin
CREATE FUNCTION outbox.rotate_seals() RETURNS integer
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO outbox.seals (id, secret)
    SELECT 1 + (('x' || left(gen_random_uuid()::text, 8))::bit(32)::bigint % 2147483647)::integer,
        sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()))
    RETURNING seals.id
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION outbox.rotate_seals() FROM PUBLIC;
SELECT outbox.rotate_seals();

-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'rookery_server') THEN
        GRANT SELECT ON outbox.seals TO rookery_server;
    END IF;
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'rookery_readonly') THEN
        GRANT SELECT (id, created_at, retired_at) ON outbox.seals TO rookery_readonly;
    END IF;
END $$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION outbox.rotate_seals();
DROP TABLE outbox.seals;
