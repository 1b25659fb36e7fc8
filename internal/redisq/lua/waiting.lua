#!lua flags=no-writes
-- waiting: say which attempts wait in a stretch of one band, from its far end to its taking end.
-- KEYS  1 meta  2 band
-- ARGV  1 epoch  2 first element, counting from 0  3 elements (count)
-- Returns {OK, elements looked at, members}: what is no envelope has none; STALE.
-- Re-sending is safe: it changes nothing.
--#include guard
--#include member
local band, first, count = KEYS[2], tonumber(ARGV[2]), tonumber(ARGV[3])
local envelopes, members = redis.call('LRANGE', band, first, first + count - 1), {}
for _, envelope in ipairs(envelopes) do members[#members + 1] = member(envelope) end
return {'OK', #envelopes, members}
