#!lua flags=allow-oom
-- beat: renew leases until now + lease, and say which are gone and which were called off.
-- KEYS  1 meta  2 leases  3 cancelled
-- ARGV  1 epoch  2 lease (ms)  3.. members
-- Returns {OK, gone, cancelled}, both lists of positions counting from 0; STALE.
-- Re-sending is safe: it renews once more what is still leased, and brings nothing back.
--#include guard
--#include clock
local leases, cancelled = KEYS[2], KEYS[3]
local deadline, count = string.format('%.0f', now + ARGV[2]), #ARGV - 2
local renew, gone, called = {}, {}, {}
for i = 1, count do renew[2 * i - 1], renew[2 * i] = deadline, ARGV[2 + i] end
local renewed = redis.call('ZADD', leases, 'XX', 'CH', unpack(renew))
local called_off = redis.call('EXISTS', cancelled) == 1
if renewed == count and not called_off then return {'OK', gone, called} end

-- CH counts changes only: two beats within one ms come here too, and find all leased.
local leased = redis.call('ZMSCORE', leases, unpack(ARGV, 3))
local off = called_off and redis.call('ZMSCORE', cancelled, unpack(ARGV, 3)) or {}
for i = 1, count do
  if not leased[i] then gone[#gone + 1] = i - 1
  elseif off[i] then called[#called + 1] = i - 1 end
end
return {'OK', gone, called}
