-- Step 2: the gate. These run on the session that listens, one at a time and
-- outside any transaction; Horizon also on others.

-- name: CloseGate :one
-- From here on inserts do not notify. Tried, never waited for.
SELECT pg_try_advisory_lock(1380928331, 1) AS closed;

-- name: TellByWAL :one
-- For a session that holds the gate: from here on inserts send a message into the
-- WAL. An insert that asks at this moment is in the way, for microseconds.
SELECT pg_try_advisory_lock(1380928331, 2) AS taken;

-- name: TellNobody :exec
-- From here on inserts do neither, if the gate stays closed. The lock must be held.
SELECT pg_advisory_unlock(1380928331, 2);

-- name: OpenGate :exec
-- Session locks count: a Hold whose answer came too late, and was repeated, must not
-- leave the gate closed behind one unlock. This session holds no locks but these two.
SELECT pg_advisory_unlock_all();

-- name: Horizon :one
-- A transaction id above that of every transaction that may have seen the gate
-- closed: its row was written, and its id drawn, before its trigger asked.
SELECT pg_current_xact_id()::text::bigint AS horizon;

-- name: HorizonPassed :one
-- Whether every transaction below the horizon has ended. Not by the snapshot's
-- xmax: that can lie below running ones.
SELECT (pg_snapshot_xmin(pg_current_snapshot())::text::bigint > @horizon::bigint)::boolean AS passed;

-- name: ListHidden :many
-- Which of these transactions are not visible yet: the WAL tells of a commit before
-- its rows can be seen, and with a synchronous standby long before.
SELECT t.xid
FROM (SELECT unnest(sqlc.arg(xids)::bigint[])::bigint AS xid) AS t
WHERE NOT pg_visible_in_snapshot(t.xid::text::xid8, pg_current_snapshot());

-- name: Ping :one
SELECT pg_backend_pid() AS pid;

-- name: Notify :exec
SELECT pg_notify('outbox', @payload);
