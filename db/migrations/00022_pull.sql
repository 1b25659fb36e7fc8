-- +goose Up
-- Who holds an attempt in Postgres, with Redis away, gives it another dispatch. Clients
-- of pull workers know it by the one it had: the ledger row of the new one says which
-- that was, for each of its jobs in their order. NULL: nothing was moved there.
ALTER TABLE outbox.dispatches ADD COLUMN moved_from bigint[];

-- Workers over HTTP, for people to see and to quieten: one row for each and each server
-- that it asks, which writes those that came in the last 5 s with one statement. Nothing
-- else is decided by them. about has the queues it asked for and up to 100 of its leases.
CREATE TABLE outbox.clients (
    id         text NOT NULL CHECK (octet_length(id) <= 200),
    server_id  text NOT NULL CHECK (octet_length(server_id) <= 200),
    address    text NOT NULL,
    about      jsonb NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    beat_at    timestamptz NOT NULL DEFAULT now(),
    quiet      boolean NOT NULL DEFAULT false,
    PRIMARY KEY (id, server_id)
) WITH (fillfactor = 50);

-- +goose StatementBegin
DO $$
DECLARE
    part text;
BEGIN
    FOR part IN SELECT rolname FROM pg_catalog.pg_roles WHERE rolname IN ('rookery_server', 'rookery_api') LOOP
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON outbox.clients TO %I', part);
    END LOOP;
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'rookery_readonly') THEN
        GRANT SELECT ON outbox.clients TO rookery_readonly;
    END IF;
END $$;
-- +goose StatementEnd

-- +goose Down
DROP TABLE outbox.clients;
ALTER TABLE outbox.dispatches DROP COLUMN moved_from;
