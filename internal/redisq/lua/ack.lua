#!lua flags=allow-oom
-- ack: give up the leases of attempts that are over and recorded.
-- KEYS  1 meta  2 leases  3 cancelled
-- ARGV  1 epoch  2.. members
-- Returns {OK, how many were leased}; STALE.
-- Re-sending is safe: an attempt that is over is never leased again.
--#include guard
local leases, cancelled = KEYS[2], KEYS[3]
if redis.call('EXISTS', cancelled) == 1 then redis.call('ZREM', cancelled, unpack(ARGV, 2)) end
return {'OK', redis.call('ZREM', leases, unpack(ARGV, 2))}
