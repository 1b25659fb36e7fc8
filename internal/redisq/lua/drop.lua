#!lua flags=allow-oom
-- drop: forget attempts that Postgres has taken back.
-- KEYS  1 meta  2 leases  3 lost
-- ARGV  1 epoch  2.. members
-- Returns {OK, how many lost had}; STALE.
-- Re-sending is safe: an attempt that was taken back is never current again.
--#include guard
local leases, lost = KEYS[2], KEYS[3]
redis.call('ZREM', leases, unpack(ARGV, 2))
return {'OK', redis.call('ZREM', lost, unpack(ARGV, 2))}
