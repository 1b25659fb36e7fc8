#!lua flags=allow-oom
-- entomb: call off those attempts that are neither leased nor being taken back: no take leases one any more.
-- KEYS  1 meta  2 leases  3 lost  4 cancelled
-- ARGV  1 epoch  2.. members
-- Returns {OK, entombed}, a list of positions counting from 0; STALE.
-- Re-sending is safe: an attempt that is called off stays so, and is not leased meanwhile.
--#include guard
--#include clock
local leases, lost, cancelled = KEYS[2], KEYS[3], KEYS[4]
local leased = redis.call('ZMSCORE', leases, unpack(ARGV, 2))
local going = redis.call('ZMSCORE', lost, unpack(ARGV, 2))
local orders, entombed = {}, {}
for i = 1, #ARGV - 1 do
  if not leased[i] and not going[i] then
    orders[#orders + 1], orders[#orders + 2] = now, ARGV[1 + i]
    entombed[#entombed + 1] = i - 1
  end
end
if #orders > 0 then redis.call('ZADD', cancelled, unpack(orders)) end
return {'OK', entombed}
