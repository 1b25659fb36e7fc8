-- Parts of a transaction that change nothing and may fail by themselves (db/aside.go).

-- name: BeginAside :exec
-- Marks where the part begins.
SAVEPOINT aside;

-- name: LimitAside :exec
-- Says how long each statement may take from here to the end of the part.
SELECT set_config('statement_timeout', sqlc.arg(ms)::bigint::text, true);

-- name: EndAside :exec
-- Ends the part, failed or not; its limit is gone with it.
ROLLBACK TO SAVEPOINT aside;
