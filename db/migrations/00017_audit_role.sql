-- +goose Up

-- Who was logged in to Postgres when a line was written: what the client says of itself
-- (principal) may be anything, this is not for it to choose. Lines from before have none.
ALTER TABLE outbox.audit ADD COLUMN database_role text;
ALTER TABLE outbox.audit ALTER COLUMN database_role SET DEFAULT session_user;

-- +goose Down
ALTER TABLE outbox.audit DROP COLUMN database_role;
