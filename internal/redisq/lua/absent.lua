#!lua flags=no-writes
-- absent: say which attempts are neither leased nor being taken back.
-- KEYS  1 meta  2 leases  3 lost
-- ARGV  1 epoch  2.. members
-- Returns {OK, releases so far in this epoch, absent}, a list of positions counting from 0; STALE.
-- Re-sending is safe: it changes nothing.
--#include guard
local leases, lost = KEYS[2], KEYS[3]
local leased = redis.call('ZMSCORE', leases, unpack(ARGV, 2))
local going = redis.call('ZMSCORE', lost, unpack(ARGV, 2))
local absent = {}
for i = 1, #ARGV - 1 do
  if not leased[i] and not going[i] then absent[#absent + 1] = i - 1 end
end
return {'OK', redis.call('HGET', meta, 'releases') or '0', absent}
