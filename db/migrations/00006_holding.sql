-- +goose Up

-- Ledger rows that a worker holds itself, by the end of their lease: there are some
-- only while Redis is away. Rows entrusted to Redis have no entry here, so this
-- index costs them nothing, and their updates stay HOT.
CREATE INDEX dispatches_by_lease ON outbox.dispatches (lease_until, id) WHERE lease_until IS NOT NULL;

-- +goose Down
DROP INDEX outbox.dispatches_by_lease;
