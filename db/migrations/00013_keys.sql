-- +goose Up

-- The keys of the HTTP API that people make and revoke. hash is the SHA-256 of a secret
-- of 32 random bytes, which is shown once and kept nowhere: 256 random bits need no
-- slow hash. id is the part of a key that may be seen. Rows of revoked keys stay, so
-- that what outbox.audit says of them can be read for ever.
-- queue_patterns are names of queues, or beginnings that end in *; none: every queue.
CREATE TABLE outbox.api_keys (
    id             text        PRIMARY KEY CONSTRAINT api_keys_id_is_13_of_a_to_z_and_2_to_7 CHECK (id ~ '^[a-z2-7]{13}$'),
    name           text        NOT NULL,
    hash           bytea       NOT NULL,
    scopes         text[]      NOT NULL,
    queue_patterns text[]      NOT NULL DEFAULT '{}',
    created_at     timestamptz NOT NULL DEFAULT now(),
    created_by     text        NOT NULL,
    expires_at     timestamptz,
    revoked_at     timestamptz,
    last_used_at   timestamptz,
    CONSTRAINT api_keys_name_has_1_to_100_characters CHECK (char_length(name) BETWEEN 1 AND 100),
    CONSTRAINT api_keys_hash_has_32_bytes CHECK (octet_length(hash) = 32),
    CONSTRAINT api_keys_scopes_are_known CHECK (
        cardinality(scopes) BETWEEN 1 AND 6
        AND scopes <@ ARRAY['jobs:write', 'jobs:read', 'payloads:read', 'worker', 'queues:admin', 'admin']),
    CONSTRAINT api_keys_queue_patterns_are_at_most_100 CHECK (cardinality(queue_patterns) <= 100),
    CONSTRAINT api_keys_admin_is_for_every_queue CHECK (queue_patterns = '{}' OR 'admin' <> ALL (scopes))
) WITH (fillfactor = 80);

-- What people have changed, over HTTP and by the command line: who, what, of what, and
-- from where. detail has no payloads and no secrets. Nobody but the schema's owner may
-- change or delete a row, and nobody chooses its id or its time. It is kept for ever.
-- Ids are drawn before the commit, so a page that was read may gain a row later.
CREATE TABLE outbox.audit (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT now(),
    principal  text        NOT NULL,
    action     text        NOT NULL,
    target     text        NOT NULL,
    queue_name text        NOT NULL,
    detail     jsonb       NOT NULL,
    request_id text        NOT NULL,
    ip         inet,
    CONSTRAINT audit_principal_has_1_to_200_characters CHECK (char_length(principal) BETWEEN 1 AND 200),
    CONSTRAINT audit_action_is_a_noun_and_a_verb CHECK (action ~ '^[a-z_]{1,30}[.][a-z_]{1,30}$'),
    CONSTRAINT audit_target_has_at_most_200_characters CHECK (char_length(target) <= 200),
    CONSTRAINT audit_queue_name_has_at_most_100_characters CHECK (char_length(queue_name) <= 100),
    CONSTRAINT audit_detail_is_an_object_of_at_most_8192_bytes CHECK (jsonb_typeof(detail) = 'object' AND octet_length(detail::text) <= 8192),
    CONSTRAINT audit_request_id_has_at_most_64_characters CHECK (char_length(request_id) <= 64)
);

-- is_fresh says whether this very transaction has inserted the row of a key: if not,
-- insert_spooled found the jobs of an earlier request. It is plpgsql because it must
-- see what the statement that calls it has done so far, and a function that Postgres
-- inlines would not.
-- +goose StatementBegin
CREATE FUNCTION outbox.is_fresh(key uuid) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN (SELECT s.xmin = pg_current_xact_id()::xid FROM outbox.spooled AS s WHERE s.key = is_fresh.key);
END $$;
-- +goose StatementEnd

-- The grants of 00003 and 00007, for what is new.
-- +goose StatementBegin
DO $$
DECLARE
    part text;
BEGIN
    REVOKE ALL ON FUNCTION outbox.is_fresh(uuid) FROM PUBLIC;
    FOR part IN SELECT rolname FROM pg_catalog.pg_roles WHERE rolname IN ('rookery_server', 'rookery_api') LOOP
        EXECUTE format('GRANT SELECT, INSERT (id, name, hash, scopes, queue_patterns, created_by, expires_at), UPDATE (revoked_at, last_used_at) ON outbox.api_keys TO %I', part);
        EXECUTE format('GRANT SELECT, INSERT (principal, action, target, queue_name, detail, request_id, ip) ON outbox.audit TO %I', part);
        EXECUTE format('GRANT EXECUTE ON FUNCTION outbox.is_fresh(uuid) TO %I', part);
    END LOOP;
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'rookery_readonly') THEN
        GRANT SELECT (id, name, scopes, queue_patterns, created_at, created_by, expires_at, revoked_at, last_used_at) ON outbox.api_keys TO rookery_readonly;
        GRANT SELECT ON outbox.audit TO rookery_readonly;
    END IF;
END $$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION outbox.is_fresh(uuid);
DROP TABLE outbox.audit;
DROP TABLE outbox.api_keys;
